"""Few labels: the held-out error, its supervised baseline, the budget, and whole runs."""

import copy
import functools
import signal
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

import ganlab
from commands import completed, rows, run_train, runs_in, smoke, summary
from conftest import adam, fit, same, small_gan, weights
from ganlab.callbacks import Checkpoints, classification
from ganlab.conditioning import ACGAN, Concat, Conditioning, SemiSupervised
from ganlab.data import Digits, ImageData, Images, LabelBudget
from ganlab.errors import DataError
from ganlab.experiments.experiment import Experiment
from ganlab.networks import VanillaDiscriminator, VanillaGenerator
from ganlab.training.terms import Output
from ganlab.training.updates import UpdateRule
from test_resume import signalled

SPEC = Digits(8).spec
PIXELS = SPEC.size**2
FEW = "data=digits data.split=train data.size=8 model=vanilla conditioning=semisupervised"
METHOD = [*FEW.split(), "regularizer=feature_matching"]
NARROW = ["model.generator.hidden=[16]", "model.discriminator.hidden=[16,8]"]


def classifier(kind=SemiSupervised, *, noisy: bool = True, norm: str = "none", **options):
    """A small GAN of 8 x 8 digits; D has dropout and noise, and a head that names classes."""
    conditioning = kind(SPEC)
    noise = {"dropout": 0.3, "input_noise": 0.6, "hidden_noise": 0.5} if noisy else {"dropout": 0}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        networks = {
            "generator": VanillaGenerator(SPEC, 8 + conditioning.code_dim, hidden=(16,)),
            "discriminator": VanillaDiscriminator(
                conditioning.shown, hidden=(32, 16), norm=norm, **noise
            ),
        }
        return small_gan(**networks, conditioning=conditioning, **{"spec": SPEC, **options})


def held_out(gan, source=None) -> ImageData:
    """The digits, of which one part is held out, with five labels of each class if few are."""
    few = isinstance(gan.conditioning, SemiSupervised)
    minibatches, length = gan.d_steps + gan.needs_real, gan.total_iterations
    source = source or Digits(8, split="train")
    labels = LabelBudget(5) if few else None
    return ImageData(source, 8, minibatches, length, gan.seed, labels=labels)


def train(gan, *callbacks, data=None, **options):
    """`fit` on the data that callbacks look at, too."""
    data = data or held_out(gan)
    with mock.patch("small.ImageData", return_value=data):
        return fit(gan, callbacks=callbacks, **options)


def named_by_hand(gan, images: Images) -> float:
    """The error, image by image."""
    network, head = (copy.deepcopy(part).eval() for part in gan.players["d"].networks)
    wrong = 0
    for pixels, label in zip(images.images, images.labels.tolist(), strict=True):
        with torch.no_grad():
            _, features = network.logits_and_features(pixels.unsqueeze(0) / 127.5 - 1)
            answers = head.head(features).squeeze().tolist()
        wrong += answers.index(max(answers)) != label
    return wrong / len(images.labels)


# The error ---------------------------------------------------------------------------------------


class FirstPixel(Conditioning):
    """Names the class that an image's first pixel says; its features say nothing."""

    def discriminate(self, discriminator, images, code):
        named = ((images[:, 0, 0, 0] + 1) * 127.5).round().long()
        return Output(images, code, named.float(), answers=one_hot(named, 10).float())


def test_the_error_is_the_share_of_images_named_wrongly():
    """450 of 600, which come in parts of 512 and 88."""
    named = torch.arange(600) % 10
    labels = named.clone()
    labels[:450] = (labels[:450] + 1) % 10
    pixels = named.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, *SPEC.shape)
    found = classification.error(nn.Linear(1, 1), FirstPixel(SPEC), Images(pixels, labels))
    assert found == pytest.approx(450 / 600)
    assert abs((450 / 512 + 0 / 88) / 2 - 450 / 600) > 0.1, "the mean of the parts' would pass"
    assert classification.error(nn.Linear(1, 1), FirstPixel(SPEC), Images(pixels, named)) == 0


