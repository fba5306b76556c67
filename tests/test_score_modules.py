"""The scores as torchmetrics.Metric: what the functions find, in any parts, processes and modules.

By an extractor that costs nothing; beside torchmetrics's own by Inception, with random weights.
"""

import copy
import os
import runpy
import subprocess
import sys
import warnings
from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection
from torchmetrics.wrappers import FeatureShare

import inception_weights
import processes
from conftest import ROOT
from ganlab.data import Digits
from ganlab.data.images import normalised
from ganlab.errors import ConfigError
from ganlab.experiments.session import quiet_lightning
from ganlab.metrics import (
    FrechetDistance,
    Inception,
    InceptionScore,
    KernelDistance,
    Moments,
    PrecisionRecall,
    frechet_distance,
    inception_score,
    kernel_distance,
    neighbourhood,
)
from ganlab.metrics.features import Extractor, Features
from small_extractors import Patches
from test_readme import write_examples

EXACT = 1e-10  # relative: the same sums in another order
N = 120  # images of each kind
FEW = 16  # for Inception


class Sure(Patches):
    """Its classes are the brightest patch: Inception Scores are well above 1."""

    def __init__(self):
        super().__init__(classes=16)
        self.weight.copy_(torch.eye(16) / 20)


def digits(n=N):
    """Real digits, and as many others, blurred by half a pixel."""
    images = Digits().read().images
    fake = images[n : 2 * n].float()
    return images[:n], ((fake + fake.roll(1, dims=-1)) / 2).byte()


def metrics(extractor=None, **options):
    """All four, by name."""
    extractor = extractor or Sure()
    return {
        "frechet": FrechetDistance(extractor, **options),
        "is": InceptionScore(extractor, splits=3, **options),
        "kernel": KernelDistance(extractor, subsets=4, size=30, **options),
        "shares": PrecisionRecall(extractor, **options),
    }


def expected(real, fake, extractor=None):
    """What the functions find of all features at once, by the same names."""
    extractor = extractor or Sure()
    a, b = extractor(real), extractor(fake)
    return {
        "frechet": frechet_distance(Moments.of(a.vectors), Moments.of(b.vectors)),
        "is": inception_score(b.logits, splits=3)[0],
        "kernel": kernel_distance(a.vectors, b.vectors, subsets=4, size=30)[0],
        "shares": neighbourhood(a.vectors, b.vectors)._asdict(),
    }


def updated(metric, real, fake, size=N):
    """The metric, told of the images in parts of a size."""
    for is_real, images in ((True, real), (False, fake)):
        for part in images.split(size):
            metric.update(part, real=is_real)
    return metric


def numbers(found):
    """Floats in place of tensors."""
    if isinstance(found, dict):
        return {name: float(value) for name, value in found.items()}
    return float(found)


# The same numbers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [N, 50, 7])
def test_they_find_what_the_functions_find_whatever_the_parts(size):
    real, fake = digits()
    for name, metric in metrics().items():
        found = updated(metric, real, fake, size).compute()
        assert numbers(found) == pytest.approx(expected(real, fake)[name], rel=EXACT), name
        values = found.values() if isinstance(found, dict) else [found]
        assert all((v.dtype, v.shape) == (torch.float64, ()) for v in values)


def test_a_metric_that_forgets_a_part_would_be_found_out():
    """The comparison can fail: one image less, or the kinds exchanged, is another number."""
    real, fake = digits()
    for name, metric in metrics().items():
        found = numbers(updated(metric, real, fake[1:], 50).compute())
        assert found != pytest.approx(expected(real, fake)[name], rel=1e-6), name
    swapped = updated(PrecisionRecall(Sure()), fake, real).compute()
    assert numbers(swapped) != pytest.approx(expected(real, fake)["shares"], rel=1e-6)


def test_sums_in_float32_would_be_found_out():
    real, fake = digits()
    sides = []
    for images in (real, fake):
        moments = Moments.of(Sure()(images).vectors)
        moments.sum, moments.products = moments.sum.float().double(), moments.products.float()
        moments.products = moments.products.double()
        sides.append(moments)
    assert frechet_distance(*sides) != pytest.approx(expected(real, fake)["frechet"], rel=EXACT)


