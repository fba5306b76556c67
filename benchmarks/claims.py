"""The quantitative claims of README.md and docs/*.md: where each number comes from.

    python benchmarks/claims.py list          # names and commands
    python benchmarks/claims.py check         # what is stale, and tables that nobody claims
    python benchmarks/claims.py run NAME ...  # runs a claim's command, compares what it gives
    python benchmarks/claims.py table         # writes docs/claims.md

The claims are docs/claims.yaml.  A claim is a `text` that stands in its `file`, or a `table` there,
named by its first title, with a `digest` of its rows.  `read` says how the command's result is
read: `stdout`, a regular expression whose first group is a number, or `scores`, the short name of a
score in the summary.json of the runs; several are averaged.  The result may differ from `value` by
`tolerance`.  A command runs in outputs/claims/NAME, so one that was interrupted goes on.
"""

import hashlib
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
DATA, PAGE = ROOT / "docs" / "claims.yaml", ROOT / "docs" / "claims.md"
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted(PAGE.parent.glob("*.md"))))
HEAD = """# Claims

The quantitative claims of README.md and docs/, each with the command that gives it. `commit` and
`date` are those at which the number first stood in the repository. "not recorded": nobody wrote the
command down. `python benchmarks/claims.py run NAME` runs a claim again that has a value in the last
column, and compares. `python benchmarks/claims.py table` writes this page from `docs/claims.yaml`.
"""


@dataclass(frozen=True)
class Claim:
    """A number that a page states, and how it was found.

    Args:
        name: for the command line.
        file: that states it, relative to the root.
        command: that gives it; empty: not recorded.
        commit, date: when it first stood in the repository.
        hardware, seeds: on which it was measured.
        text: a piece of the file, whatever its line breaks.
        table, digest: the first title of a table of the file, and the digest of its rows.
        read: how the result is read; empty: by eye.
        value, tolerance: the result, and how far it may be off.
    """

    name: str
    file: str
    command: str
    commit: str
    date: str
    hardware: str
    seeds: str
    text: str = ""
    table: str = ""
    digest: str = ""
    read: dict[str, str] = field(default_factory=dict)
    value: float | None = None
    tolerance: float = 0.0

    @property
    def claimed(self) -> str:
        """What is claimed, in a cell of a table."""
        return (self.text or f"the table of '{self.table}'").replace("|", "\\|")


class Table(NamedTuple):
    """A Markdown table of a page: its titles and its rows, line by line."""

    titles: str
    rows: list[str]

    @property
    def first(self) -> str:
        """The first title that is not empty."""
        return next((title for t in self.titles.split("|") if (title := t.strip())), "")

    @property
    def digest(self) -> str:
        """Of the rows; another as soon as a character is another."""
        return hashlib.sha256("\n".join(self.rows).encode()).hexdigest()[:8]


def read() -> tuple[list[Claim], dict[str, list[str]]]:
    """All claims, and by file the first titles of the tables that measure nothing."""
    found = yaml.safe_load(DATA.read_text())
    return [Claim(**row) for row in found["claims"]], found["no measurements"]


def tables(text: str) -> Iterator[Table]:
    """The tables of a page, without those in code."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for block in re.findall(r"(?:^\|.*\n?)+", outside, flags=re.MULTILINE):
        titles, _, *rows = block.splitlines()
        yield Table(titles, rows)


def plain(text: str) -> str:
    """A text with a single space for each run of white space."""
    return " ".join(text.split())


def stale(claim: Claim, page: str) -> str:
    """Why a claim is not what its page says; empty: it is."""
    if claim.text:
        return "" if plain(claim.text) in plain(page) else f"'{claim.text}' is not in {claim.file}"
    found = [table.digest for table in tables(page) if table.first == claim.table]
    if claim.digest in found:
        return ""
    return f"the table of '{claim.table}' in {claim.file} has changed: {', '.join(found) or 'gone'}"


def unclaimed(file: str, page: str, claims: list[Claim], others: list[str]) -> Iterator[str]:
    """Rows of a page's tables that have a number and belong to no claim."""
    here = [claim for claim in claims if claim.file == file]
    whole = {claim.table for claim in here if claim.table} | set(others)
    texts = [plain(claim.text) for claim in here if claim.text]
    for table in tables(page):
        if table.first in whole:
            continue
        for row in table.rows:
            if re.search(r"\d", row) and not any(text in plain(row) for text in texts):
                yield f"{file}: no claim has this row: {row}"