@pytest.mark.parametrize("kind", [SemiSupervised, ACGAN])
def test_the_error_is_what_a_count_by_hand_gives(kind):
    gan, images = classifier(kind), Digits(8, split="test").read()
    assert 0 < classification.error(*gan.players["d"].networks, images) < 1
    assert classification.error(*gan.players["d"].networks, images) == pytest.approx(
        named_by_hand(gan, images)
    )


def test_the_error_is_of_d_without_dropout_and_noise():
    """The same for any random state; in training's mode it is not."""
    gan, images = classifier(), Digits(8, split="test").read()
    gan.train()
    found, noisy = set(), set()
    for seed in range(4):
        torch.manual_seed(seed)
        found.add(classification.error(*gan.players["d"].networks, images))
        with torch.no_grad():
            answers = classification.class_logits(*gan.players["d"].networks, images.images)
        noisy.add((answers.argmax(dim=1) != images.labels).float().mean().item())
    assert len(found) == 1
    assert len(noisy) > 1, "D is the same in both modes"


def modes(*networks: nn.Module) -> dict[nn.Module, bool]:
    return {module: module.training for network in networks for module in network.modules()}


def test_every_module_keeps_its_mode_and_its_statistics():
    """One module of D may be frozen while the others train: train() on the whole would wake it."""
    gan, images = classifier(norm="batch"), Digits(8, split="test").read()
    gan.train()
    frozen = next(m for m in gan.discriminator.modules() if isinstance(m, nn.BatchNorm1d))
    frozen.eval()
    before, state = modes(*gan.players["d"].networks), weights(gan)
    classification.error(*gan.players["d"].networks, images)
    assert modes(*gan.players["d"].networks) == before
    assert same(weights(gan), state)
    for network in gan.players["d"].networks:
        network.eval()
        network.train()
    assert modes(*gan.players["d"].networks) != before, "eval() and train() would pass"


def test_modes_are_restored_even_if_naming_fails():
    gan, images = classifier(), Digits(16, split="test").read()  # of a size that D does not take
    gan.train()
    before = modes(*gan.players["d"].networks)
    with pytest.raises(RuntimeError):
        classification.error(*gan.players["d"].networks, images)
    assert modes(*gan.players["d"].networks) == before


def test_a_d_that_names_no_classes_says_so():
    gan, images = small_gan(), Digits(split="test").read()
    with pytest.raises(ValueError, match=r"^Conditioning names no classes$"):
        classification.error(*gan.players["d"].networks, images)


# The baseline ------------------------------------------------------------------------------------


def of_one_class(n: int = 4) -> Images:
    """Copies of one image, so that any choice among them is the same."""
    images, labels = Digits(8).read()
    return Images(images[:1].repeat(n, 1, 1, 1), labels[:1].repeat(n))


def test_the_baseline_trains_copies():
    gan = classifier()
    before = weights(gan)
    networks = classification.supervised(gan, Digits(8).read(), updates=3)
    assert same(weights(gan), before)
    for copied, own in zip(networks, gan.players["d"].networks, strict=True):
        assert type(copied) is type(own)
        assert not same(weights(copied), weights(own))
    untrained = classification.supervised(gan, Digits(8).read(), updates=0)
    assert all(
        same(weights(c), weights(o))
        for c, o in zip(untrained, gan.players["d"].networks, strict=True)
    )


def test_one_update_of_the_baseline_is_ds_own_rule_on_the_cross_entropy():
    """w - 0.1 dH/dw, with neither the adversarial loss nor the run's other images."""
    rule = UpdateRule(lambda p: torch.optim.SGD(p, lr=0.1))
    gan, images = classifier(noisy=False, d_rule=rule), of_one_class()
    network, head = classification.supervised(gan, images, updates=1)
    answers = gan.conditioning.head(gan.discriminator.features(images.images[:1] / 127.5 - 1))
    cross_entropy(answers, images.labels[:1]).backward()
    for copied, own in ((network, gan.discriminator), (head, gan.conditioning)):
        updated = dict(copied.named_parameters())
        for name, parameter in own.named_parameters():
            step = 0 if parameter.grad is None else 0.1 * parameter.grad
            torch.testing.assert_close(updated[name], parameter - step)
    assert gan.conditioning.head.weight.grad.abs().max() > 1e-3