def test_only_the_first_images_are_compared_pair_by_pair():
    real, fake = digits()
    found = updated(KernelDistance(Sure(), subsets=2, size=30, kept=40), real, fake, 25)
    assert [sum(map(len, rows)) for rows in (found.real_vectors, found.fake_vectors)] == [40, 40]
    a, b = (Sure()(images[:40]).vectors for images in (real, fake))
    assert float(found.compute()) == pytest.approx(kernel_distance(a, b, 2, 30)[0], rel=EXACT)


def test_subsets_are_no_larger_than_what_there_is():
    real, fake = (images[:20] for images in digits())
    found = updated(KernelDistance(Sure(), subsets=1), real, fake).compute()
    a, b = (Sure()(images).vectors for images in (real, fake))
    assert float(found) == pytest.approx(kernel_distance(a, b, 1, 20)[0], rel=EXACT)


def test_real_images_have_no_part_in_the_inception_score():
    real, fake = digits()
    score, extractor = InceptionScore(Sure(), splits=3), Sure()
    assert (
        updated(score, real, fake).compute()
        == updated(InceptionScore(extractor, splits=3), real[:0], fake).compute()
    )
    score.reset()
    score.update(fake)
    assert float(score.compute()) == pytest.approx(expected(real, fake)["is"], rel=EXACT)


# Forgetting ---------------------------------------------------------------------------------------


def test_a_reset_forgets_everything_or_all_but_the_real_side():
    real, fake = digits()
    for forgets in (True, False):
        for name, metric in metrics(reset_real_features=forgets).items():
            updated(metric, real, fake.flip(0)[:60], 50)
            metric.compute()
            metric.reset()
            again = updated(metric, real if forgets else real[:0], fake, 50)
            assert numbers(again.compute()) == pytest.approx(
                expected(real, fake)[name], rel=EXACT
            ), (name, forgets)


def test_images_after_a_reset_in_inference_mode_are_counted():
    """As Lightning validates, and trains afterwards."""
    real, fake = digits()
    for name, metric in metrics().items():
        with torch.inference_mode():
            updated(metric, real, fake)
            metric.reset()
        assert numbers(updated(metric, real, fake).compute()) == pytest.approx(
            expected(real, fake)[name], rel=EXACT
        )


# Refusals -----------------------------------------------------------------------------------------


def test_what_cannot_be_scored_is_refused_in_a_sentence(tmp_path):
    real, fake = digits(8)
    for images, got in ((real.float() / 255, "torch.float32"), (real[0], "torch.uint8")):
        sentence = rf"images must be uint8 \(N, C, H, W\) in 0..255, got {got} "
        for metric in metrics().values():
            with pytest.raises(ValueError, match=sentence):
                metric.update(images, real=False)
    for name, fewest in (("frechet", 2), ("kernel", 2), ("shares", 6)):
        metric = metrics()[name]
        metric.update(fake, real=False)
        sentence = f"needs at least {fewest} real and {fewest} generated images, got 0 and 8"
        with pytest.raises(ValueError, match=sentence):
            metric.compute()
    with pytest.raises(TypeError, match="FrechetDistance has no value of one minibatch"):
        FrechetDistance(Sure())(fake, real=True)
    with pytest.raises(ConfigError, match=r"there is no file of Inception weights 'no\.pth'"):
        FrechetDistance("no.pth")
    with pytest.raises(ValueError, match="splits must be at least 1, got 0"):
        InceptionScore(Sure(), splits=0)


class Broken(Extractor):
    """Features that are not finite."""

    def __init__(self):
        super().__init__("broken", "", "", 2, 2)

    def forward(self, images):
        rows = torch.full((len(images), 2), float("nan"))
        return Features(rows, rows)


def test_features_that_are_not_finite_are_refused():
    for metric in metrics(Broken()).values():
        with pytest.raises(ValueError, match="features must be finite"):
            metric.update(digits(2)[0], real=False)


# Several processes --------------------------------------------------------------------------------


