"""Which engine runs the networks of a page, and what it needs in the page."""

from typing import Any, Literal, NamedTuple

import numpy as np

from ganlab.errors import ConfigError
from ganlab.exploring import graphs
from ganlab.exploring.networks import Networks
from ganlab.exploring.program import UnsupportedError, program_of
from ganlab.storage import npm

Engine = Literal["plain", "onnxruntime"]
Choice = Literal["auto", "plain", "onnxruntime"]
MOST = 100e6  # multiplications of an image that plain loops are chosen for
SPEED = 1e9  # about so many they do in a second; docs/explore.md
MODULE, BINARY = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm"
RUNTIME = npm.Package(
    "onnxruntime-web",
    "1.30.0",
    "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    {
        MODULE: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
        BINARY: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    },
)


class Loaded(NamedTuple):
    """What a page holds for an engine.

    Args:
        engine: that runs the networks.
        programs: of the plain engine, by network; empty for the other.
        payloads: bytes by the id of their element.
    """

    engine: Engine
    programs: dict[str, dict[str, Any]]
    payloads: dict[str, bytes]


def loaded(networks: Networks, engine: Choice, *, half: bool) -> Loaded:
    """What a page holds.

    Args:
        networks: to run.
        engine: auto: plain loops if they can and an image takes at most MOST multiplications.
        half: store weights in float16.

    Raises:
        ConfigError: the engine cannot run the networks, or its files cannot be had.
    """
    try:
        if engine != "onnxruntime" and (engine == "plain" or networks.multiplications <= MOST):
            return plain(networks, half=half)
    except UnsupportedError as error:
        if engine == "plain":
            raise ConfigError(
                [f"engine: plain loops have no operators {error}; set engine=onnxruntime"]
            ) from error
    return onnxruntime(networks, half=half)


def plain(networks: Networks, *, half: bool) -> Loaded:
    """Steps and weights.

    Raises:
        UnsupportedError: there are operators that no step does.
    """
    programs = {name: program_of(graph) for name, graph in networks.graphs.items()}
    kind = np.dtype("<f2" if half else "<f4")
    payloads = {
        f"weights-{name}": program.weights.astype(kind).tobytes()
        for name, program in programs.items()
    }
    return Loaded("plain", {name: one.as_dict() for name, one in programs.items()}, payloads)


def onnxruntime(networks: Networks, *, half: bool) -> Loaded:
    """Models, and the library's files.

    Raises:
        ConfigError: the files cannot be had.
    """
    try:
        files = npm.fetch(RUNTIME)
    except OSError as error:
        raise ConfigError([f"engine: {error}; {without(networks)}"]) from error
    models = {
        f"weights-{name}": (graphs.halved(graph) if half else graph).SerializeToString()
        for name, graph in networks.graphs.items()
    }
    library = {"runtime-module": files[MODULE], "runtime-binary": files[BINARY]}
    return Loaded("onnxruntime", {name: {} for name in networks.graphs}, models | library)


def without(networks: Networks) -> str:
    """What can be done without the library."""
    try:
        for graph in networks.graphs.values():
            program_of(graph)
    except UnsupportedError as error:
        return f"engine=plain cannot do without it: it has no operators {error}"
    seconds = networks.multiplications / SPEED
    millions = networks.multiplications / 1e6
    return (
        f"engine=plain needs no download, and takes about {seconds:.1g} s an image "
        f"({millions:,.0f} million multiplications)"
    )
