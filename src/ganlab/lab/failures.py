"""GANs that fail on purpose, and what the run itself says of it."""

from collections.abc import Sequence
from pathlib import Path

from ganlab.health import Verdict
from ganlab.lab.training import planned, trained


def mode_collapse(overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that makes two or three images only, whatever the noise.

    Args:
        overrides: as `ganlab train` takes them.
    """
    return failing("mode_collapse", overrides)


def one_image(overrides: Sequence[str] = ()) -> list[Path]:
    """Total collapse: all samples are the same image.

    Args:
        overrides: as `ganlab train` takes them.
    """
    return failing("one_image", overrides)


def oscillation(overrides: Sequence[str] = ()) -> list[Path]:
    """A generator that goes from image to image and never settles.

    Args:
        overrides: as `ganlab train` takes them.
    """
    return failing("oscillation", overrides)


def overpowered_discriminator(overrides: Sequence[str] = ()) -> list[Path]:
    """A discriminator that is so sure of itself that the generator learns nothing from it.

    Args:
        overrides: as `ganlab train` takes them.
    """
    return failing("overpowered_discriminator", overrides)


def failing(experiment: str, overrides: Sequence[str]) -> list[Path]:
    """Trains conf/experiment/failure/EXPERIMENT.yaml, or finds it trained; says what ails it.

    Returns:
        The animation of its samples and its curves.

    Raises:
        ConfigError: all mistakes.
        JobFailed: health.action has ended the run.
    """
    run = trained(planned([f"experiment=failure/{experiment}", *overrides]))
    for known in run.summary().get("health", []):
        print(f"iteration {known['iteration']:,}: {Verdict(**known)}")
    return [run.samples / "samples.gif", run.path / "curves.png"]
