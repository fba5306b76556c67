"""Nothing made on the CPU meets what is on the device that trains, from the first to the last hook.

No GPU is needed: see second_device.py.
"""

import json

import pytest
import torch
from pytorch_lightning import Callback

from commands import completed, run_train, runs_in, summary
from conftest import fit, small_gan
from ganlab.train import train as train_config
from ganlab.training import observations
from ganlab.training.observations import Observations
from second_device import HERE, THERE, MixedDevicesError, OnSecondDevice, second_device

NARROW = ("model.generator.width=8", "model.discriminator.width=8")
EVERY_HOOK = (  # acts several times within 12 iterations, and between two readings of losses
    *("iterations=12", "log_every=4", "sample_every=6", "checkpoint_every=6"),
    *("health.every=2", "health.patience=10", "health.memorisation_every=4", "health.warmup=0"),
)


def train(folder, *words):
    """A run on the second device, whole: data, callbacks, loggers, checkpoints."""
    strategy = "trainer.strategy._target_=second_device.OnSecondDevice"
    with second_device():
        return run_train(
            *("data=digits", "trainer=smoke", "trainer.accelerator=auto", strategy, "logger=csv"),
            *(*EVERY_HOOK, f"output_dir={folder}/outputs", *words),
        )


# The mode itself ----------------------------------------------------------------------------------


def test_tensors_stay_where_they_are_put():
    with second_device():
        there, here = torch.ones(2, device=THERE), torch.ones(2)
        network = torch.nn.Linear(2, 2).to(THERE)
        network(there).sum().backward()
        made = [
            there + 1,
            there.cpu().to(there),
            network.weight,
            network.weight.grad,
            here.to("xpu:0"),
        ]
        assert [tensor.device for tensor in made] == [THERE] * 5
        assert [tensor.device for tensor in (here, here + 1, there.cpu())] == [HERE] * 3
        assert torch.Generator(THERE).device == THERE


@pytest.mark.parametrize(
    "mix",
    [
        lambda there, here: there + here,
        lambda there, here: torch.stack([there.sum(), torch.tensor(1.0)]),
        lambda there, here: torch.cat([here, there]),
        lambda there, here: here[there.long()],
        torch.nn.functional.linear,
        lambda there, here: there.numpy(),
    ],
)
def test_what_a_gpu_refuses_is_refused(mix):
    with second_device(), pytest.raises(MixedDevicesError):
        mix(torch.ones(2, device=THERE), torch.ones(2))


def test_what_a_gpu_allows_is_allowed():
    with second_device():
        there = torch.ones(2, device=THERE)
        assert (there * torch.tensor(2.0)).device == THERE, "numbers in elementwise operations"
        assert there[torch.tensor([0])].device == THERE, "indices of the CPU's"
        assert there.copy_(torch.zeros(2)).device == THERE, "copies"
        assert there.tolist() == [0, 0]


# Whole runs ---------------------------------------------------------------------------------------

RUNS = {
    "default": NARROW,
    "on images that stay on the CPU, mirrored": (*NARROW, "mirror=true", "d_steps=2"),
    "concat": (*NARROW, "conditioning=concat"),
    "projection": (*NARROW, "conditioning=projection"),
    "acgan": (*NARROW, "conditioning=acgan", "data.split=train"),
    "infogan": (*NARROW, "conditioning=infogan"),
    "semisupervised": (
        *(*NARROW, "conditioning=semisupervised", "regularizer=feature_matching"),
        *("data.split=train", "model.discriminator.minibatch=std"),
    ),
    "points": ("data=ring_2d", "model=toy"),
    "penalties": (
        *(*NARROW, "model.discriminator.norm=none", "regularizer=[r1,r2,lecam,consistency]"),
        *("augment=diffaugment", "optim@g_optimizer=extra_adam", "loss=relativistic_average"),
    ),
    "gradient penalty": (
        *(*NARROW, "loss=wasserstein", "regularizer=gradient_penalty", "augment=instance_noise"),
        "model.discriminator.norm=layer",
    ),
    "r3gan": (
        *("experiment=r3gan", "data=digits", "latent.dim=8", "batch_size=8"),
        *("model.generator.width=8", "model.discriminator.width=8"),
    ),
    "stylegan2": (
        *("model=stylegan2", "conditioning=projection", "regularizer=[r1,path_length]"),
        *("model.generator.most=8", "model.discriminator.most=8"),
    ),
    "adaptive augmentation": (
        *(*NARROW, "model.discriminator.norm=none", "regularizer=r1", "augment=ada"),
        *("augment.images=1000", "augment.groups=[blit,geometry,color,filter,noise,cutout]"),
    ),
    "began": ("experiment=znxlwm/began", "data=digits", "metrics=none"),
    "snapshots of what ails": (*NARROW, "health.action=snapshot", "g_optimizer.lr=1e-9"),
    "scores": (*NARROW, "metrics=classifier", "metrics.n=100", "metrics.every=6"),
    "profile": (*NARROW, "profile=true"),
}


