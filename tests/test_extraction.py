"""A pass of images never waits for a GPU between parts.  None is needed to see it.

The pass runs on tensors without numbers that say they are on a GPU (`FakeTensorMode`): what would
have to know a number there fails, and so do operations that mix devices.  `Waits` counts copies
between devices that wait, which that mode lets pass.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.models import inception_v3

from conftest import small_gan
from ganlab.data import Digits
from ganlab.data.progress import unwatched
from ganlab.metrics import Tally
from ganlab.metrics.checks import finite_rows
from ganlab.metrics.classifier import Classifier, ClassifierNetwork, Stacked
from ganlab.metrics.inceptionv3 import Inception
from ganlab.metrics.resize import matrix
from ganlab.scoring import Scorer, extraction
from ganlab.scoring.extraction import at_once, extract, moved, tallied
from small_extractors import Patches

GPU, GIB = torch.device("cuda"), 2**30
UNKNOWN = DataDependentOutputException, DynamicOutputShapeException


class Waits(TorchDispatchMode):
    """Notes what an operation of tensors on several devices is, unless it is a copy in passing."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)]
        devices = {x.device.type for x in tensors if x.ndim or x.device.type != "cpu"}
        in_passing = (kwargs or {}).get("non_blocking") or any(x is True for x in args)
        if len(devices) > 1 and not in_passing:
            self.found.append(str(operation))
        return result


@pytest.fixture
def gpu(monkeypatch):
    """One of 64 GiB, on which nothing is computed: `with gpu:` tensors have no numbers."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (64 * GIB, 80 * GIB))
    monkeypatch.setattr(extraction, "GPU_PART", 64)
    matrix.cache_clear()
    yield FakeTensorMode(allow_non_fake_inputs=True)
    matrix.cache_clear()


def on_it(module: nn.Module) -> nn.Module:
    """A module whose numbers are on that GPU."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, old in tensors.items():
                if old is not None:
                    made = torch.empty_strided(old.shape, old.stride(), dtype=old.dtype, device=GPU)
                    is_trained = isinstance(old, nn.Parameter)
                    tensors[name] = nn.Parameter(made, old.requires_grad) if is_trained else made
    return module


def images(n, *shape, device=GPU):
    return torch.empty(n, *shape, dtype=torch.uint8, device=device)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """The network of weights that are all 0."""
    with torch.device("meta"):
        network = inception_v3(num_classes=1008, aux_logits=False, init_weights=False)
    zero = torch.zeros(())
    names = {name: zero.expand(value.shape) for name, value in network.state_dict().items()}
    file = tmp_path_factory.mktemp("weights") / "zeros.pth"
    torch.save(names, file)
    return Inception(file)


@pytest.fixture(params=["patches", "classifier", "stacked", "inception"])
def extractor(request):
    spec = Digits().spec
    if request.param == "inception":
        return request.getfixturevalue("inception")
    if request.param == "patches":
        return Patches()
    classifier = Classifier("classifier", ClassifierNetwork(spec, width=2))
    return classifier if request.param == "classifier" else Stacked(classifier)


def shape_for(extractor):
    return (3 if isinstance(extractor, Inception | Stacked) else 1, 16, 16)


@pytest.mark.parametrize("home", ["cpu", "cuda"])
def test_real_images_pass_without_a_wait(extractor, home, gpu):
    """However many parts: what they need is copied before the first one."""
    counts = []
    for n in (10, 100, 500):  # one part, two and eight; the first one makes what Inception keeps
        with gpu:
            real, order = images(n, *shape_for(extractor), device=home), torch.arange(n)
            on_it(extractor)
            with Waits() as waits:
                tallied(extractor, real, order, 50, unwatched)
        counts.append(len(waits.found))
    once = 2 + (home == "cpu")  # the order, and which split of the Inception Score each is in
    assert counts[1:] == [once, once]


def test_images_that_do_not_fit_are_copied_in_passing(gpu, monkeypatch):
    """From pinned memory: a copy from other memory waits, whatever it is asked."""
    pinned = []
    monkeypatch.setattr(Tensor, "pin_memory", lambda x: pinned.append(len(x)) or x)
    monkeypatch.setattr(extraction, "fits", lambda *_: False)
    extractor = Patches()
    with gpu:
        on_it(extractor)
        real = images(150, 1, 16, 16, device="cpu")
        with Waits() as waits:
            made = tallied(extractor, real, torch.arange(150), 9, unwatched)
    assert len(waits.found) == 1  # the splits
    assert pinned == [64, 64, 22]
    assert made._vectors.device.type == "cuda"


