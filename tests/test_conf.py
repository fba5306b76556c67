"""Every YAML that ganlab ships composes, passes the check, builds and trains for one iteration."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from commands import completed, run_train, runs_in
from conftest import same, weights
from ganlab.config.checks import conf_dir
from ganlab.config.completion import flattened
from ganlab.data import Images
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning
from ganlab.runs.folder import Run
from ganlab.spec import ImageSpec

ONE = ("trainer=smoke", "iterations=1", "batch_size=4")
FREE = "model.discriminator.norm=none"  # a discriminator that all regularizers can live with
LONGEST = {
    "train.yaml": 1000,
    "experiment": 37,
    "sweep": 25,
    "sweep/lucic.yaml": 100,
}  # lines; others have 15


def yamls(group: str) -> list[str]:
    """Names of a group's choices."""
    folder = conf_dir() / group
    files = folder.rglob("*.yaml")
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in files)


POINTS = ("gaussian_1d", "ring_2d", "grid_2d", "swiss_roll", "drawn_2d")  # data without pixels
SMALL = [f"model.{player}.width=16" for player in ("generator", "discriminator")]
NEEDS = {  # what a choice cannot do without, or would take too long without
    "loss/ebgan": ["model=autoencoder"],
    "loss/began": ["model=autoencoder"],
    "model/autoencoder": ["loss=ebgan"],
    "model/tutorial": ["data.size=28"],
    **{f"data/{name}": ["model=toy"] for name in POINTS},
    **{  # what a CPU can train
        f"experiment/stylegan2_{name}": [
            f"model.{p}.most=8" for p in ("generator", "discriminator")
        ]
        for name in ("ada", "f")
    },
    "scale/digits-stylegan2": ["model=stylegan2"],
    "conditioning/semisupervised": ["conditioning.labels_per_class=1"],
    "experiment/r3gan": SMALL,
    "experiment/semisupervised": ["conditioning.labels_per_class=1"],
}


def trained_by(group: str, *templates: str) -> dict[str, list[str]]:
    """File -> overrides that choose it, for each YAML of a group."""
    return {
        f"{group}/{name}.yaml": [
            *(template.format(name) for template in templates),
            *NEEDS.get(f"{group}/{name}", []),
        ]
        for name in yamls(group)
    }


# Every YAML must be in one of these three; a new group fails test_every_yaml_is_exercised.
TRAINED = {
    **trained_by("model", "model={}"),
    **trained_by("loss", "loss={}"),
    **trained_by("conditioning", "conditioning={}"),
    **trained_by("regularizer", "regularizer={}", FREE),
    **trained_by("augment", "augment={}"),
    **trained_by("latent", "latent={}"),
    **trained_by("scale", "scale={}"),
    **trained_by("data", "data={}"),
    **trained_by("optim", "optim@g_optimizer={}", "optim@d_optimizer={}"),
    **trained_by("schedule", "schedule@g_schedule={}", "schedule@d_schedule={}"),
    **trained_by("experiment", "experiment={}"),
    **{f"trainer/{name}.yaml": [f"trainer={name}"] for name in ("auto", "cpu", "smoke")},
}
CHECKED = {
    **{f"trainer/{name}.yaml": [f"trainer={name}"] for name in ("gpu", "ddp")},
    **trained_by("logger", "logger={}"),
    **trained_by("hydra/launcher", "hydra/launcher={}"),  # test_slurm.py launches with it
    **trained_by("health", "health={}"),
    **trained_by("metrics", "metrics={}"),  # test_evaluate.py trains with them
    "train.yaml": [],
    "without/discriminator.yaml": ["model=vae"],
}
SWEPT = {  # test_sweeps.py and test_study.py run them
    "hydra/sweeper/study.yaml": "lucic",
    **{f"sweep/{name}.yaml": name for name in yamls("sweep")},
}


def uncovered(files: set[str]) -> set[str]:
    return files - TRAINED.keys() - CHECKED.keys() - SWEPT.keys()


def shipped() -> dict[str, Path]:
    """All YAML below conf/, by path."""
    folder = conf_dir()
    return {file.relative_to(folder).as_posix(): file for file in folder.rglob("*.yaml")}


