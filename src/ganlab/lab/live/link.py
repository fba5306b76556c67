"""What a page shows, as the query of its URL."""

from dataclasses import dataclass, fields, replace
from urllib.parse import parse_qsl, urlencode

from ganlab.config.words import nearest
from ganlab.errors import ConfigError
from ganlab.lab.live.layers import LAYERS
from ganlab.lab.live.match import SHARED
from ganlab.lab.live.setup import NAMES, Range, Setup, shown, written

SWITCHED = tuple(name for name in LAYERS if name != "measures")  # those with a switch
AT_FIRST = ("real", "generated", "heat", "densities")
FURTHER = ("beside", "layers", "iterations")
FAR = Range(0, 10**6, whole=True)  # iterations that a link may ask for


@dataclass(frozen=True)
class Link:
    """A state of the page that somebody can send to somebody else.

    Args:
        setup: what is trained.
        beside: what is trained beside it, on the same data, noise and seed; None: nothing.
        layers: names in SWITCHED: what is drawn.
        iterations: after which the training pauses; 0: it has not started.
    """

    setup: Setup
    beside: Setup | None = None
    layers: tuple[str, ...] = AT_FIRST
    iterations: int = 0

    def query(self) -> str:
        """What is not the default, as the query of a URL, without '?'."""
        further = {}
        if self.beside is not None:
            further["beside"] = self._differences(self.beside)
        if self.layers != AT_FIRST:
            further["layers"] = ",".join(self.layers)
        if self.iterations:
            further["iterations"] = str(self.iterations)
        return "&".join(filter(None, [self.setup.query(), urlencode(further, safe=",")]))

    def _differences(self, beside: Setup) -> str:
        own = {name: getattr(beside, name) for name in NAMES if name not in SHARED}
        differing = {n: written(v) for n, v in own.items() if v != getattr(self.setup, n)}
        return urlencode(differing, safe=":,")

    @classmethod
    def from_query(cls, text: str) -> "Link":
        """The link of a URL's query.

        Raises:
            ConfigError: a sentence for each name or value that is wrong.
        """
        given = parse_qsl(text.removeprefix("?"), keep_blank_values=True)
        further = {name: value for name, value in given if name in FURTHER}
        mistakes = list[str]()
        setup = setup_of([pair for pair in given if pair[0] not in FURTHER], mistakes)
        beside = beside_of(setup, further["beside"], mistakes) if "beside" in further else None
        layers = tuple(further.get("layers", ",".join(AT_FIRST)).split(","))
        mistakes += [
            f"layers: expected some of {', '.join(SWITCHED)}, got '{shown(name)}'"
            f"{nearest(name, SWITCHED)}"
            for name in layers
            if name and name not in SWITCHED
        ]
        asked = further.get("iterations", "0")
        iterations = int(asked) if asked.isdecimal() and len(asked) < 10 else -1
        if iterations not in FAR:
            mistakes.append(f"iterations: expected {FAR}, got '{shown(asked)}'")
        if mistakes:
            raise ConfigError(mistakes)
        return cls(setup, beside, tuple(name for name in SWITCHED if name in layers), iterations)


def setup_of(pairs: list[tuple[str, str]], mistakes: list[str], where: str = "") -> Setup:
    """The setup of names and values; what is wrong is added to the mistakes."""
    try:
        return Setup.from_query(urlencode(pairs))
    except ConfigError as error:
        mistakes += [where + sentence for sentence in error.problems]
        return Setup()


def beside_of(setup: Setup, text: str, mistakes: list[str]) -> Setup:
    """The setup that differs from another by a query."""
    given = parse_qsl(text, keep_blank_values=True)
    mistakes += [f"beside: {name} is the same on both sides" for name, _ in given if name in SHARED]
    other = setup_of([pair for pair in given if pair[0] not in SHARED], mistakes, "beside: ")
    named = {name for name, _ in given}
    taken = {n.name: getattr(other, n.name) for n in fields(Setup) if n.name in named - {*SHARED}}
    return replace(setup, **taken)
