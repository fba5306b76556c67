"""Texts of a run as Markdown: whatever they hold, they show as themselves and do nothing."""

import html
import re
import shlex
from collections.abc import Iterable

UNSAFE = re.compile(r"([\\`*_\[\]|~$#!@])")
LINKED = re.compile(r"(?<=:)(?=//)|(?<=\bwww)(?=\.)", re.IGNORECASE)  # GitHub makes these links


def line(value: object) -> str:
    """A value in one line: blanks for line breaks, a mark for each character that does not print.

    These are control characters, and those that turn the direction of a text.
    """
    words = " ".join(str(value).split())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in words)


def text(value: object) -> str:
    """A value as plain text of a paragraph, a list or a table."""
    escaped = UNSAFE.sub(r"\\\1", html.escape(line(value), quote=False))
    return LINKED.sub("\\\\", escaped)


def code(value: object) -> str:
    """A value in the type of code, in a paragraph, a list or a table."""
    shown = line(value) or " "
    ticks = "`" * (longest(shown) + 1)
    space = " " if "`" in shown else ""
    # Tables end a cell at a bar, in code, too; \| is a bar there, and in no other code.
    return f"{ticks}{space}{shown}{space}{ticks}".replace("|", "\\|")


def block(content: str, language: str = "") -> str:
    """Several lines in the type of code."""
    fence = "`" * max(3, longest(content) + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}"


def command(words: Iterable[str]) -> str:
    """A command of a shell in one line."""
    return line(shlex.join(words))


def longest(content: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", content)), default=0)


def table(rows: Iterable[tuple[str, str]], head: tuple[str, str]) -> str:
    """Two columns, of cells that are Markdown already."""
    return "\n".join(f"| {a} | {b} |" for a, b in (head, ("---", "---"), *rows))
