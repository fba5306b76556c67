"""What people write on the command line, as Hydra's grammar has it."""

import re
import shlex
import time
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from ganlab.errors import ConfigError

# Keys whose values are paths, which may have any letters.
PATHS = ("output_dir", "data.root", "resume", "start.run", "metrics.weights")
PLAIN = r"[\w/\\+.$%*@?|:, =-]"  # what Hydra's grammar takes without quotes; letters are ASCII
SPELLED_OUT = {  # word -> what it says in full
    r"^start=": "start.run=",
    r"^resume=true$": "resume=auto",
    r"^resume=false$": "resume=never",
}


def understood(words: list[str]) -> list[str]:
    """The words of a command line, with what is short for something spelled out.

    `key=~/path` and `${now:%Y}` are replaced by what they mean at this moment, so that it is the
    same throughout the command; paths with letters that are not in Hydra's grammar are quoted.
    """
    parser = OverridesParser.create()
    return [one(word, parser) for word in words]


def one(word: str, parser: OverridesParser) -> str:
    """One word, spelled out."""
    word = re.sub(r"=~(?=/)", lambda _: f"={Path.home()}", word, count=1)
    word = re.sub(r"\$\{now:([^}]*)\}", lambda found: time.strftime(found[1]), word)
    for short, full in SPELLED_OUT.items():
        word = re.sub(short, full, word)
    key, _, value = word.partition("=")
    return f"{key}={quoted(value)}" if key in PATHS and needs_quotes(word, parser) else word


def needs_quotes(word: str, parser: OverridesParser) -> bool:
    """Whether the path in `key=path` would be no text, or several, in Hydra's grammar."""
    value = word.partition("=")[2]
    if not value or value[0] in "'\"":
        return bool(value) and Path(value).exists()
    try:
        parsed = parser.parse_override(word)
    except HydraException:
        return True
    if parsed.is_sweep_override() or isinstance(parsed.value(), list | dict):
        return Path(value).exists()
    return isinstance(parsed.value(), int | float)


def quoted(value: str) -> str:
    """A text in quotes, as Hydra reads it."""
    inside = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), value)
    return f"'{inside}'"


def require_grammar(word: str, parser: OverridesParser) -> None:
    """Raises ConfigError for a word that Hydra cannot read; names the letter that needs quotes."""
    key, equals, value = word.partition("=")
    if equals and not key:
        raise ConfigError([f"'{word}': expected key=value"])
    try:
        parser.parse_override(word)
    except HydraException as error:
        odd = re.sub(PLAIN, "", value, flags=re.ASCII)
        if not equals or not odd:
            raise ConfigError([f"'{word}': expected key=value"]) from error
        mark = "'" if '"' in value else '"'
        way = shlex.quote(f"{key}={mark}{value}{mark}")
        raise ConfigError([f"'{word}': the value needs quotes, for its {odd[0]}: {way}"]) from error
