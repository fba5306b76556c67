"""Command lines made by hypothesis: each is accepted, or refused with a sentence and exit code 2.

`GANLAB_CASES=2000 pytest tests/test_command_line.py` tries that many, at random.
"""

import copy
import io
import json
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from commands import completed, run_evaluate, run_main, run_sample, run_sweep
from ganlab.commands import command_line, composition
from ganlab.commands.preflight import checked, preflight
from ganlab.commands.words import understood
from ganlab.config.completion import flattened
from ganlab.config.settings import Settings
from ganlab.wandb import VERBS as WANDB

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "ganlab-hypothesis")  # not where tests run
CASES = int(os.environ.get("GANLAB_CASES", "0"))
BASES = (
    [],
    ["conditioning=acgan", "data.split=train"],
    ["loss=wasserstein", "regularizer=[gradient_penalty]", "model.discriminator.norm=layer"],
    ["data=ring_2d", "model=toy"],
    ["metrics=classifier", "augment=diffaugment"],
    ["logger=[csv,tensorboard]", "optim@g_optimizer=extra_adam", "schedule@d_schedule=linear"],
    ["data=folder", "data.root=."],
)
NUMBERS = ["0", "-1", "1", "2", "0.5", "1e-9", "-0.0", "1e400", "nan", "inf", "-inf", "1_000"]
NUMBERS += ["99999999999999999999", "2147483648", "0x10", "1.", "٣"]
TEXTS = [
    "''",
    "abc",
    "a b",
    "'a,b'",
    "é",
    "../x",
    "/dev/null",
    "~",
    "\\t",
    "%",
    "a=b",
    "None",
    "auto",
]
SWITCHES = ["null", "true", "false", "yes"]
GROUPS = ["{}", "{a:1}", "{a:{b:[1]}}", "[]", "[1]", "[1,2,3]", "[null]", "[[1,2],[3]]", "[a,a]"]
GROUPS += ["{_target_:3.7}", "{_target_:null}", "{_target_:{a:1}}", "{_target_:print}"]
GROUPS += [
    "{_target_:builtins.open}",
    "{_target_:.a.b}",
    "{_target_:ganlab}",
    "{_target_:os.getcwd}",
]
GROUPS += ["{_target_:ganlab.losses.Hinge}", "{_partial_:true}", "{_args_:[1]}"]
ODD = ["???", "${seed}", "${nope}", "${oc.env:NOPE}", "${", "}", "[", "'", '"', "\\x1b[31m", "\\0"]
SWEPT = [
    "1,2",
    "range(0,3)",
    "range(0,3,-1)",
    "choice(1,2)",
    "choice()",
    "interval(0,1)",
    "glob(*)",
]
VALUES = (*NUMBERS, *TEXTS, *SWITCHES, *GROUPS, *ODD, *SWEPT)
HYDRA = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
CHOICES = ("model", "loss", "regularizer", "conditioning", "augment", "data", "latent", "trainer")
CHOICES += ("metrics", "health", "logger", "experiment", "sweep", "optim@g_optimizer", "scale")


def tried(examples: int):
    """Settings of a property: few examples, or as many as are asked for."""
    return settings(max_examples=CASES or examples, suppress_health_check=list(HealthCheck))


@cache
def right() -> dict[str, str]:
    """Every dotted key of the completed configs, with a value that is right."""
    leaves = [leaf for base in BASES for leaf in flattened(completed(*base))]
    return {name: json.dumps(value) for name, value in leaves}


@cache
def keys() -> list[str]:
    """These, and the keys of nodes."""
    roots = dict.fromkeys(name.partition(".")[0] for name in right())
    return [*right(), *roots, *(f"{name}.{key}" for name in roots for key in HYDRA)]


@st.composite
def words(draw) -> list[str]:
    """A command line: a base and one to three odd words."""
    base = list(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            base.append("=".join(draw(st.sampled_from(list(right().items())))))
            continue
        key = draw(st.sampled_from([*keys(), *CHOICES]))
        if draw(st.integers(0, 9)) == 0:
            key = key[:-1] or "x"
        prefix = draw(st.sampled_from(["", "", "", "", "", "+", "++", "~"]))
        value = draw(st.sampled_from(VALUES) | st.text(max_size=4))
        assign = draw(st.sampled_from(["=", "=", "=", "=", "=", "=", "=", "=", "=", ""]))
        base.append(f"{prefix}{key}{assign}{value}")
    return ["-m", *base] if draw(st.integers(0, 3)) == 0 else base


@pytest.fixture(autouse=True)
def somewhere_else(tmp_path, monkeypatch):
    """Nothing lies in the folder, and W&B stays away from the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("GANLAB_DATA_ROOT", str(tmp_path))
    keys()  # hypothesis wants no random numbers drawn while it makes words, and torch draws some
    return tmp_path


def answered(line: list[str]):
    """What the pre-flight says of a command line: (exit code, stderr, plan)."""
    err, argv, plan, code = io.StringIO(), sys.argv, None, 0
    sys.argv = ["ganlab", *line]
    try:
        with redirect_stderr(err), redirect_stdout(io.StringIO()), command_line.exit_with_message():
            asked = composition.arguments()
            asked.overrides = understood(asked.overrides)
            plan = preflight(asked)
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv = argv
    return code, err.getvalue(), plan


@pytest.mark.long
@tried(100)
@given(words())
def test_every_command_line_is_accepted_or_refused_with_a_sentence(line):
    code, err, plan = answered(line)
    assert list(Path().iterdir()) == [], "something was written"
    if plan is None:
        assert code == 2
        assert err.startswith(("ganlab: ", "usage: "))
        assert "Traceback" not in err
    else:
        assert (code, err) == (0, "")


@pytest.mark.long
@tried(20)
@given(words())
def test_what_is_accepted_is_plain_and_composes_to_the_same_again(line):
    code, _, plan = answered([word for word in line if word != "-m"])
    if code or plan is None:
        return
    composer = composition.Composer()
    first, second = (
        checked(composition.without_hydra(composer.compose(plan.words)[0])) for _ in range(2)
    )
    assert first == second
    json.dumps(first)
    Settings(**copy.deepcopy(first))


def called(kind: str, line: list[str]):
    """A command that names a run, on some words."""
    if kind == "sample":
        return run_sample(*line)
    if kind == "evaluate":
        return run_evaluate(*line)
    if kind == "sweep":
        return run_sweep(*line)
    return run_main(lambda: command_line.call_one_of(WANDB), *line)


WORDS_OF = {
    "sample": (["run=nowhere"], ("run", "n", "seed", "labels", "checkpoint", "grid", "trust")),
    "evaluate": (["run=nowhere"], ("run", "n", "seed", "protocol", "format", "repeats", "check")),
    "sweep": (["table", "nowhere"], ("folder", "by", "format", "checkpoint")),
    "wandb": (["dashboard", "nowhere"], ("folder", "name", "project")),
}


@tried(50)
@given(
    st.sampled_from(list(WORDS_OF)),
    st.integers(0, 6),
    st.sampled_from(VALUES) | st.text(max_size=4),
)
def test_words_of_the_other_commands_are_refused_with_a_sentence(kind, i, value):
    """The run does not exist, so none of them can be right."""
    first, names = WORDS_OF[kind]
    outcome = called(kind, [*first, f"{names[i % len(names)]}={value}"])
    assert outcome.code == 2
    assert outcome.err.startswith("ganlab: ")
    assert list(Path().iterdir()) == []
