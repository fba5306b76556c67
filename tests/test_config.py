"""A config is checked against the signature it calls, completed with its defaults, and located."""

import copy
from pathlib import Path
from typing import Any, Literal, TypedDict

import pytest

from commands import completed
from ganlab.config import checks
from ganlab.config.checks import conf_dir, problems
from ganlab.config.completion import complete, fitted, flattened, matches
from ganlab.config.injected import INJECTED
from ganlab.config.targets import locate, parameters
from ganlab.config.words import spelled
from ganlab.errors import ConfigError


class Leaf:
    """A nested target; `widths` has a tuple as its default, `hook` one that YAML cannot say."""

    def __init__(self, width: int, widths: tuple[int, ...] = (4, 2), hook=print):
        self.width, self.widths, self.hook = width, widths, hook


class Soft:
    """A nested target of floats."""

    def __init__(self, t: float, both: tuple[float, float]):
        self.t, self.both = t, both


class Pair(TypedDict):
    generator: dict[str, Any]
    discriminator: dict[str, Any]


def root(leaf: dict[str, Any], rate: float, name: str | None = None, steps: int = 1):
    """The callee of these tests."""


def pair(model: Pair):
    """A callee with a group of two settings."""


def open_ended(rate: float, **options):
    """A callee that takes any name."""


LEAF = f"{__name__}.Leaf"


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"leaf": {}, "rate": 1.0, "setps": 2}, "setps: unknown; did you mean 'steps'?"),
        ({"leaf": {}, "rate": 1.0, "zzz": 2}, "zzz: unknown"),
        ({"leaf": {}, "rate": "fast"}, "rate: expected float, got 'fast'"),
        ({"leaf": {}, "rate": True}, "rate: expected float, got True"),
        ({"leaf": {}, "rate": 1, "steps": 1.5}, "steps: expected int, got 1.5"),
        ({"leaf": {}, "rate": 1, "name": 3}, "name: expected str or null, got 3"),
        ({"leaf": 3, "rate": 1}, "leaf: expected a group of settings, got 3"),
        ({"leaf": {}, "rate": "???"}, "rate: missing; set rate=..."),
        ({"leaf": {}}, "rate: missing; set rate=..."),
        ({"leaf": {"a": {"b": "???"}}, "rate": 1}, "leaf.a.b: missing; set leaf.a.b=..."),
    ],
)
def test_one_mistake_is_one_sentence(node, sentence):
    assert problems(node, root) == [sentence]


@pytest.mark.parametrize(
    ("leaf", "sentence"),
    [
        ({"widht": 1, "width": 2}, "leaf.widht: Leaf takes no 'widht'; did you mean 'width'?"),
        ({"width": "2"}, "leaf.width: expected int, got '2'"),
        ({}, "leaf.width: missing; set leaf.width=..."),
        ({"width": 1, "widths": [1, "a"]}, "leaf.widths: expected tuple[int, ...], got [1, 'a']"),
    ],
)
def test_a_nested_target_is_checked_against_its_own_signature(leaf, sentence):
    assert problems({"leaf": {"_target_": LEAF, **leaf}, "rate": 1.0}, root) == [sentence]


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (f"{__name__}.Leav", f"leaf: there is no '{__name__}.Leav'; did you mean '{LEAF}'?"),
        ("ganlab.losses.Hing", "leaf: there is no 'ganlab.losses.Hing'; did you mean "),
        ("no_module.Leaf", "leaf: there is no 'no_module.Leaf' (No module named 'no_module')"),
        ("Leaf", "leaf: _target_: expected a path such as my_module.MyClass, got 'Leaf'"),
    ],
)
def test_a_target_that_does_not_exist_is_named_with_the_nearest(target, sentence):
    (found,) = problems({"leaf": {"_target_": target}, "rate": 1.0}, root)
    assert found.startswith(sentence)


