"""What `ganlab explore` does: a run's generator as a page."""

from pathlib import Path
from typing import Literal

from ganlab.errors import ConfigError
from ganlab.exploring import engines, latents, networks, page
from ganlab.exporting import needs
from ganlab.sampler import Sampler
from ganlab.spec import PointSpec
from ganlab.storage import files

NAME = "explore.html"


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


def write(
    gan: Sampler,
    run: Path,
    file: Path,
    engine: Literal["auto", "plain", "onnxruntime"],
    directions: int | None,
    *,
    half: bool,
) -> Path:
    """Writes the page of a run's generator.

    Args:
        gan: of the run.
        run: its folder.
        file: to write.
        engine: as the command has it.
        directions: as the command has it.
        half: weights in float16.

    Raises:
        ConfigError: it makes points, or the engine cannot run it.
        ValueError: there are not so many directions.
    """
    needs.require(*needs.ONNX)
    if isinstance(gan.spec, PointSpec):
        raise ConfigError(
            [f"run: '{run}' makes points, and the page shows images; `ganlab sample` draws points"]
        )
    about = latents.described(gan, directions, gan.class_names)
    found = networks.networks_of(gan, half=half)
    net = engines.loaded(found, engine, half=half)
    name = "/".join(run.resolve().parts[-2:])
    subject = page.Subject(
        name,
        gan.iterations,
        [
            ("Run", name),
            ("Images", str(gan.spec)),
            ("Noise", f"{gan.latent.dim} numbers, {type(gan.latent).__name__}"),
            ("Engine", page.ENGINES[net.engine]),
            ("Multiplications an image", f"{found.multiplications:,}"),
            ("Weights", "float16" if half else "float32"),
            ("Most that a pixel differs from PyTorch", f"{127.5 * found.away:.2g} of 255 levels"),
        ],
    )
    files.write(file, page.page_of(subject, about, gan.spec.shape, net, half=half))
    return file
