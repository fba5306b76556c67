"""The recipes of conf/experiment: they say sources and scores, and have the sources' settings."""

import itertools
import json
import re

import pytest
import yaml

from commands import completed, run_train, runs_in
from ganlab.config.checks import conf_dir
from ganlab.config.completion import flattened
from ganlab.runs.folder import identity

RECIPES = {
    file.relative_to(conf_dir() / "experiment").with_suffix("").as_posix(): file
    for file in sorted((conf_dir() / "experiment").rglob("*.yaml"))
}
BASE = "znxlwm/base"  # what the ten below share, and no recipe
TEN = [name for name in RECIPES if name.startswith("znxlwm/") and name != BASE]
SOURCE = re.compile(r"et al\. \d{4}|[A-Z]\w+ & [A-Z]\w+ \d{4}|\b\w+/[\w-]+-[\w-]+")
SCORE = re.compile(r"\b(FID \d|% test error|[Nn]o score is known|has no score)")
FAILURES = {name for name in RECIPES if name.startswith("failure/")}  # ours, and no recipes
SHOWN = {"figure_1", "grid_2d", "proposition_1", "vanishing_gradient"}  # by the laboratory
SILENT = {BASE} | FAILURES | SHOWN  # about scores


def header(text: str) -> str:
    """The comment above the first setting, in one line."""
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return " ".join(line.lstrip("# ") for line in lines if "@package" not in line)


def settings(name: str, *overrides: str) -> dict:
    """The completed config of a recipe, by dotted paths."""
    return dict(flattened(completed(f"experiment={name}", *overrides)))


# What is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(RECIPES) - FAILURES))
def test_a_recipe_names_its_source(name):
    text = RECIPES[name].read_text()
    assert text.startswith("# @package _global_\n# ")
    assert SOURCE.search(header(text))


@pytest.mark.parametrize("name", sorted(set(RECIPES) - SILENT))
def test_a_recipe_says_what_score_it_is_known_for_or_that_none_is_known(name):
    assert SCORE.search(header(RECIPES[name].read_text()))


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_what_fails_says_by_which_signs_and_what_cures_it(name):
    said = header(RECIPES[name].read_text())
    assert said.startswith("Fails on purpose")
    assert "Signature: within" in said
    assert "Cure: " in said


def test_the_rules_see_a_header_without_source_or_score():
    said = header(
        "# @package _global_\n# A GAN of mine\n# that is great.\nx: 1\n# et al. 2014, FID 1"
    )
    assert said == "A GAN of mine that is great."
    assert not SOURCE.search(said)
    assert not SCORE.search(said)
    assert all(not SCORE.search(header(RECIPES[name].read_text())) for name in SILENT)


# The ten of znxlwm -------------------------------------------------------------------------------