def test_the_baseline_learns_its_labels_by_heart_and_some_of_the_rest():
    gan = classifier(noisy=False, d_rule=UpdateRule(adam(2e-3)))
    data = held_out(gan)
    data.setup()
    labeled = data.labeled_images()
    assert labeled.labels.bincount().tolist() == [5] * 10
    torch.manual_seed(0)
    networks = classification.supervised(gan, labeled, updates=150)
    assert classification.error(*networks, labeled) == 0
    assert 0 < classification.error(*networks, data.test_images()) < 0.6  # 0.9 by chance


# The callback ------------------------------------------------------------------------------------


@pytest.fixture
def baselines(monkeypatch) -> list[int]:
    """The numbers of images that baselines were trained on."""
    trained_on, supervised = [], classification.supervised

    def counted(gan, images, updates):
        trained_on.append(len(images.labels))
        return supervised(gan, images, updates)

    monkeypatch.setattr(classification, "supervised", counted)
    return trained_on


@pytest.mark.parametrize("kind", [SemiSupervised, ACGAN])
def test_a_run_with_and_without_the_callback_ends_with_the_same_weights(kind):
    """Bit for bit, though the baseline draws random numbers and D drops out."""
    train(plain := classifier(kind))
    data = held_out(read := classifier(kind))
    train(read, classification.Classification(data, every=1, updates=3), data=data)
    assert same(weights(plain), weights(read))
    assert not same(weights(plain), weights(classifier(kind))), "nothing was trained"


def test_the_baseline_is_the_same_for_every_random_state():
    def found(seed):
        torch.manual_seed(seed)
        data = held_out(gan := classifier(iterations=1))
        train(gan, callback := classification.Classification(data, every=1, updates=20), data=data)
        return callback.supervised

    assert found(1) == found(2)


def test_the_baseline_leaves_the_global_random_state_alone():
    data = held_out(gan := classifier())
    data.setup()
    state = torch.get_rng_state()
    callback = classification.Classification(data, every=1, updates=1)
    callback.on_train_start(SimpleNamespace(is_global_zero=True), gan)
    assert callback.supervised is not None
    assert torch.equal(state, torch.get_rng_state())


def test_the_baseline_is_trained_once_and_kept_over_a_resume(tmp_path, baselines):
    data = held_out(gan := classifier())
    first = classification.Classification(data, every=2, updates=5)
    train(gan, first, Checkpoints(tmp_path, every=2), data=data, max_steps=2)
    assert baselines == [50]
    data = held_out(rest := classifier())
    second = classification.Classification(data, every=2, updates=5)
    train(rest, second, data=data, ckpt_path=tmp_path / "iteration-0000002.ckpt")
    assert rest.iterations == 4
    assert baselines == [50], "it was trained anew"
    assert second.supervised == first.supervised
    assert second.state_dict() == {"supervised": first.supervised}
    assert isinstance(first.supervised, float)
    assert rest.observations.read()["test_error/supervised"] == pytest.approx(first.supervised)


def test_the_reading_is_the_error_at_the_intervals_and_the_end():
    data = held_out(gan := classifier(iterations=5))
    read, error = [], classification.error

    def noted(*given):
        read.append((gan.iterations, error(*given)))
        return read[-1][1]

    with mock.patch.object(classification, "error", noted):
        train(gan, classification.Classification(data, every=2, updates=1), data=data)
    (start, baseline), *readings = read
    assert start == 0
    assert [iteration for iteration, _ in readings] == [2, 4, 5]
    found = gan.observations.read()
    mean = sum(value for _, value in readings) / 3
    assert found["test_error"] == pytest.approx(mean)
    assert found["test_error/supervised"] == pytest.approx(baseline)
    assert readings[-1][1] == pytest.approx(named_by_hand(gan, data.test_images()))


def test_with_all_labels_there_is_an_error_and_no_baseline(baselines):
    data = held_out(gan := classifier(ACGAN))
    train(gan, classification.Classification(data, every=2), data=data)
    found = gan.observations.read()
    assert 0 < found["test_error"] <= 1
    assert "test_error/supervised" not in found
    assert baselines == []


