"""GANs that fail on purpose, and the health verdicts on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ganlab.config.checks import conf_dir
from ganlab.health.verdicts import Verdict
from ganlab.lab.training import planned, trained

Images = Literal["mnist", "stacked_mnist"]
Data = Literal["mnist", "stacked_mnist", "ring_2d"]


def mode_collapse(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that makes only a few different images, whatever the noise.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("mode_collapse", on, overrides)


def one_image(on: Images = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """Total collapse: all samples are the same image.

    Args:
        on: the data: mnist or stacked_mnist; on unbounded points, G would diverge.
        overrides: as `ganlab train` takes them.
    """
    return failing("one_image", on, overrides)


def oscillation(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that jumps from image to image and never converges.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("oscillation", on, overrides)


def overpowered_discriminator(on: Data = "mnist", overrides: Sequence[str] = ()) -> list[Path]:
    """A discriminator that is so confident that the generator learns nothing from it.

    Args:
        on: the data: mnist, stacked_mnist or ring_2d.
        overrides: as `ganlab train` takes them.
    """
    return failing("overpowered_discriminator", on, overrides)


def failing(name: str, on: Data, overrides: Sequence[str]) -> list[Path]:
    """Trains an experiment of conf/experiment/failure unless it is trained; prints its verdicts.

    Returns:
        The animation of its samples and its curves.

    Raises:
        ConfigError: the overrides are invalid; lists all mistakes.
        JobFailedError: health.action has ended the run.
    """
    run = trained(planned([*words(name, on), *overrides]))
    for known in run.summary().get("health", []):
        print(f"iteration {known['iteration']:,}: {Verdict(**known)}")
    return [run.samples / "samples.gif", run.path / "curves.png"]


def words(name: str, on: Data) -> list[str]:
    """Overrides that select the experiment; some failures have separate recipes per data set."""
    own = f"failure/{on.partition('_')[0]}/{name}"
    if (conf_dir() / "experiment" / f"{own}.yaml").exists():
        return [f"experiment={own}"]
    return [f"experiment=failure/{name}", f"data={on}"]
