"""GANs that fail on purpose, and what the run itself says of it."""

from collections.abc import Sequence

from ganlab import cli
from ganlab.composer import Composer, without_hydra
from ganlab.config import ConfigError
from ganlab.health import Verdict
from ganlab.preflight import checked, rehearse
from ganlab.runs import Run, folder_name
from ganlab.study import Point
from ganlab.train import failures_said, train


def mode_collapse(overrides: Sequence[str] = ()) -> None:
    """A generator that makes two or three images only, whatever the noise.

    Args:
        overrides: as `ganlab train` takes them.
    """
    failing("mode_collapse", overrides)


def one_image(overrides: Sequence[str] = ()) -> None:
    """Total collapse: all samples are the same image.

    Args:
        overrides: as `ganlab train` takes them.
    """
    failing("one_image", overrides)


def oscillation(overrides: Sequence[str] = ()) -> None:
    """A generator that goes from image to image and never settles.

    Args:
        overrides: as `ganlab train` takes them.
    """
    failing("oscillation", overrides)


def overpowered_discriminator(overrides: Sequence[str] = ()) -> None:
    """A discriminator that is so sure of itself that the generator learns nothing from it.

    Args:
        overrides: as `ganlab train` takes them.
    """
    failing("overpowered_discriminator", overrides)


def failing(experiment: str, words: Sequence[str]) -> Run:
    """Trains conf/experiment/failure/EXPERIMENT.yaml, or finds it trained; says what ails it.

    Raises:
        SystemExit: 2: the words are wrong; 1: health.action has ended the run; 130: a signal did.
    """
    with cli.exit_with_message():
        overrides = [f"experiment=failure/{experiment}", *words]
        cfg, mistakes = Composer().compose(overrides)
        if mistakes:
            raise ConfigError(mistakes)
        config = checked(without_hydra(cfg))
        rehearse(cfg, config, Point(overrides))
        name = folder_name(cfg.hydra.runtime.choices, config.get("regularizer", {}))
        with failures_said(swept=False):
            run = train(config, name)
        if run.summary()["status"] == "interrupted":
            raise SystemExit(cli.INTERRUPTED)
    for known in run.summary().get("health", []):
        print(f"iteration {known['iteration']:,}: {Verdict(**known)}")
    print(f"{run.samples / 'samples.gif'}\n{run.path / 'curves.png'}")
    return run
