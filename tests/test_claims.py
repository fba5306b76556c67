"""Every number of the README and docs/ that was measured has a claim, and every claim is true."""

import runpy
import shlex
import sys
from dataclasses import replace

import pytest

from conftest import ROOT
from test_readme import ALL, wrong

sys.path.insert(0, str(ROOT / "benchmarks"))

import claims as benchmark
from claims import Claim

CLAIMS, OTHERS = benchmark.read()
ABOUT = {"commit": "abc", "date": "2026-01-01", "hardware": "a CPU", "seeds": "0"}
TEXT = "| loop | speed |\n|---|---|\n| ours | 1.35 |\n\nIt takes\n401 s.\n"


def claim(**given):
    return Claim(**{"name": "speed", "file": "README.md", "command": "", **ABOUT, **given})


def test_the_pages_say_what_is_claimed_and_every_measurement_is_claimed():
    assert benchmark.faults(CLAIMS, OTHERS) == []


def test_the_page_of_claims_is_up_to_date():
    assert benchmark.PAGE.read_text() == benchmark.page(CLAIMS), "python benchmarks/claims.py table"


def test_a_text_is_found_whatever_its_line_breaks_and_a_changed_number_is_not():
    assert benchmark.stale(claim(text="takes 401 s"), TEXT) == ""
    assert benchmark.stale(claim(text="takes 402 s"), TEXT) == "'takes 402 s' is not in README.md"


def test_a_table_is_another_as_soon_as_a_number_is_another():
    (table,) = benchmark.tables(TEXT)
    held = claim(table="loop", digest=table.digest)
    assert benchmark.stale(held, TEXT) == ""
    assert "has changed" in benchmark.stale(held, TEXT.replace("1.35", "1.36"))
    assert "has changed: gone" in benchmark.stale(held, "")


def test_a_row_with_a_number_needs_a_claim():
    found = lambda *claims, others=(): list(
        benchmark.unclaimed("README.md", TEXT, [*claims], [*others])
    )
    assert found() == ["README.md: no claim has this row: | ours | 1.35 |"]
    assert found(claim(text="| ours | 1.35 |")) == []
    assert found(claim(table="loop")) == []
    assert found(others=["loop"]) == []
    assert found(claim(text="1.35", file="docs/scores.md")) != [], "of another page"


# What a page shows is tried by test_readme.py.
COMMANDS = sorted({shlex.join(shlex.split(one.command)) for one in CLAIMS if one.command} - {*ALL})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_given(command):
    """A ganlab command composes; a benchmark exists and has these options."""
    words = shlex.split(command)
    if words[1].startswith("benchmarks/"):
        found = runpy.run_path(str(ROOT / words[1]))
        known = found["OPTIONS"] if "OPTIONS" in found else found["Options"].__annotations__
        assert {word.partition("=")[0] for word in words[2:]} <= known.keys()
    else:
        assert wrong(command) == []


def test_a_result_is_compared_if_it_can_be_read():
    for one in CLAIMS:
        assert (one.value is not None) == bool(one.read) == (one.tolerance > 0), one.name


@pytest.mark.parametrize(("value", "holds"), [(3.0, True), (3.4, False)])
def test_a_claim_is_run_again_and_compared(value, holds, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    one = claim(command="python -c 'print(\"x 2\\nx 4\")'", read={"stdout": r"x (\d)"})
    assert benchmark.run(replace(one, value=value, tolerance=0.1)) is holds
    said = f"speed: 3 (n = 2), claimed {value:g}, within 0.1: "
    assert said + ("holds" if holds else "DOES NOT HOLD") in capfd.readouterr().out


def test_a_command_that_fails_is_no_result(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    one = claim(command="python -c 'print(2); raise SystemExit(1)'", read={"stdout": r"(\d)"})
    assert not benchmark.run(replace(one, value=2.0))
    assert "no result, exit code 1" in capfd.readouterr().out