class Noise:
    """The smallest source: random images of a given spec."""

    def __init__(self, spec: ImageSpec):
        self.spec = spec

    def check(self):
        pass

    def prepare(self):
        pass

    def read(self):
        generator = torch.Generator().manual_seed(0)
        n = 2 * max(self.spec.classes, 4)
        images = torch.randint(0, 256, (n, *self.spec.shape), generator=generator)
        return Images(images.to(torch.uint8), torch.arange(n) % max(self.spec.classes, 1))


def checked(*overrides: str) -> Experiment:
    """The experiment of a command line that must have no mistakes."""
    return Experiment(**completed(*overrides))


def train_one_iteration(experiment: Experiment, spec: ImageSpec) -> None:
    """All players' weights must move and stay finite."""
    quiet_lightning()
    vars(experiment)["source"] = Noise(spec)
    gan = experiment.build()
    players = [torch.nn.ModuleList(player.networks) for player in gan.players.values()]
    before = [weights(player) for player in players]
    experiment.trainer_with([], []).fit(gan, experiment.image_data(gan))
    assert gan.iterations == 1
    for player, old in zip(players, before, strict=True):
        new = weights(player)
        assert not same(old, new)
        assert all(torch.isfinite(tensor).all() for tensor in new.values())


def images_in(folder: Path) -> Path:
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (16, 16), (i, 2, 3)).save(folder / f"{i}.png")
    return folder


def test_every_yaml_is_exercised():
    assert uncovered(set(shipped())) == set()
    assert uncovered({"loss/hinge.yaml", "new/one.yaml", "trainer/new.yaml"}) == {
        "new/one.yaml",
        "trainer/new.yaml",
    }


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_yaml_is_short(name):
    lines = shipped()[name].read_text().splitlines()
    assert len(lines) <= LONGEST.get(name, LONGEST.get(name.partition("/")[0], 15))


SAID = {  # what --help shows of the choices without being asked, because people will change it
    **{f"data/{name}.yaml": {"size"} for name in yamls("data") if name not in POINTS},
    "data/gaussian_1d.yaml": {"means", "stds", "weights"},
    "data/ring_2d.yaml": {"modes", "radius", "std"},
    "data/grid_2d.yaml": {"side", "spacing", "std"},
    "data/swiss_roll.yaml": {"turns", "std"},
    "data/drawn_2d.yaml": {"strokes", "std"},
    "model/toy.yaml": {"generator.hidden", "discriminator.hidden", "generator.activation"},
    "data/folder.yaml": {"root", "size", "channels"},
    "data/stacked_mnist.yaml": {"root", "size", "n"},
    "model/vanilla.yaml": {"generator.hidden", "generator.norm", "discriminator.dropout"},
}


@pytest.mark.parametrize("name", sorted(SAID))
def test_what_people_will_change_is_in_the_yaml(name):
    assert SAID[name] <= dict(flattened(yaml.safe_load(shipped()[name].read_text()))).keys()


@pytest.mark.parametrize("name", yamls("experiment"))
def test_an_experiment_is_what_its_own_yaml_says(name):
    """Its values win over those of the choices that it makes; the command line wins over both."""
    said = yaml.safe_load(shipped()[f"experiment/{name}.yaml"].read_text())
    lines = [line for line in said.pop("defaults") if isinstance(line, dict)]
    chosen = [item for line in lines for item in line.items()]
    config = completed(f"experiment={name}", "seed=7", "d_optimizer.lr=0.5")
    built = dict(flattened(config))
    said = {key: value for key, value in said.items() if "${" not in str(value)}
    values = {**dict(flattened(said)), "seed": 7, "d_optimizer.lr": 0.5}
    assert {key: built[key] for key in values} == values
    for group, choices in chosen:
        folder, _, node = group.removeprefix("override /").partition("@")
        for choice in [choices] if isinstance(choices, str) else choices:
            file = shipped()[f"{folder}/{choice}.yaml"]
            for path, target in flattened(yaml.safe_load(file.read_text())):
                if path.endswith("_target_"):
                    assert built[f"{node or folder}.{path}"] == target


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(TRAINED))
def test_every_yaml_trains(name, tmp_path):
    overrides = [*ONE, *TRAINED[name]]
    if name == "data/folder.yaml":
        overrides.append(f"data.root={images_in(tmp_path / 'images')}")
    if name.startswith("trainer/"):
        overrides = [*TRAINED[name], *ONE[1:], "log_every=1"]
    experiment = checked(*overrides)
    train_one_iteration(experiment, experiment.source.spec)