def test_all_mistakes_are_found_at_once():
    node = {"leaf": {"_target_": LEAF, "widht": 1}, "setps": 2, "name": 4}
    assert sorted(problems(node, root)) == [
        "leaf.widht: Leaf takes no 'widht'; did you mean 'width'?",
        "leaf.width: missing; set leaf.width=...",
        "name: expected str or null, got 4",
        "rate: missing; set rate=...",
        "setps: unknown; did you mean 'steps'?",
    ]


def test_settings_of_a_typed_group_are_checked_by_their_own_hints():
    found = problems({"model": {"generator": 3, "discriminator": {}}}, pair)
    assert found == ["model.generator: expected a group of settings, got 3"]


def test_a_typed_group_takes_no_other_settings():
    node = {"model": {"generator": {}, "discriminator": {}, "generatr": {"width": 3}}}
    assert problems(node, pair) == ["model.generatr: unknown; did you mean 'generator'?"]


def test_a_callee_with_any_keywords_takes_any_name_but_checks_the_named_ones():
    assert problems({"rate": 1.0, "anything": 2}, open_ended) == []
    assert problems({"rate": "a", "anything": 2}, open_ended) == ["rate: expected float, got 'a'"]


def test_hydras_own_keys_are_no_arguments():
    node = {"_target_": "x", "_partial_": True, "_convert_": "all", "leaf": {}, "rate": 1.0}
    assert problems(node, root) == []


def test_what_ganlab_passes_by_itself_is_not_missing():
    from ganlab.networks import DCGANGenerator

    assert problems({}, DCGANGenerator, "model.generator") == []
    assert problems({}, DCGANGenerator, "other") == [
        "other.spec: missing; set other.spec=...",
        "other.latent_dim: missing; set other.latent_dim=...",
    ]


@pytest.mark.parametrize(
    ("path", "target", "name", "instead"),
    [
        ("trainer", "pytorch_lightning.Trainer", "max_steps", "; set iterations=..."),
        ("trainer", "pytorch_lightning.Trainer", "max_epochs", "; set iterations=..."),
        (
            *("trainer", "pytorch_lightning.Trainer", "gradient_clip_val"),
            "; set g_clip=... or d_clip=...",
        ),
        (
            *("trainer", "pytorch_lightning.Trainer", "accumulate_grad_batches"),
            "; set g_accumulate=... or d_accumulate=...",
        ),
        ("gan", "ganlab.gan.GAN", "seed", ""),
        ("model.generator", "ganlab.networks.DCGANGenerator", "latent_dim", ""),
        ("d_optimizer", "torch.optim.Adam", "params", ""),
        ("logger.wandb", "ganlab.loggers.WandbRun", "title", ""),
    ],
)
def test_what_ganlab_passes_by_itself_cannot_be_set(path, target, name, instead):
    sentence = f"{path}.{name}: ganlab itself sets it{instead}"
    assert problems({name: 5}, locate(target), path) == [sentence]
    assert name in parameters(locate(target))


@pytest.mark.parametrize(
    ("value", "hint", "fit"),
    [
        (1, float, 1.0),
        (1, float | None, 1.0),
        (None, float | None, None),
        ([0, 0.9], tuple[float, float], [0.0, 0.9]),
        ([1, 2], list[float], [1.0, 2.0]),
        (1, int, 1),
        (1, int | float, 1),
        (1, Any, 1),
        (True, bool | float, True),
        ("1", str, "1"),
        ("a/b", Path, "a/b"),
        ({"a": 1}, dict[str, float], {"a": 1}),
        (print, int, print),
    ],
)
def test_an_int_becomes_a_float_where_one_is_meant_and_nothing_else_changes(value, hint, fit):
    assert repr(fitted(value, hint)) == repr(fit)


