"""The root keys of the config, with their types; what they build is experiment.py's."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypedDict

from ganlab.spec import at_least, seed_range

Node = dict[str, Any]


def default(target: str) -> Node:
    """The node of a part of ganlab that is there unless another is chosen."""
    return {"_target_": f"ganlab.{target}"}


class Model(TypedDict):
    """The two networks."""

    generator: Node
    discriminator: Node


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the config says, one field per root key; conf/train.yaml explains each."""

    gan: Node = field(default_factory=lambda: default("gan.GAN"))
    model: Model
    loss: Node
    conditioning: Node = field(default_factory=lambda: default("conditioning.Conditioning"))
    regularizer: Node = field(default_factory=dict)
    augment: Node = field(default_factory=lambda: default("augment.Augment"))
    latent: Node
    data: Node
    g_optimizer: Node
    d_optimizer: Node
    g_schedule: Node
    d_schedule: Node
    trainer: Node
    metrics: Node = field(default_factory=dict)
    health: Node = field(default_factory=dict)
    logger: Node = field(default_factory=dict)
    callback: Node = field(default_factory=dict)
    seed: int = 0
    d_steps: int = 1
    batch_size: int = 64
    mirror: bool = False
    iterations: int = 3000
    ema: float | Node | None = None
    g_clip: float | None = None
    d_clip: float | None = None
    g_accumulate: int = 1
    d_accumulate: int = 1
    output_dir: str = "outputs"
    resume: str = "auto"
    compile: Literal["auto", "graph", "off"] = "auto"
    log_every: int = 50
    sample_every: int = 200
    checkpoint_every: int = 500
    profile: bool = False

    def __post_init__(self) -> None:
        seed_range(self.seed)
        counts = ("d_steps", "batch_size", "iterations", "g_accumulate", "d_accumulate")
        intervals = ("log_every", "sample_every", "checkpoint_every")
        at_least(1, **{name: getattr(self, name) for name in counts + intervals})
