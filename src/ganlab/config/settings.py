"""The root keys of the config: one field each, with its type, its range and what it decides."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict

Node = dict[str, Any]


def part(target: str) -> Any:
    """A field for a part of ganlab that is there unless another is chosen."""
    return field(default_factory=lambda: {"_target_": f"ganlab.{target}"})


def key(default: Any, *, minimum: float | None = None, decides: bool = True) -> Any:
    """A field for a root key.

    Args:
        default: its value where none is set.
        minimum: the least value, for numbers.
        decides: whether it decides results; if not, runs that differ in it alone are the same run.
    """
    metadata = {"minimum": minimum, "decides": decides}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


class Model(TypedDict):
    """The two networks of a GAN; a model of another kind names its class in `_target_`."""

    generator: Node
    discriminator: Node


class Start(TypedDict, total=False):
    """Where the run starts: nowhere else, if `run` is None.

    Args:
        run: another run's folder, or a checkpoint file.
        networks: those whose weights are taken over, while optimizers and counts begin anew; None:
            everything is taken over, and the count of iterations goes on.
        checkpoint: ganlab itself sets it: the file that `run` meant when this run was planned.
    """

    run: str | None
    networks: list[str] | None
    checkpoint: str | None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the config says, one field per root key; conf/train.yaml explains each.

    None stands for what the model has no use for.

    Raises:
        ValueError: a number is out of its range; one sentence for each.
    """

    gan: Node | None = part("gan.GAN")
    model: Model
    loss: Node | None = key(None)
    conditioning: Node = part("conditioning.Conditioning")
    regularizer: Node = key({})
    augment: Node = part("augment.Augment")
    latent: Node | None = key(None)
    data: Node
    g_optimizer: Node | None = key(None)
    d_optimizer: Node | None = key(None)
    g_schedule: Node | None = key(None)
    d_schedule: Node | None = key(None)
    trainer: Node
    metrics: Node = key({})
    health: Node = key({})
    logger: Node = key({}, decides=False)
    callback: Node = key({})
    recipe: Node | None = key(None, decides=False)
    seed: int = key(0)
    d_steps: int | None = key(1, minimum=1)
    batch_size: int = key(64, minimum=1)
    mirror: bool = key(default=False)
    iterations: int = key(3000, minimum=1)
    minutes: float | None = key(None)
    ema: float | Node | None = key(None)
    d_ema: float | Node | None = key(None)
    ema_statistics: Literal["copy", "average", "recompute"] = key("copy")
    g_clip: float | None = key(None)
    d_clip: float | None = key(None)
    g_accumulate: int | None = key(1, minimum=1)
    d_accumulate: int | None = key(1, minimum=1)
    output_dir: str = key("outputs", decides=False)
    resume: str = key("auto", decides=False)
    start: Start = key({})
    compile: Literal["auto", "graph", "off"] = key("auto", decides=False)
    log_every: int = key(50, minimum=1, decides=False)
    sample_every: int = key(200, minimum=1, decides=False)
    checkpoint_every: int = key(500, minimum=1, decides=False)
    profile: bool = key(default=False, decides=False)

    def __post_init__(self) -> None:
        if found := range_problems(vars(self)):
            raise ValueError("; ".join(found))


def range_problems(node: dict[str, Any]) -> list[str]:
    """A sentence for each value of a root key that has the right type and is out of range."""
    found = []
    for one in fields(Settings):
        value, minimum = node.get(one.name), one.metadata.get("minimum")
        if minimum is not None and type(value) in (int, float) and value < minimum:
            found.append(f"{one.name} must be at least {minimum}, got {value}")
    seed = node.get("seed", 0)
    if type(seed) is int and not 0 <= seed < 2**32:
        bound = "at least 0" if seed < 0 else "less than 2^32"
        found.append(f"seed must be {bound}, got {seed}")
    minutes = node.get("minutes")
    if isinstance(minutes, int | float) and not 0 < minutes < math.inf:
        found.append(f"minutes must be a number greater than 0, got {minutes}")
    if node.get("output_dir", "outputs") == "":
        found.append("output_dir must name a folder, got ''")
    return found


# Where and how a run runs, and what it writes down, but not what it computes.
NOT_SCIENCE = tuple(one.name for one in fields(Settings) if not one.metadata.get("decides", True))