@pytest.mark.parametrize("kind", [SemiSupervised, ACGAN])
def test_where_nothing_is_held_out_nothing_is_read(kind, baselines):
    gan = classifier(kind)
    data = held_out(gan, Digits(8, split="all"))
    train(gan, classification.Classification(data, every=1), data=data)
    assert not [name for name in gan.observations.read() if name.startswith("test_error")]
    assert baselines == []


@pytest.mark.parametrize("kind", [Conditioning, Concat])
def test_where_no_classes_are_named_held_out_images_are_not_even_read(kind, baselines):
    data = held_out(gan := classifier(kind))
    names = gan.conditioning.names_classes
    with mock.patch.object(data, "test_images", side_effect=AssertionError("read in vain")):
        read = classification.Classification(data, every=1, names_classes=names)
        train(gan, read, data=data)
    assert not [name for name in gan.observations.read() if name.startswith("test_error")]
    assert baselines == []


@pytest.mark.parametrize("kind", [SemiSupervised, ACGAN])
def test_held_out_images_that_cannot_be_read_stop_only_the_run_that_is_about_them(kind):
    data = held_out(classifier(kind))
    with mock.patch.object(data, "test_images", side_effect=DataError("no test images")):
        if kind is SemiSupervised:
            with pytest.raises(DataError, match="no test images"):
                classification.Classification(data, every=1)
        else:
            assert classification.Classification(data, every=1).held_out is None


# The budget --------------------------------------------------------------------------------------


def budgeted(*overrides: str) -> ImageData:
    """The data of an experiment, read."""
    experiment = Experiment(**completed(*smoke("nowhere"), *overrides))
    data = experiment.image_data(experiment.build())
    data.setup()
    return data


def test_the_budget_reaches_the_data():
    semi = ["conditioning=semisupervised", "conditioning.labels_per_class=3"]
    data = budgeted(*semi, "conditioning.label_seed=4")
    assert data.labels == LabelBudget(3, 4)
    assert data.labeled_images().labels.bincount().tolist() == [3] * 10
    other_run = budgeted(*semi, "conditioning.label_seed=4", "seed=7")
    assert torch.equal(data.labeled, other_run.labeled), "runs must share their labels"
    assert not torch.equal(data.labeled, budgeted(*semi).labeled)


@pytest.mark.parametrize("choice", ["none", "acgan", "infogan"])
def test_without_a_budget_all_labels_are_known(choice):
    assert budgeted(f"conditioning={choice}").labels is None