@pytest.fixture
def pass_of(gpu):
    """What a scorer does with n images of a generator that is on the GPU."""
    extractor, gan = Patches(), small_gan()

    def waits(n, blocks=1):
        scorer = Scorer(extractor, None, n, kept=50)
        scorer.labels = lambda seed: None
        gan.fixed_latents = lambda n, *_: torch.empty(n, 8, device=GPU)
        with gpu:
            on_it(extractor), on_it(gan.generator)
            with Waits() as waits:
                scorer.tally(gan, blocks)
        return waits.found

    return waits


@pytest.mark.parametrize("blocks", [1, 10])
def test_generated_images_pass_without_a_wait(blocks, pass_of):
    few, many = pass_of(100, blocks), pass_of(500, blocks)
    assert few == many
    assert len(few) == 1  # the splits of the Inception Score


def looks_at_each_part(monkeypatch):
    """As Tally did: is every feature finite?"""
    checked = Tally._checked

    def looks(tally, features):
        finite_rows("features", features.vectors)
        return checked(tally, features)

    monkeypatch.setattr(Tally, "_checked", looks)


def counts_by_bincount(monkeypatch):
    """It asks for the largest number, whatever its minlength."""
    update = Tally.update

    def counts(tally, features):
        features.logits.argmax(dim=1).bincount(minlength=10)
        return update(tally, features)

    monkeypatch.setattr(Tally, "update", counts)


@pytest.mark.parametrize("mistake", [looks_at_each_part, counts_by_bincount])
def test_numbers_that_are_looked_at_are_noticed(mistake, pass_of, monkeypatch):
    pass_of(100)
    mistake(monkeypatch)
    with pytest.raises(UNKNOWN):
        pass_of(100)


def copied(real, order):
    """From the machine's memory, and waited for."""
    return (real.cpu()[chosen].to(GPU) for chosen in order.split(64))


def gathered(real, order):
    """By indices that are not where the images are."""
    return (real[chosen] for chosen in order.split(64))


@pytest.mark.parametrize("mistake", [copied, gathered])
def test_copies_that_wait_are_noticed(mistake, gpu):
    extractor = Patches()
    with gpu:
        on_it(extractor)
        real, order = images(500, 1, 16, 16), torch.arange(500)
        with Waits() as waits:
            list(extract(extractor, mistake(real, order), unwatched))
    assert len(waits.found) >= 8  # as many as parts


def test_a_part_is_what_the_free_memory_holds_four_times(monkeypatch):
    free = SimpleNamespace(now=0, cached=0)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (free.now, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: free.cached + GIB)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda _: GIB)
    found = []
    for free.now, free.cached in ((64 * GIB, 0), (8 * GIB, 0), (0, 8 * GIB), (0, 0)):
        found.append(at_once(GPU))
    assert found == [512, 128, 128, 1]
    assert at_once(torch.device("cpu")) == 256


def test_the_parts_make_no_difference(monkeypatch):
    """On a CPU, where an image's features are the same in any part."""
    real, order = Digits().read().images, torch.randperm(300)
    whole = tallied(Patches(), real, order, 100, unwatched)
    monkeypatch.setattr(extraction, "CPU_PART", 7)
    parts = tallied(Patches(), real, order, 100, unwatched)
    assert torch.equal(parts.vectors, Patches()(real[order[:100]]).vectors)
    assert torch.equal(parts.vectors, whole.vectors)
    torch.testing.assert_close(parts.moments.products, whole.moments.products, rtol=1e-12, atol=0)


def test_who_watches_is_told_of_every_image():
    told = []
    found = extract(Patches(), images(20, 1, 16, 16, device="cpu").split(8), told.append)
    assert [len(features.vectors) for features in found] == told == [8, 8, 4]


def test_what_is_there_already_is_not_copied():
    tensor = torch.zeros(3)
    assert moved(tensor, torch.device("cpu")) is tensor