def work(rank, folder, shares):
    """One of two processes: scores its share of the images and writes what it finds."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    found = {}
    for round_ in (1, 2):  # a second time, with the real side kept
        for name, metric in MADE.items() if round_ == 2 else made().items():
            MADE[name] = metric
            real, fake = digits()
            own = slice(*shares[rank])
            if own != slice(N, N):  # told of nothing, not even of no images
                updated(metric, real[own if round_ == 1 else slice(0)], fake[own], 25)
            found[name, round_] = numbers(metric.compute())
            own_again = metric.real_n if name == "frechet" else None
            assert own_again is None or int(own_again) == shares[rank][1] - shares[rank][0]
            metric.reset()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


MADE = {}


def made():
    return metrics(reset_real_features=False)


@pytest.mark.parametrize("shares", [[(0, 70), (70, N)], [(0, N), (N, N)]], ids=["uneven", "idle"])
def test_two_processes_find_what_one_finds(tmp_path, shares):
    """Each has its share, even if that is nothing; all get every score."""
    ranks = [
        processes.CONTEXT.Process(target=work, args=(rank, str(tmp_path), shares))
        for rank in (0, 1)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(processes.SECONDS)
    assert [process.exitcode for process in ranks] == [0, 0]
    one = expected(*digits())
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == {(name, i) for name in one for i in (1, 2)}
        for (name, _), value in found.items():
            assert value == pytest.approx(one[name], rel=EXACT), name


# In a module --------------------------------------------------------------------------------------


class Noise(LightningModule):
    """Somebody's GAN: it scores what it makes while it is validated."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)
        self.distance = FrechetDistance(Sure(), reset_real_features=False)
        self.score = InceptionScore(Sure(), splits=3)
        self.shares = PrecisionRecall(Sure())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def training_step(self, batch):
        return self.layer(torch.ones(1, 2)).square().sum()

    def validation_step(self, batch):
        real, fake = batch
        for metric in (self.distance, self.shares):
            metric.update(real, real=True)
            metric.update(fake, real=False)
        self.score.update(fake)
        self.log("fid", self.distance, on_step=False, on_epoch=True)
        self.log("is", self.score, on_step=False, on_epoch=True)

    def on_validation_epoch_end(self):
        self.log_dict(self.shares.compute())
        self.shares.reset()


