"""Signatures read from source are those of inspection, or none; and nothing is imported."""

import importlib
import itertools
import re
import sys

import pytest

from ganlab.config import signatures
from ganlab.config.checks import UncertainError, call_problems, conf_dir, locate
from ganlab.config.signatures import Signature, is_certain, read

TARGETS = sorted(
    set().union(
        *(
            re.findall(r"_target_: ([\w.]+)", file.read_text())
            for file in conf_dir().rglob("*.yaml")
        )
    )
)
VALUES = ("text", "batch", 3, 1.5, True, None, [1, 2], [0.5, 0.9], ["a"], [])
numbers = itertools.count()


def alike(mine: Signature, theirs: Signature) -> bool:
    """The same names, order included; of the types those that were read."""
    names = [list(one.required.items()) for one in (mine, theirs)]
    found = {name: mine.hints[name] for name in mine.required if name in mine.hints}
    return (
        names[0] == names[1]
        and (mine.name, mine.is_open) == (theirs.name, theirs.is_open)
        and found.keys() == {name for name in theirs.required if name in theirs.hints}
        and all(hint == theirs.hints[n] for n, hint in found.items() if is_certain(hint))
    )


def judged(signature: Signature, name: str, value: object) -> list[str] | None:
    """What is said of one argument; None: that cannot be told."""
    try:
        return call_problems({name: value}, signature, "node")
    except UncertainError:
        return None


def test_a_class_of_two_bases_is_left_to_inspection():
    assert read("ganlab.optimizers.ExtraAdam") is None


@pytest.mark.parametrize(
    "target", [target for target in TARGETS if ".game_optimizers." not in target]
)
def test_what_the_yaml_names_is_read_as_inspection_finds_it(target):
    mine, theirs = read(target), Signature.of(locate(target))
    assert mine is not None
    assert alike(mine, theirs)
    for name, value in itertools.product([*mine.required, "widht"], VALUES):
        said = judged(mine, name, value)
        assert said in (None, judged(theirs, name, value)), (name, value)