SHARED = {
    "data._target_": "ganlab.data.MNIST",
    "latent._target_": "ganlab.latent.Uniform",
    "latent.dim": 62,
    "latent.low": 0.0,
    "latent.high": 1.0,
    "batch_size": 64,
    "iterations": 50 * -(-60000 // 64),  # 50 epochs
    "ema": None,
    "mirror": False,
    **{
        f"{player}_{key}": value
        for player in "gd"
        for key, value in {
            "optimizer._target_": "torch.optim.Adam",
            "optimizer.lr": 2e-4,
            "optimizer.betas": [0.5, 0.999],
            "schedule._target_": "ganlab.schedules.Constant",
            "clip": None,
        }.items()
    },
    "augment._target_": "ganlab.augment.Augment",
    "model.generator._target_": "ganlab.networks.InfoGANGenerator",
}
USUAL = {  # unless OWN says otherwise
    "model.discriminator._target_": "ganlab.networks.InfoGANDiscriminator",
    "model.discriminator.norm": "batch",
    "model.discriminator.slope": 0.2,
    "conditioning._target_": "ganlab.conditioning.Conditioning",
    "loss._target_": "ganlab.losses.NonSaturating",
    "d_steps": 1,
}
AUTOENCODER = "ganlab.networks.AutoencoderDiscriminator"
OWN = {
    "gan": {},
    "lsgan": {"loss._target_": "ganlab.losses.LeastSquares"},
    "wgan": {
        "loss._target_": "ganlab.losses.Wasserstein",
        "d_steps": 5,
        "regularizer.weight_clip._target_": "ganlab.regularizers.WeightClip",
        "regularizer.weight_clip.limit": 0.01,
    },
    "wgan_gp": {
        "loss._target_": "ganlab.losses.Wasserstein",
        "d_steps": 5,
        "model.discriminator.norm": "layer",
        "regularizer.gradient_penalty._target_": "ganlab.regularizers.GradientPenalty",
        "regularizer.gradient_penalty.weight": 10.0,
    },
    "dragan": {
        "model.discriminator.norm": "layer",
        "regularizer.dragan._target_": "ganlab.regularizers.DRAGAN",
        "regularizer.dragan.weight": 0.25,
    },
    "ebgan": {
        "loss._target_": "ganlab.losses.EBGAN",
        "loss.margin": 1.0,
        "model.discriminator._target_": AUTOENCODER,
        "model.discriminator.error": "l2",
        "model.discriminator.norm": "layer",  # theirs, BatchNorm, lets G stay black
        "model.discriminator.slope": None,  # ReLU
        "regularizer.pull_away._target_": "ganlab.regularizers.PullAway",
        "regularizer.pull_away.weight": 0.1,
    },
    "began": {
        "loss._target_": "ganlab.losses.BEGAN",
        "loss.gamma": 1.0,
        "loss.rate": 0.001,
        "model.discriminator._target_": AUTOENCODER,
        "model.discriminator.error": "l1",
        "model.discriminator.norm": "layer",
        "model.discriminator.slope": None,
    },
    "cgan": {"conditioning._target_": "ganlab.conditioning.Concat"},
    "acgan": {"conditioning._target_": "ganlab.conditioning.ACGAN", "conditioning.weight": 1.0},
    "infogan": {
        "conditioning._target_": "ganlab.conditioning.InfoGAN",
        "conditioning.categories": 10,
        "conditioning.continuous": 2,
        "conditioning.weight": 0.1,
        "conditioning.continuous_weight": 0.1,
    },
}


def test_there_are_ten():
    assert {name.removeprefix("znxlwm/") for name in TEN} == OWN.keys()
    assert len(TEN) == 10


@pytest.mark.parametrize("name", TEN)
def test_the_ten_have_the_settings_of_their_source(name):
    own = OWN[name.removeprefix("znxlwm/")]
    wanted, found = {**SHARED, **USUAL, **own}, settings(name)
    assert {key: found.get(key) for key in wanted} == wanted
    of_regularizers = {key.split(".")[1] for key in wanted if key.startswith("regularizer.")}
    assert {key.split(".")[1] for key in found if key.startswith("regularizer.")} == of_regularizers


def test_no_two_recipes_are_the_same_experiment():
    of = {name: identity(completed(f"experiment={name}")) for name in RECIPES if name != BASE}
    assert len(set(of.values())) == len(of)
    with_slope = completed(f"experiment={BASE}", "model.discriminator.slope=0.2")
    assert identity(with_slope) == of["znxlwm/gan"], "only base is a part"


# Recipes made of others --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("sngan_projection", ["conditioning=projection"]),
        (
            "wgan_gp",
            [
                *("loss=wasserstein", "regularizer=gradient_penalty"),
                "model.discriminator.norm=none",
                "model.discriminator.pool=mean",
                "model.generator.init=glorot_inner",
                "model.discriminator.init=glorot_inner",
            ],
        ),
    ],
)
def test_a_recipe_is_sngan_and_what_its_name_says(name, overrides):
    sngan = completed("experiment=sngan")
    made, recipe = completed("experiment=sngan", *overrides), completed(f"experiment={name}")
    assert made == recipe
    assert identity(made) == identity(recipe) != identity(sngan)
    for missing in range(len(overrides)):
        fewer = overrides[:missing] + overrides[missing + 1 :]
        assert identity(completed("experiment=sngan", *fewer)) != identity(recipe)


SHORT = {
    "iterations": 3,
    "batch_size": 8,
    "log_every": 1,
    "sample_every": 3,
    "checkpoint_every": 3,
    "trainer.accelerator": "cpu",
    "trainer.devices": 1,
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_smoke_trainer_shortens_every_recipe_and_changes_nothing_else(name):
    """Whatever the order of the words; what is said by itself still wins."""
    short, whole = settings(name, "trainer=smoke"), settings(name)
    assert {key: short[key] for key in SHORT} == SHORT
    assert whole["iterations"] > 1000
    changed = {key for key in short | whole if short.get(key) != whole.get(key)}
    assert changed <= SHORT.keys()
    assert dict(flattened(completed("trainer=smoke", f"experiment={name}"))) == short
    assert settings(name, "trainer=smoke", "iterations=2")["iterations"] == 2


def test_recipes_are_swept_like_any_other_choice(tmp_path):
    words = ["trainer=smoke", "data=digits", "data.size=28", "logger=csv"]
    sweep = "experiment=znxlwm/gan,znxlwm/lsgan"
    outcome = run_train("-m", sweep, *words, f"output_dir={tmp_path}")
    assert (outcome.code, outcome.err) == (0, "")
    runs = {run.parent.name: run for run in runs_in(tmp_path)}
    assert runs.keys() == {"digits-infogan-nonsaturating", "digits-infogan-least_squares"}
    for run in runs.values():
        summary = json.loads((run / "summary.json").read_text())
        assert (summary["status"], summary["iterations"]) == ("finished", 3)
        saved = yaml.safe_load((run / "config.yaml").read_text())
        assert (saved["latent"]["dim"], saved["latent"]["low"], saved["ema"]) == (62, 0.0, None)