def trained(module, **options):
    quiet_lightning()
    loader = DataLoader(TensorDataset(*digits()), batch_size=50)
    trainer = Trainer(
        **{
            "accelerator": "cpu",
            "max_epochs": 1,
            "limit_train_batches": 2,
            "num_sanity_val_steps": 0,
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice: workers, batch sizes
        trainer.fit(module, loader, loader)
    return trainer.callback_metrics


def test_they_are_logged_by_a_module_of_anybody():
    found, one = trained(Noise()), expected(*digits())
    assert float(found["fid"]) == pytest.approx(one["frechet"], rel=1e-6)  # Lightning has float32
    assert float(found["is"]) == pytest.approx(one["is"], rel=1e-6)
    shares = {name: float(found[name]) for name in one["shares"]}
    assert shares == pytest.approx(one["shares"], rel=1e-6)


def test_precision_and_mode_of_the_module_do_not_reach_the_extractor():
    """Nor do its features change in an epoch of bfloat16, or its weights lie in a checkpoint."""
    module = Noise()
    found, one = trained(module, precision="bf16-mixed"), expected(*digits())
    assert float(found["fid"]) == pytest.approx(one["frechet"], rel=1e-6)
    assert float(found["is"]) == pytest.approx(one["is"], rel=1e-6)
    module.double().train()
    assert not module.distance.extractor.training
    assert module.distance.extractor.weight.dtype == torch.float32
    assert module.distance.real_sum.dtype == torch.float64
    assert set(module.state_dict()) == {"layer.weight", "layer.bias"}
    assert len(list(module.parameters())) == 2


def test_the_module_of_the_page_logs_what_the_functions_find(tmp_path):
    """It is pasted as it stands, with another extractor and a generator that makes the digits."""
    write_examples((ROOT / "docs" / "scores.md").read_text(), tmp_path)
    scored = runpy.run_path(str(tmp_path / "my_scored.py"))["Scored"]
    real, fake = digits()
    left = iter(fake.split(50))

    def generator(noise):
        assert noise.shape[1:] == (64,)
        return normalised(next(left))

    quiet_lightning()
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = scored(generator, Sure())
        (found,) = trainer.validate(module, DataLoader(real, batch_size=50), verbose=False)
    one = expected(real, fake)
    wanted = {"frechet": one["frechet"], **one["shares"]}
    assert found == pytest.approx(wanted, rel=1e-6)  # Lightning's float32


def test_several_share_one_pass_of_the_extractor():
    real, fake = digits()
    extractor = Sure()
    shared = FeatureShare(metrics(extractor))
    extractor.calls = 0
    updated(shared, real, fake, N)
    assert extractor.calls == 2, "one of each kind of images"
    found = shared.compute()
    one = expected(real, fake)
    for name in ("frechet", "is", "kernel"):
        assert float(found[name]) == pytest.approx(one[name], rel=EXACT)
    assert float(found["coverage"]) == pytest.approx(one["shares"]["coverage"], rel=EXACT)


def test_a_collection_is_told_once():
    real, fake = digits()
    together = updated(MetricCollection(metrics()), real, fake, 40)
    assert float(together.compute()["frechet"]) == pytest.approx(
        expected(real, fake)["frechet"], rel=EXACT
    )


def test_a_copy_goes_its_own_way():
    real, fake = digits()
    for name, metric in metrics().items():
        updated(metric, real, fake[:60])
        copied = copy.deepcopy(metric)
        metric.reset()
        copied.update(fake[60:], real=False)
        assert numbers(copied.compute()) == pytest.approx(expected(real, fake)[name], rel=EXACT)


def test_the_functions_come_without_torchmetrics():
    """What needs features alone stays light."""
    code = "import sys; import ganlab.metrics; print(*sys.modules)"
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "torch" in loaded
    assert not loaded & {"torchmetrics", "torchvision", "pytorch_lightning", "matplotlib"}


# Beside torchmetrics's own ------------------------------------------------------------------------

BAR = 1e-4  # relative; networks in float32 with sums in another order


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """Both kinds of images once through each network; torchmetrics's without antialiasing."""
    pytest.importorskip("torch_fidelity")
    from torchmetrics.image.fid import NoTrainInceptionV3

    file = inception_weights.make(tmp_path_factory.mktemp("weights") / "random.pth")
    real, fake = digits(FEW)
    shared = FeatureShare(
        {
            "frechet": FrechetDistance(file),
            "is": InceptionScore(file, splits=1),
            "kernel": KernelDistance(file, subsets=1),
        }
    )
    updated(shared, real, fake)
    layers = ("2048", "logits_unbiased")
    networks = [
        NoTrainInceptionV3("inception-v3-compat", [layer], str(file), antialias=False)
        for layer in layers
    ]
    with torch.no_grad():
        colour = [images.expand(-1, 3, -1, -1) for images in (real, fake)]
        vectors = [networks[0](images) for images in colour]
        logits = networks[1](colour[1])
    return SimpleNamespace(ours=shared.compute(), vectors=vectors, logits=logits, file=file)


class Given(torch.nn.Identity):
    num_features = 2048


@pytest.mark.long
def test_torchmetrics_finds_the_same_frechet_distance(beside):
    from torchmetrics.image import FrechetInceptionDistance

    theirs = FrechetInceptionDistance(feature=Given())
    for is_real, vectors in zip((True, False), beside.vectors, strict=True):
        theirs.update(vectors.double(), real=is_real)
    assert float(beside.ours["frechet"]) == pytest.approx(float(theirs.compute()), rel=BAR)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`", "ignore:std")
def test_torchmetrics_finds_the_same_kernel_distance(beside):
    from torchmetrics.image import KernelInceptionDistance

    theirs = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=FEW)
    for is_real, vectors in zip((True, False), beside.vectors, strict=True):
        theirs.update(vectors.double(), real=is_real)
    assert float(beside.ours["kernel"]) == pytest.approx(float(theirs.compute()[0]), rel=BAR)


@pytest.mark.filterwarnings("ignore:Metric `InceptionScore`", "ignore:std")
def test_torchmetrics_finds_the_same_inception_score(beside):
    from torchmetrics.image import InceptionScore as Theirs

    theirs = Theirs(feature=Given(), splits=1)
    theirs.update(beside.logits.double())
    assert float(beside.ours["is"]) == pytest.approx(float(theirs.compute()[0]), rel=BAR)
    assert float(beside.ours["is"]) > 1.05


def test_a_file_of_weights_is_an_extractor(beside):
    assert FrechetDistance(str(beside.file)).extractor.name == Inception(beside.file).name