@pytest.mark.long
@pytest.mark.parametrize("words", RUNS.values(), ids=RUNS)
def test_a_run_on_a_second_device_ends_well(tmp_path, words):
    outcome = train(tmp_path, *words)
    assert (outcome.code, outcome.err) == (0, "")
    assert "; on xpu" in outcome.out
    (run,) = runs_in(tmp_path / "outputs")
    assert summary(run)["status"] == "finished"


def test_images_on_the_device_are_gathered_there(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.data.module.fits", lambda images, device: True)
    assert train(tmp_path, *NARROW, "mirror=true").code == 0


@pytest.mark.long
def test_a_run_goes_on_between_two_readings(tmp_path):
    """At iteration 6, when the losses of 5 and 6 are in the checkpoint and not yet read."""
    assert train(tmp_path, *NARROW).code == 0
    (run,) = runs_in(tmp_path / "outputs")
    last = run / "checkpoints" / "iteration-0000012.ckpt"
    whole = torch.load(last, weights_only=True)["state_dict"]
    last.unlink()
    (run / "summary.json").write_text(json.dumps(summary(run) | {"status": "running"}))
    assert train(tmp_path, *NARROW).code == 0
    resumed = torch.load(last, weights_only=True)["state_dict"]
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


# Who waits ----------------------------------------------------------------------------------------


class Waits(Callback):
    """How often each iteration waits for the device; the first of all callbacks would see less."""

    def __init__(self, mode, asks=0):
        self.mode, self.asks, self.of = mode, asks, {}

    def on_train_batch_end(self, trainer, gan, *_):
        for _ in range(self.asks):
            next(gan.parameters()).sum().item()
        self.of[gan.iterations], self.mode.waits = self.mode.waits, []


def waits(folder, **options):
    """Of a run with all defaults on, whose readings come every 4 iterations, pictures every 6."""
    words = ("data=digits", "trainer=smoke", "trainer.accelerator=auto", "logger=csv", *NARROW)
    words += (*EVERY_HOOK, "health.every=4", "health.patience=20", "checkpoint_every=12")
    strategy = "trainer.strategy._target_=second_device.OnSecondDevice"
    config = completed(*words, strategy, f"output_dir={folder}/outputs")
    with second_device() as mode:
        seen = Waits(mode, **options)
        train_config(config, "it", callbacks=[seen])
    return seen.of


def test_iterations_wait_for_nothing_and_readings_once(tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.data.module.fits", lambda images, device: True)
    of = waits(tmp_path)
    assert [of[i] for i in (2, 3, 5, 7, 9, 10, 11)] == [[]] * 7
    # The journal's wait, and what health then reads of a device that has nothing left to do.
    assert of[4] == of[8] == ["tolist", "tolist"]
    assert of[6] == ["to"], "a picture's; a CUDA GPU copies it beside its work"


def test_an_iteration_that_waits_is_seen(tmp_path):
    assert waits(tmp_path, asks=1)[3] == ["item"]


# It can fail --------------------------------------------------------------------------------------


def mixing(tensors):
    """As observations were once brought together: wherever each of them was made."""
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.long
def test_readings_that_mix_devices_end_a_run(tmp_path, monkeypatch):
    """The test error is counted on the CPU."""
    monkeypatch.setattr(observations, "together", mixing)
    with pytest.raises(MixedDevicesError, match="cat; on the CPU"):
        train(tmp_path, *RUNS["semisupervised"])


class Counting(Callback):
    """Somebody's own, that counts on the CPU."""

    def __init__(self, note):
        self.note = note

    def on_train_batch_end(self, trainer, gan, *_):
        gan.observations.add("mine", self.note(gan))


@pytest.mark.parametrize(
    "note", [lambda gan: 2.0, lambda gan: torch.tensor(2.0), lambda gan: gan.loss_of_its_own]
)
def test_observations_may_come_from_anywhere(note):
    with second_device():
        gan = small_gan(3)
        gan.loss_of_its_own = torch.tensor(2.0, device=THERE)
        fit(gan, callbacks=[Counting(note)], accelerator="auto", strategy=OnSecondDevice())
        assert gan.observations.read()["mine"] == 2


def test_what_a_checkpoint_observed_is_read_with_what_came_after():
    """Lightning reads a checkpoint before it moves the GAN to its device."""
    with second_device():
        before, after = Observations(torch.sigmoid), Observations(torch.sigmoid)
        for noted, there in ((before, HERE), (after, THERE)):
            noted.add("loss/d", torch.tensor(1.0, device=there))
            noted.add_logits(*torch.zeros(2, 4, device=there))
        went_on = Observations(torch.sigmoid)
        went_on.load_state(before.state())
        went_on.add_packed(*after.packed())
        assert went_on.read() == {"loss/d": 1, "D(x)": 0.5, "D(G(z))": 0.5}
