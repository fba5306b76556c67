"""The recipes of conf/experiment: what they say holds, and they have the sources' settings."""

import json
import re

import pytest
import torch
import yaml

from commands import completed, run_train, runs_in
from ganlab.config.checks import conf_dir
from ganlab.config.completion import flattened
from ganlab.config.recipe import Parameters, Recipe, read
from ganlab.experiments.experiment import Experiment
from ganlab.runs.folder import identity

RECIPES = {
    file.relative_to(conf_dir() / "experiment").with_suffix("").as_posix(): file
    for file in sorted((conf_dir() / "experiment").rglob("*.yaml"))
}
BASE = "znxlwm/base"  # what the ten below share, and no recipe
TEN = [name for name in RECIPES if name.startswith("znxlwm/") and name != BASE]
SOURCE = re.compile(r"et al\. \d{4}|[A-Z]\w+ & [A-Z]\w+ \d{4}|\b\w+/[\w-]+-[\w-]+")
FAILURES = {name for name in RECIPES if name.startswith("failure/")}  # ours, and no recipes
SHOWN = {"figure_1", "grid_2d", "proposition_1", "vanishing_gradient"}  # by the laboratory
# Recipes whose source states its budget in epochs.
STATED = {*TEN, "biggan", "biggan_diffaug", "semisupervised"}


def own(name: str) -> dict:
    """What a recipe's own file says in its header."""
    return yaml.safe_load(RECIPES[name].read_text())["recipe"]


def recipe(name: str) -> Recipe:
    """The header that holds: of the file, and of those that it inherits from."""
    return read(completed(f"experiment={name}")["recipe"])


def settings(name: str, *overrides: str) -> dict:
    """The completed config of a recipe, by dotted paths."""
    return dict(flattened(completed(f"experiment={name}", *overrides)))


# What is said ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RECIPES)
def test_every_experiment_begins_with_its_recipe(name):
    assert RECIPES[name].read_text().startswith("# @package _global_\nrecipe:\n  source: ")


@pytest.mark.parametrize("name", sorted(set(RECIPES) - FAILURES))
def test_a_recipe_names_its_source_in_its_own_file(name):
    assert SOURCE.search(own(name)["source"])
    assert not SOURCE.search("A GAN of mine that is great.")


@pytest.mark.parametrize("name", sorted(set(RECIPES) - FAILURES - SHOWN))
def test_a_recipe_says_itself_what_score_it_is_known_for_or_that_none_is_known(name):
    """A recipe that inherits would otherwise quote the score of another."""
    assert [vars(known) for known in recipe(name).known] == [
        {"spread": None, **known} for known in own(name)["known"]
    ]


@pytest.mark.parametrize("name", sorted(FAILURES))
def test_what_fails_says_by_which_signs_and_what_cures_it(name):
    said = recipe(name)
    assert said.source.startswith("Fails on purpose")
    assert said.signature.startswith("Within ")
    cured = completed(f"experiment={name}", *said.cure)
    assert identity(cured) != identity(completed(f"experiment={name}"))


@pytest.mark.parametrize("name", sorted(set(RECIPES) - FAILURES - {BASE}))
def test_the_networks_have_the_sizes_that_the_recipe_states(name):
    with torch.device("meta"):
        gan = Experiment(**completed(f"experiment={name}")).build()
    built = [sum(weight.numel() for weight in player.parameters) for player in gan.players.values()]
    assert "parameters" in own(name)
    assert Parameters(generator=built[0], discriminator=built[1]) == recipe(name).parameters


def passes(config: dict, images: int) -> float:
    """Epochs of so many images that D sees in a run."""
    return config["iterations"] * config["d_steps"] * config["batch_size"] / images


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {BASE}))
def test_a_recipe_trains_for_the_epochs_that_its_source_states(name):
    config, epochs = completed(f"experiment={name}"), recipe(name).epochs
    assert (epochs is not None) == (name in STATED)
    if epochs is not None:
        assert passes(config, epochs.images) == pytest.approx(epochs.number, abs=0.1)


