"""Commands with verbs: the first word names a function, the second may be its first argument."""

from pathlib import Path

import pytest

from commands import run_main
from ganlab.commands import command_line
from ganlab.commands.words import understood
from ganlab.errors import ConfigError


def look(folder: str, columns: int = 4, *, by: str | None = None) -> None:
    """Looks at a folder.

    Args:
        folder: where.
        columns: how many.
        by: whose; null: anybody's.
    """
    print(repr(folder), columns, by)


def tidy(folder: str) -> None:
    """Tidies a folder up."""
    raise ValueError(f"there is nothing in {folder}")


def keep(folder: str) -> None:
    """Keeps something in a folder."""
    Path(folder, "kept.txt").write_text("kept")


VERBS = {"look": look, "tidy": tidy, "keep": keep}


def run(*words: str):
    return run_main(lambda: command_line.call_one_of(VERBS), *words)


def refused(sentence: str) -> tuple[int, str, str]:
    return 2, "", f"ganlab: 1 mistake, nothing was started\n  {sentence}\n"


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["look", "a/b"], "'a/b' 4 None"),
        (["look", "folder=a/b"], "'a/b' 4 None"),
        (["look", "a", "columns=2", "by=me"], "'a' 2 me"),
        (["look", "columns=2", "folder=a"], "'a' 2 None"),
        (["look", "folder=12345678"], "'12345678' 4 None"),
        (["look", "folder=my pictures #2/ü: a"], "'my pictures #2/ü: a' 4 None"),
        (["look", "folder=*/*", "by=null"], "'*/*' 4 None"),
        (["look", 'folder="a"', "by='null'"], "'a' 4 null"),
        (["look", "12345678"], "'12345678' 4 None"),  # a run's id, which YAML takes for a number
        (["look", "1e234567"], "'1e234567' 4 None"),
        (["look", "null"], "'null' 4 None"),
        (["look", 'my "best": ü'], """'my "best": ü' 4 None"""),
    ],
)
def test_the_word_after_the_verb_is_the_first_argument_as_it_is_spelled(words, printed):
    assert run(*words) == (0, f"{printed}\n", "")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lok"], "there is no 'lok'; did you mean 'look'? (look, tidy, keep)"),
        (["folder=a", "look"], "there is no 'folder=a' (look, tidy, keep)"),
        (["look"], "folder: missing; set folder=..."),
        (["look", "a", "b"], "'b': expected name=value"),
        (["look", "columns=2", "a"], "'a': expected name=value"),
        (["look", "a", "column=2"], "column: unknown; did you mean 'columns'?"),
        (["look", "a", "columns=two"], "columns: expected int, got 'two'"),
        (["tidy", "a"], "there is nothing in a"),
        (["keep", "nowhere"], "'nowhere/kept.txt': No such file or directory"),
    ],
)
def test_a_wrong_word_is_refused_in_one_sentence(words, sentence):
    assert run(*words) == refused(sentence)


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]], ids=str)
def test_help_lists_the_verbs_with_what_they_do(words):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert "  look  Looks at a folder.\n  tidy  Tidies a folder up.\n" in out


@pytest.mark.parametrize("words", [["look", "--help"], ["look", "a", "-h"]], ids=str)
def test_help_of_a_verb_is_its_docstring_and_nothing_is_called(words):
    code, out, err = run(*words)
    assert (code, err) == (0, "")
    assert out.startswith("Looks at a folder.\n\nArgs:\n    folder: where.\n")


def test_a_call_without_verbs_takes_no_word_without_a_name():
    assert run_main(lambda: command_line.call(look), "a/b") == refused("'a/b': expected name=value")
    assert run_main(lambda: command_line.call(look), "folder=a/b") == (0, "'a/b' 4 None\n", "")


def test_a_verb_and_its_words_can_be_checked_without_calling():
    assert command_line.chosen(VERBS, ["look", "a", "by=me"]) == (look, ['folder="a"', "by=me"])
    with pytest.raises(ConfigError, match="there is no 'lok'"):
        command_line.chosen(VERBS, ["lok"])


def test_a_home_is_meant_where_a_shell_has_left_its_sign(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert understood(["data.root=~/my data"]) == ["data.root=/home/me/my data"]
    for other in ("~/data", "a=b~/c", "loss=hinge"):
        assert understood([other]) == [other]
