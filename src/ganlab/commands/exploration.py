"""What `ganlab explore` does: a run's generator as a page."""

from pathlib import Path
from typing import NamedTuple

from ganlab.errors import ConfigError
from ganlab.exploring import engines, latents, networks, page
from ganlab.exporting import needs
from ganlab.sampler import Sampler
from ganlab.spec import PointSpec
from ganlab.storage import files

NAME = "explore.html"


class Asked(NamedTuple):
    """What the command was asked for; its docstring says what each is."""

    engine: engines.Choice = "auto"
    directions: int | None = None
    truncation: float | None = None
    half: bool = False


def target(to: str | None, run: Path) -> Path:
    """The file to write.

    Raises:
        ConfigError: it is a folder, or its folder is not there.
    """
    if to is None:
        return run / NAME
    file = Path(to)
    if file.is_dir() or not file.suffix:
        raise ConfigError([f"to: expected a file such as {NAME}, got '{to}'"])
    if not file.parent.is_dir():
        raise ConfigError([f"to: there is no folder '{file.parent}'"])
    return file


def write(sampler: Sampler, run: Path, file: Path, asked: Asked) -> Path:
    """Writes the page of a generator; returns its path.

    Args:
        sampler: of the run.
        run: its folder.
        file: to write.
        asked: for.

    Raises:
        ConfigError: it makes points, or the engine cannot run it.
        ValueError: there are not so many directions, or the truncation has no place.
    """
    needs.require(*needs.ONNX)
    if isinstance(sampler.spec, PointSpec):
        raise ConfigError(
            [f"run: '{run}' makes points, and the page shows images; `ganlab sample` draws points"]
        )
    told = latents.described(sampler, asked.directions, asked.truncation)
    with sampler.truncating(asked.truncation):
        found = networks.networks_of(sampler, half=asked.half)
    net = engines.loaded(found, asked.engine, half=asked.half)
    name = "/".join(run.resolve().parts[-2:])
    drawn = "" if asked.truncation is None else f", truncated at {asked.truncation:g}"
    facts = [
        ("Run", name),
        ("Images", str(sampler.spec)),
        ("Noise", f"{sampler.latent.dim} numbers, {type(sampler.latent).__name__}{drawn}"),
        ("Engine", page.ENGINES[net.engine]),
        ("Multiplications an image", f"{found.multiplications:,}"),
        ("Weights", "float16" if asked.half else "float32"),
        ("Most that a pixel differs from PyTorch", f"{127.5 * found.away:.2g} of 255 levels"),
    ]
    subject = page.Subject(name, sampler.iterations, facts)
    files.write(file, page.page_of(subject, told, sampler.spec.shape, net, half=asked.half))
    return file
