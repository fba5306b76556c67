"""What is compared: the kinds of networks, and the data they learn."""

from dataclasses import dataclass, replace
from typing import Literal

Named = Literal["grid_2d", "digits", "mnist"]
SELDOM = 10**9  # iterations between what is done at the end of a run alone
BOUND = "~callback.likelihood"  # likelihoods are measured after training, outside of its time
# Rates that fall to 0 with the clock.  Nothing but training takes time of a run.
COMMON = (
    *("logger=csv", "trainer=cpu", "health=none", "schedule@g_schedule=cosine"),
    *(f"sample_every={SELDOM}", f"log_every={SELDOM}", "checkpoint_every=5000"),
)


@dataclass(frozen=True)
class Data:
    """Data that all kinds learn.

    Args:
        name: in the config group data.
        title: what it is, for people.
        words: overrides of every run on it.
        parameters: of each network that draws.
        points: whether it is points in place of images.
    """

    name: Named
    title: str
    words: tuple[str, ...]
    parameters: int
    points: bool = False

    def at(self, root: str | None) -> "Data":
        """The same in another folder; data that needs no files stays as it is."""
        if root is None or self.name != "mnist":
            return self
        return replace(self, words=(*self.words, f"data.root={root}"))


@dataclass(frozen=True)
class Kind:
    """A kind of generative network, with dense layers.

    Args:
        name: short.
        title: in full.
        images, points: overrides that choose it for such data.
        widths: keys of the config that take the width of its layers.
        layers: how many have that width; 0: the width is a number by itself.
        effort: of its likelihood: latents of each image, or chains.
    """

    name: str
    title: str
    images: tuple[str, ...]
    points: tuple[str, ...]
    widths: tuple[str, ...] = ("model.generator.hidden",)
    layers: int = 2
    effort: int = 50

    def words(self, data: Data) -> list[str]:
        """Overrides of its runs, but for the width, the seed and the time."""
        own = self.points if data.points else self.images
        return [*own, *COMMON, *data.words]

    def hidden(self, width: int) -> int | list[int]:
        """The value of the keys `widths`."""
        return [width] * self.layers if self.layers else width

    def width(self, width: int) -> list[str]:
        """The overrides that set the width."""
        value = str(self.hidden(width)).replace(" ", "")
        return [f"{key}={value}" for key in self.widths]


DATA = {
    one.name: one
    for one in (
        Data(
            "grid_2d",
            "25 Gaussians on a grid",
            ("data=grid_2d", "batch_size=256", "ema=null"),
            parameters=5_000,
            points=True,
        ),
        Data("digits", "digits of 16 x 16", ("data=digits", "data.split=train"), 100_000),
        Data("mnist", "MNIST", ("data=mnist", "data.download=false"), 200_000),
    )
}
KINDS = (
    Kind(
        "GAN",
        "generative adversarial network",
        ("model=vanilla", "model.generator.norm=batch", "schedule@d_schedule=cosine"),
        ("experiment=grid_2d",),
        widths=("model.generator.hidden", "model.discriminator.hidden"),
    ),
    Kind(
        "VAE",
        "variational autoencoder",
        ("model=vae", BOUND),
        (
            *("model=vae", BOUND, "latent.dim=2", "model.binarise=none"),
            *("model.likelihood._target_=ganlab.models.Normal", "model.likelihood.learned=true"),
        ),
        widths=("model.generator.hidden", "model.encoder.hidden"),
    ),
    Kind(
        "RBM",
        "restricted Boltzmann machine",
        ("model=rbm", BOUND),
        ("model=rbm", BOUND, "model.binarise=none", "model.generator.visible=gaussian"),
        layers=0,
        effort=20,
    ),
    Kind("SBN", "sigmoid belief network", ("model=sbn", BOUND), ("model=sbn", BOUND)),
)