@pytest.mark.parametrize(
    ("value", "hint", "fits"),
    [
        (1, float, True),
        (1.5, float, True),
        ("3", int, False),
        (3.0, int, True),
        (3.5, int, False),
        (1.5, int, False),
        (True, int, False),
        (True, bool, True),
        (1, bool, False),
        ([1, 2], tuple[int, ...], True),
        ([1, 2], tuple[float, float], True),
        ([1], tuple[float, float], False),
        ([1, "a"], list[int], False),
        (None, int | None, True),
        (None, int, False),
        ("auto", Literal["auto", "never"], True),
        ("Auto", Literal["auto", "never"], False),
        ("a/b", Path, True),
        (3, Path, False),
        ({"a": 1}, dict[str, Any], True),
        ([], dict[str, Any], False),
        (3, Any, True),
        (print, int, True),  # no plain data: nobody can judge
    ],
)
def test_values_fit_types_as_strictly_as_json(value, hint, fits):
    assert matches(value, hint) is fits
    if not fits:
        with pytest.raises(ValueError, match="validation error"):
            fitted(value, hint)


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "int"),
        (float | None, "float or null"),
        (Literal["a", "b"], "'a' or 'b'"),
        (dict[str, Any], "a group of settings"),
        (Pair, "a group of settings"),
        (Path, "Path"),
    ],
)
def test_types_are_spelled_as_people_write_them(hint, words):
    assert spelled(hint) == words


def test_completing_writes_the_defaults_of_nested_targets():
    node = {"leaf": {"_target_": LEAF, "width": 3}, "rate": 0.5}
    before = copy.deepcopy(node)
    assert complete(node, root) == {
        "leaf": {"_target_": LEAF, "width": 3, "widths": [4, 2]},  # hook is no plain data
        "rate": 0.5,
        "name": None,
        "steps": 1,
    }
    assert node == before, "the given config was changed"


def test_completing_makes_ints_floats_where_floats_are_meant_and_keeps_what_does_not_fit():
    leaf = {"_target_": f"{__name__}.Soft", "t": 1, "both": [0, 0.9]}
    done = complete({"leaf": leaf, "rate": 2, "steps": "many"}, root)
    assert repr((done["rate"], done["leaf"]["t"], done["leaf"]["both"])) == "(2.0, 1.0, [0.0, 0.9])"
    assert done["steps"] == "many"


CHOICES = (
    [],
    ["model=vanilla", "loss=hinge", "regularizer=weight_clip"],
    ["logger=[csv,tensorboard]", "trainer=ddp", "schedule@g_schedule=cosine", "data=cifar10"],
)


@pytest.mark.parametrize("overrides", CHOICES, ids=["default", "vanilla", "ddp"])
def test_a_completed_config_is_complete_and_correct(overrides):
    """Completing it again changes nothing, and it passes the check that it came from."""
    from ganlab.experiments.experiment import Experiment

    node = completed(*overrides)
    assert complete(node, Experiment) == node
    assert problems(node, Experiment) == []


def test_a_completed_config_has_the_librarys_defaults_but_nothing_that_ganlab_passes():
    node = completed()
    assert node["g_optimizer"]["eps"] == 1e-8
    assert node["g_optimizer"]["betas"] == [0.5, 0.999]
    assert node["trainer"]["benchmark"] is None
    assert node["logger"]["wandb"]["tags"] == []
    for path, names in INJECTED.items():
        nodes = dict(flattened(node))
        assert not {f"{path}.{name}" for name in names} & nodes.keys()
    assert not {"run", "title", "sweep"} & node["logger"]["wandb"].keys()


def test_a_config_error_keeps_its_sentences():
    error = ConfigError(["a", "b"])
    assert error.problems == ["a", "b"]
    assert str(error) == "a\nb"


def test_flattened_names_each_leaf_by_its_dotted_path():
    assert dict(flattened({"a": {"b": 1, "c": {"d": [2]}}, "e": {}})) == {
        "a.b": 1,
        "a.c.d": [2],
        "e": {},
    }


def test_the_yaml_lies_in_the_package_if_it_is_there_and_else_in_the_checkout(
    monkeypatch, tmp_path
):
    assert (conf_dir() / "train.yaml").is_file()
    package = tmp_path / "src" / "ganlab"
    (package / "config").mkdir(parents=True)
    monkeypatch.setattr(checks, "__file__", str(package / "config" / "checks.py"))
    assert conf_dir() == tmp_path / "conf"
    (package / "conf").mkdir()
    assert conf_dir() == package / "conf"