def test_few_judgements_are_left_to_inspection():
    """Only where the type is another library's class, or made of it."""
    mine = read("ganlab.networks.DCGANDiscriminator")
    assert {n for n in mine.required if judged(mine, n, "text") is None} == {"spec"}
    mine = read("torch.optim.Adam")
    assert {n for n in mine.required if judged(mine, n, "text") is None} == {
        *("params", "lr", "betas")
    }
    assert judged(mine, "lr", 0.1) is not None


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A function from source to (what is read of its `it`, the function that imports `it`)."""
    monkeypatch.syspath_prepend(tmp_path)

    def of(source: str):
        name = f"module_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        found = read(f"{name}.it")
        assert name not in sys.modules, "reading has imported it"
        return found, lambda: importlib.import_module(name).it

    return of


DATACLASS = "from dataclasses import dataclass, field, InitVar, KW_ONLY\n"
READABLE = {
    "function": "def it(a, b: int, /, c: str = 'x', *, d: float, e=1): pass",
    "open": "def it(a: int = 3, *args, **options): pass",
    "class": "class it:\n    def __init__(self, a: 'int | None', b: bool = True): pass",
    "nothing": "class it: pass",
    "inherited": "class A:\n    def __init__(self, a: int): pass\nclass it(A): pass",
    "object": "class it(object):\n    b = 3",
    "dataclass": f"{DATACLASS}@dataclass(frozen=True)\nclass it:\n    a: int\n    b: list[int] = "
    "field(default_factory=list)\n    c: str = 'x'",
    "heir": f"{DATACLASS}from typing import ClassVar\n@dataclass\nclass A:\n    a: int\n    b: int"
    " = 1\n@dataclass(kw_only=True)\nclass it(A):\n    d: ClassVar[int] = 3\n    b: float = 2.0\n"
    "    c: str",
    "alias": "from typing import Literal\nKind = Literal['a', 'b']\ndef it(kind: Kind = 'a'): pass",
    "module": "import typing as t\ndef it(a: t.Optional[int], b: t.Any = 1): pass",
    "elsewhere": "from ganlab.networks import DCGANGenerator as it",
}
UNREADABLE = {
    "absent": "def other(): pass",
    "conditional": "import sys\nif sys.maxsize > 1:\n    def it(a): pass",
    "starred": "from ganlab.losses import *\nit = Hinge",
    "assigned": "import functools\nit = functools.partial(print, sep='')",
    "decorated": "def f(g): return lambda b: g(b)\n@f\ndef it(a): pass",
    "wrapped": "def f(g): return g\nclass it:\n    @f\n    def __init__(self, a): pass",
    "metaclass": "class M(type):\n    def __call__(cls, b): pass\nclass it(metaclass=M):\n"
    "    def __init__(self, a): pass",
    "new": "class it:\n    def __new__(cls, a): pass",
    "two bases": "class A: pass\nclass B:\n    def __init__(self, b): pass\nclass it(A, B): pass",
    "attribute": "from torch import nn\nclass it(nn.Linear): pass",
    "tuple": "from typing import NamedTuple\nclass it(NamedTuple):\n    a: int",
    "protocol": "from typing import Protocol\nclass A(Protocol): pass\nclass it(A): pass",
    "enum": "from enum import Enum\nclass it(Enum):\n    a = 1",
    "not made": f"{DATACLASS}@dataclass\nclass it:\n    a: int = field(init=False)",
    "init only": f"{DATACLASS}@dataclass\nclass it:\n    a: InitVar[int]",
    "marker": f"{DATACLASS}@dataclass\nclass it:\n    _: KW_ONLY\n    a: int",
    "broken": "def it(:",
}


@pytest.mark.parametrize("source", READABLE.values(), ids=READABLE)
def test_what_is_read_is_what_inspection_finds(written, source):
    mine, imported = written(source)
    assert mine is not None
    assert alike(mine, Signature.of(imported()))


@pytest.mark.parametrize("source", UNREADABLE.values(), ids=UNREADABLE)
def test_what_the_source_does_not_say_outright_is_not_guessed(written, source):
    assert written(source)[0] is None


@pytest.mark.parametrize(
    ("source", "name"),
    [("def it(a: int): pass", "b"), ("class it:\n    def __init__(self, a: float): pass", "a")],
)
def test_the_comparison_sees_another_signature(written, source, name):
    mine, imported = written(source)
    theirs = Signature.of(imported())
    assert alike(mine, theirs)
    assert not alike(Signature(mine.name, {name: True}, {name: int}), theirs)


@pytest.mark.parametrize("target", ["no_module.It", "It", "", "ganlab.losses.Hing", "math.sin"])
def test_what_there_is_not_is_not_read(target):
    assert read(target) is None


def test_a_value_that_fits_what_was_read_fits_whatever_the_rest_is(written):
    source = "from numpy import ndarray\ndef it(a: float | ndarray, b: ndarray, c: list['X']): pass"
    mine, _ = written(source)
    assert judged(mine, "a", 1.5)[0].endswith("b: missing; say node.b=...")
    assert [judged(mine, name, "text") for name in "abc"] == [None] * 3
    assert not any(is_certain(mine.hints[name]) for name in "abc")
    assert is_certain(int | None)


def test_a_module_that_has_changed_is_read_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "changing_module.py"
    file.write_text("def it(a): pass")
    assert list(read("changing_module.it").required) == ["a"]
    file.write_text("def it(a, b): pass")
    changed = file.stat().st_mtime_ns + 1
    import os

    os.utime(file, ns=(changed, changed))
    assert list(read("changing_module.it").required) == ["a", "b"]


def test_what_is_imported_is_inspected(monkeypatch):
    from ganlab.config.checks import problems

    monkeypatch.setattr(signatures, "read", None)
    node = {"loss": {"_target_": "ganlab.losses.Hinge", "foo": 1}}
    assert problems(node, lambda loss: None) == ["loss.foo: Hinge takes no 'foo'"]