def test_more_labels_than_there_are_is_said_before_a_folder_is_made(tmp_path):
    words = [*METHOD, "conditioning.labels_per_class=1000"]
    outcome = run_train("trainer=smoke", "logger=csv", *words, f"output_dir={tmp_path / 'out'}")
    fewest, name = Digits(split="train").read().labels.bincount().min(dim=0)
    sentence = f"1000 labels per class are asked for, but class {name} has only {fewest}"
    assert outcome.code == 2
    assert outcome.err.endswith(f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")
    assert "Traceback" not in outcome.err
    assert not (tmp_path / "out").exists()


# Whole runs --------------------------------------------------------------------------------------


@pytest.fixture
def short_baselines(monkeypatch):
    """A baseline of five updates in place of a thousand."""
    brief = functools.partial(classification.Classification, updates=5)
    monkeypatch.setattr("ganlab.experiments.session.Classification", brief)


def words(*overrides: str) -> list[str]:
    intervals = ["iterations=5", "sample_every=2", "checkpoint_every=100"]
    return [*METHOD, *NARROW, *intervals, *overrides]


def started(folder, *overrides: str):
    """A run by the command line, whatever becomes of it."""
    where = ["trainer=smoke", "logger=csv", f"output_dir={folder}"]
    return run_train(*where, *words(*overrides))


def finished(folder, *overrides: str):
    """The folder of a run that must finish."""
    outcome = started(folder, *overrides)
    assert (outcome.code, outcome.err) == (0, "")
    (run,) = runs_in(folder)
    assert summary(run)["status"] == "finished"
    return run


@pytest.mark.usefixtures("short_baselines")
def test_the_column_is_filled_where_images_are_drawn(tmp_path):
    run = finished(tmp_path)
    assert run.parent.name == "digits-vanilla-nonsaturating-semisupervised-feature_matching"
    table = rows(run)
    assert [int(row["iterations"]) for row in table] == [1, 2, 3, 4, 5]
    for name in ("test_error", "test_error/supervised"):
        there = [row["iterations"] for row in table if row[name]]
        assert there == ["2", "4", "5"], name
    assert len({row["test_error/supervised"] for row in table} - {""}) == 1
    assert all(row["accuracy/labeled"] for row in table)
    gan, images = ganlab.load(run), Digits(8, split="test").read()
    assert float(table[-1]["test_error"]) == pytest.approx(named_by_hand(gan, images))


@pytest.mark.usefixtures("short_baselines")
def test_a_run_without_held_out_images_has_no_such_column(tmp_path):
    table = rows(finished(tmp_path, "data.split=all"))
    assert "accuracy/labeled" in table[0]
    assert not [name for name in table[0] if name.startswith("test_error")]


@pytest.mark.long
@pytest.mark.usefixtures("short_baselines")
@pytest.mark.parametrize("options", [[], ["d_accumulate=2", "mirror=true"]], ids=["whole", "parts"])
def test_an_interrupted_semisupervised_run_goes_on_exactly(tmp_path, monkeypatch, options):
    whole = finished(tmp_path / "whole", *options)
    with signalled(monkeypatch, signal.SIGTERM, 3):
        assert started(tmp_path / "parts", *options).code == 130
    (run,) = runs_in(tmp_path / "parts")
    half = weights(ganlab.load(run))
    with monkeypatch.context() as patch:  # the checkpoint has the baseline
        patch.setattr(classification, "supervised", None)
        assert finished(tmp_path / "parts", *options) == run
    timed = {"seconds", "images_per_second"}
    mine, theirs = (
        [{k: v for k, v in r.items() if k not in timed} for r in rows(part)]
        for part in (run, whole)
    )
    assert mine == theirs
    assert same(weights(ganlab.load(run)), weights(ganlab.load(whole)))
    assert not same(weights(ganlab.load(run)), half), "the comparison would pass on anything"


@pytest.mark.long
@pytest.mark.usefixtures("short_baselines")
def test_d_in_two_parts_learns_what_d_at_once_does(tmp_path):
    """Each part has its share of the labeled images; without noise in D the update is the same."""
    plain = ["model.discriminator.dropout=0.0", "optim@d_optimizer=sgd", "d_optimizer.lr=0.1"]
    plain += ["iterations=1", "sample_every=1"]
    one = weights(ganlab.load(finished(tmp_path / "one", *plain)).conditioning)
    two = weights(ganlab.load(finished(tmp_path / "two", *plain, "d_accumulate=2")).conditioning)
    start = weights(Experiment(**completed(*words(*plain))).build().conditioning)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)
        assert (one[name] - start[name]).abs().max() > 1e-3, "nothing was learned"


@pytest.mark.long
def test_images_without_labels_help(tmp_path):
    """Two labels of each class of digits: fewer errors on sheets that were held out."""
    sizes = ["model.generator.hidden=[64,64]", "model.discriminator.hidden=[128,64]"]
    budget = ["iterations=300", "batch_size=50", "conditioning.labels_per_class=2"]
    often = ["sample_every=300", "log_every=300", "checkpoint_every=300"]
    outcome = run_train(
        *("-m", "experiment=semisupervised", "data=digits", "data.split=train", "data.size=8"),
        *(*sizes, *budget, *often, "seed=0,1,2"),
        *("logger=csv", "trainer=cpu", f"output_dir={tmp_path}"),
    )
    assert (outcome.code, outcome.err) == (0, "")
    last = [rows(run)[-1] for run in runs_in(tmp_path)]
    helped = [float(r["test_error/supervised"]) - float(r["test_error"]) for r in last]
    assert len(helped) == 3
    assert sum(helped) / 3 > 0.02, helped