def test_the_ten_see_fifty_epochs_of_mnist_whatever_k_is():
    trained = {name: completed(f"experiment={name}") for name in TEN}
    assert all(passes(config, 60_000) == pytest.approx(50, abs=0.1) for config in trained.values())
    of_k = {config["d_steps"]: config["iterations"] for config in trained.values()}
    assert of_k == {1: 46_875, 5: 9_375}
    fixed = completed("experiment=znxlwm/wgan", "iterations=46900")  # as it was: 250 epochs
    assert passes(fixed, 60_000) == pytest.approx(250, abs=0.2)


def test_the_recipe_is_saved_with_a_run_and_decides_nothing():
    config = completed("experiment=sngan")
    assert config["recipe"]["known"][0]["value"] == 16.77
    assert identity({**config, "recipe": None}) == identity(config)
    assert completed()["recipe"] is None


def test_help_begins_with_the_recipe():
    shown = run_train("experiment=znxlwm/wgan_gp", "--help")
    assert (shown.code, shown.err) == (0, "")
    about, _, rest = shown.out.partition("\n\n")
    first = [line.partition(" ")[0] for line in about.splitlines() if not line.startswith(" ")]
    assert first == ["Source", "Differs", "Known", "Reached", "Budget", "Parameters"]
    assert "FID 20.3 +- 5, " in about
    assert "50 epochs of 60,000 real images" in about
    assert max(map(len, about.splitlines())) <= 100
    assert "== Configuration groups ==" in rest
    assert "recipe:" not in rest
    failing = run_train("experiment=failure/one_image", "--help").out
    assert "Signature   Within 1,500 iterations" in failing
    assert "Cure        d_optimizer.lr=2e-4" in failing
    assert run_train("--help", "loss=hinge").out.splitlines()[0].endswith("is powered by Hydra.")


@pytest.mark.parametrize(
    ("words", "sentences"),
    [
        (["recipe=3"], ["recipe: expected a group of settings or null, got 3"]),
        (["recipe={sourc: me}"], ["recipe.sourc: Recipe takes no 'sourc'; did you mean 'source'?"]),
        (
            ["recipe.differs=all"],
            ["recipe.differs: expected a list, got 'all'; set recipe.differs=[all]"],
        ),
        (["recipe.epochs.number=x"], ["recipe.epochs.number: expected float, got 'x'"]),
        (
            ["recipe.parameters=3", "recipe.known=3"],
            [
                "recipe.known: expected list[Known], got 3",
                "recipe.parameters: expected Parameters or null, got 3",
            ],
        ),
        (
            ["recipe.known=[{score: FID, value: low, by: me}]"],
            [
                "recipe.known[0].value: expected float, got 'low'",
                "recipe.known[0].protocol: missing; set recipe.known[0].protocol=...",
            ],
        ),
    ],
)
def test_a_recipe_that_is_none_is_refused(words, sentences):
    outcome = run_train("experiment=znxlwm/gan", *words)
    assert outcome.code == 2
    assert [line.strip() for line in outcome.err.splitlines()[1:]] == sentences


# The ten of znxlwm -------------------------------------------------------------------------------

SHARED = {
    "data._target_": "ganlab.data.MNIST",
    "latent._target_": "ganlab.latent.Uniform",
    "latent.dim": 62,
    "latent.low": 0.0,
    "latent.high": 1.0,
    "batch_size": 64,
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
    assert made.pop("recipe") != recipe.pop("recipe")
    assert made == recipe
    assert identity(made) == identity(recipe) != identity(sngan)
    for missing in range(len(overrides)):
        fewer = overrides[:missing] + overrides[missing + 1 :]
        assert identity(completed("experiment=sngan", *fewer)) != identity(recipe)


SHORT = {
    "iterations": 3,
    "minutes": None,
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


@pytest.mark.long
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