@pytest.mark.parametrize("name", sorted(CHECKED))
def test_every_other_yaml_passes_the_check_and_rehearses(name, tmp_path, monkeypatch):
    monkeypatch.setattr("ganlab.scoring.ByInception.check", lambda plan, source: None)
    experiment = checked(*CHECKED[name])
    experiment.rehearse()
    loggers = experiment.loggers(run=Run(tmp_path), title="a run", sweep="a sweep")
    assert len(loggers) == len(experiment.logger)


def widths(*overrides: str) -> tuple[int, int]:
    model = completed(*overrides)["model"]
    return model["generator"]["width"], model["discriminator"]["width"]


def test_a_model_is_scaled_to_the_data_that_the_file_names_and_no_other():
    assert widths() == widths("data=digits", "model=dcgan", "loss=hinge") == (32, 32)
    assert widths("data=cifar10") == widths("data=mnist") == widths("~scale") == (64, 64)
    assert widths("model=sndcgan", "data=mnist") == (64, 64)


def test_what_is_said_wins_over_the_scale():
    assert widths("model.generator.width=7") == (7, 32)
    assert widths("experiment=dcgan") == widths("experiment=dcgan", "data=digits") == (128, 64)


@pytest.mark.parametrize("name", yamls("scale"))
def test_a_scale_is_of_a_model_and_a_data_set_that_exist(name):
    """Hydra passes over the name of any other."""
    assert name in {f"{data}-{model}" for data in yamls("data") for model in yamls("model")}


def test_gpu_and_ddp_ask_for_what_their_names_say():
    gpu, ddp = checked("trainer=gpu").trainer, checked("trainer=ddp").trainer
    assert gpu["accelerator"] == "gpu"
    assert ddp["strategy"]["_target_"] == "ganlab.devices.distributed.SynchronousDDP"
    assert ddp["devices"] == "auto"


SIZES = {  # of models that do not take all of 8, 16, 28, 32
    **dict.fromkeys(("resnet", "sndcgan", "sagan", "biggan"), "8, 16, 32, 64, 128, "),
    "tutorial": "28",
}
SPECS = [ImageSpec(1, 16, 10), ImageSpec(1, 28, 10), ImageSpec(3, 32, 10), ImageSpec(3, 8)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("model", yamls("model"))
def test_every_model_trains_on_every_shape_of_image(model, spec):
    needs = [need for need in NEEDS.get(f"model/{model}", []) if "loss" in need]
    experiment = checked(*ONE, f"model={model}", *needs)
    sizes = SIZES.get(model, str(spec.size))
    if str(spec.size) not in sizes.split(", "):
        with pytest.raises(ConfigError, match=rf"takes images of size {sizes}"):
            experiment.build(spec)
    else:
        train_one_iteration(experiment, spec)


@pytest.mark.parametrize("loss", yamls("loss"))
def test_every_loss_trains_with_all_regularizers_together(loss):
    names = yamls("regularizer")
    needs = NEEDS.get(f"loss/{loss}", [])
    experiment = checked(*ONE, f"loss={loss}", f"regularizer=[{','.join(names)}]", FREE, *needs)
    assert sorted(experiment.regularizer) == names
    train_one_iteration(experiment, ImageSpec(1, 16, 10))


@pytest.mark.long
def test_a_sweep_over_models_and_losses_leaves_a_finished_run_in_each_folder(tmp_path):
    models, losses = "vanilla,dcgan,infogan", "minimax,least_squares"
    where = ["trainer=smoke", "logger=csv", f"output_dir={tmp_path}", "iterations=1"]
    outcome = run_train("-m", f"model={models}", f"loss={losses}", *where)
    assert (outcome.code, outcome.err) == (0, "")
    runs = runs_in(tmp_path)
    cells = {f"digits-{m}-{n}" for m in models.split(",") for n in losses.split(",")}
    assert {run.parent.name for run in runs} == cells
    assert len(runs) == 6
    for run in runs:
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["status"], summary["iterations"]) == ("finished", 1)