def faults(claims: list[Claim], others: dict[str, list[str]]) -> list[str]:
    """Claims that are not what the pages say, and rows of tables without a claim."""
    pages = {file: (ROOT / file).read_text() for file in PAGES if file != "docs/claims.md"}
    names = [claim.name for claim in claims]
    found = [f"{name}: twice" for name in sorted({n for n in names if names.count(n) > 1})]
    found += [f"{c.name}: {why}" for c in claims if (why := stale(c, pages[c.file]))]
    for file, page in pages.items():
        found += unclaimed(file, page, claims, others.get(file, []))
    return found


def page(claims: list[Claim]) -> str:
    """docs/claims.md."""
    titles = ("name", "claim", "file", "command", "commit", "hardware", "seeds", "date", "checked")
    lines = [titles, ("---",) * len(titles)]
    for c in claims:
        command = f"`{c.command}`".replace("|", "\\|") if c.command else "not recorded"
        measured = (c.commit, c.hardware, c.seeds, c.date)
        lines.append((c.name, c.claimed, c.file, command, *measured, checked(c)))
    return f"{HEAD}\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def checked(claim: Claim) -> str:
    """The value that a command has to give; empty: it is not read."""
    return f"{claim.value:g}, within {claim.tolerance:g}" if claim.value is not None else ""


def arguments(command: str) -> list[str]:
    """The words of a command, with this Python and the benchmarks of this checkout."""
    words = shlex.split(command)
    if words[0] == "ganlab":
        words = ["python", "-m", "ganlab", *words[1:]]
    here = [str(ROOT / word) if word.startswith("benchmarks/") else word for word in words]
    return [sys.executable, *here[1:]]


def results(claim: Claim, printed: str, folder: Path) -> list[float]:
    """The numbers that a command has printed or written."""
    if "stdout" in claim.read:
        return [float(number) for number in re.findall(claim.read["stdout"], printed)]
    values = []
    for file in sorted(folder.rglob("summary.json")):
        cards = json.loads(file.read_text()).get("scores", [])
        scored = [card for card in cards if claim.read["scores"] in card["scores"]]
        if scored:
            newest = max(scored, key=lambda card: card["iterations"])
            values.append(newest["scores"][claim.read["scores"]]["value"])
    return values


def run(claim: Claim) -> bool:
    """Runs a claim's command; says what it gives, and returns whether that is what is claimed."""
    if not claim.command or claim.value is None:
        raise SystemExit(f"{claim.name}: nothing can be compared ({claim.command or 'no command'})")
    folder = ROOT / "outputs" / "claims" / claim.name
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(
        arguments(claim.command),
        cwd=folder,
        env=os.environ | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    found = results(claim, "".join(lines), folder)
    if process.returncode or not found:
        print(f"{claim.name}: no result, exit code {process.returncode}")
        return False
    mean = statistics.fmean(found)
    holds = abs(mean - claim.value) <= claim.tolerance
    verdict = "holds" if holds else "DOES NOT HOLD"
    print(f"{claim.name}: {mean:.6g} (n = {len(found)}), claimed {checked(claim)}: {verdict}")
    return holds


def main() -> None:
    """As the first word says."""
    claims, others = read()
    known = {claim.name: claim for claim in claims}
    match sys.argv[1:]:
        case ["list"]:
            for c in claims:
                runs = "run  " if c.value is not None else "     "
                print(f"{runs}{c.name:28}{c.command or 'not recorded'}")
        case ["check"]:
            found = faults(claims, others)
            print("\n".join(found))
            raise SystemExit(bool(found))
        case ["table"]:
            PAGE.write_text(page(claims))
        case ["run", *names] if names and set(names) <= known.keys():
            held = [run(known[name]) for name in names]  # all, also after one that does not hold
            raise SystemExit(not all(held))
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
