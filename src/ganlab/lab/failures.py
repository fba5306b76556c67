"""GANs that fail on purpose, and what the run itself says of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ganlab.config.checks import conf_dir
from ganlab.health.verdicts import Verdict
from ganlab.lab.training import planned, trained

Images = Literal["mnist", "stacked_mnist"]
Data = Literal["mnist", "stacked_mnist", "ring_2d"]


def mode_collapse(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that makes few images only, whatever the noise.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("mode_collapse", on, overrides)


def one_image(on: Images = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """Total collapse: all samples are the same image.

    Args:
        on: the data: mnist or stacked_mnist; on a plane without an edge G would run away for ever.
        overrides: as `ganlab train` takes them.
    """
    return failing("one_image", on, overrides)


def oscillation(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that goes from image to image and never settles.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("oscillation", on, overrides)


def overpowered_discriminator(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A discriminator that is so sure of itself that the generator learns nothing from it.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("overpowered_discriminator", on, overrides)


def failing(name: str, on: Data, overrides: Sequence[str]) -> list[Path]:
    """Trains an experiment of conf/experiment/failure, or finds it trained; says what ails it.

    Returns:
        The animation of its samples and its curves.

    Raises:
        ConfigError: all mistakes.
        JobFailedError: health.action has ended the run.
    """
    run = trained(planned([*words(name, on), *overrides]))
    for known in run.summary().get("health", []):
        print(f"iteration {known['iteration']:,}: {Verdict(**known)}")
    return [run.samples / "samples.gif", run.path / "curves.png"]


def words(name: str, on: Data) -> list[str]:
    """What to say to `ganlab train`: some failures take a recipe of their own on other data."""
    own = f"failure/{on.partition('_')[0]}/{name}"
    if (conf_dir() / "experiment" / f"{own}.yaml").exists():
        return [f"experiment={own}"]
    return [f"experiment=failure/{name}", f"data={on}"]
