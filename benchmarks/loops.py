"""Five ways to write the same training; benchmarks/training.py times them.

Each takes its work and two networks, trains them and returns the seconds it took.  An iteration is
Algorithm 1's: k updates of D, then one of G.
"""

import functools
import itertools
import os
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch
from PIL import Image
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, relu, softplus
from torch.utils.data import DataLoader, Dataset, TensorDataset
from torchvision import transforms

from ganlab.callbacks import Capturing, Journal
from ganlab.callbacks.capturing import How
from ganlab.data import ImageData, Images
from ganlab.data.images import normalised
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import Hinge, Loss, NonSaturating
from ganlab.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.spec import ImageSpec
from ganlab.training.updates import UpdateRule

Rule = Callable[..., torch.optim.Optimizer]
Criterion = Callable[[Tensor], Tensor]  # logits -> a scalar to minimise


class Criteria(NamedTuple):
    """What D minimises on real and on generated images, and G on generated ones."""

    real: Criterion
    fake: Criterion
    g: Criterion


def labelled(label: float) -> Criterion:
    """As tutorials write it."""
    return lambda x: binary_cross_entropy_with_logits(x, torch.full_like(x, label))


LOGISTIC = Criteria(
    lambda x: softplus(-x).mean(), lambda x: softplus(x).mean(), lambda x: softplus(-x).mean()
)
CROSS_ENTROPY = Criteria(labelled(1.0), labelled(0.0), labelled(1.0))
HINGE = Criteria(lambda x: relu(1 - x).mean(), lambda x: relu(1 + x).mean(), lambda x: -x.mean())


@dataclass(frozen=True)
class Game:
    """A model and how it is trained.

    Args:
        iterations: in how many it is timed, unless told; a matter of seconds on one thread.
        k: updates of D per update of G.
        loss, bare, usual: the same losses, as ganlab, the bare loop and the others have them.
        rate: of the proof's SGD: the weights move by much, and no ReLU dies.
    """

    spec: ImageSpec
    generator: Callable[..., nn.Module]
    discriminator: Callable[..., nn.Module]
    iterations: int
    z: int = 100
    k: int = 1
    betas: tuple[float, float] = (0.5, 0.999)
    loss: type[Loss] = NonSaturating
    bare: Criteria = LOGISTIC
    usual: Criteria = CROSS_ENTROPY
    rate: float = 0.05


GAMES = {
    "vanilla": Game(ImageSpec(1, 28), VanillaGenerator, VanillaDiscriminator, 300),
    "dcgan": Game(ImageSpec(3, 32), DCGANGenerator, DCGANDiscriminator, 20),
    "sngan": Game(  # conf/experiment/sngan.yaml, constant rate, nearest upsampling
        ImageSpec(3, 32),
        ResNetGenerator,
        ResNetDiscriminator,
        iterations=2,
        z=128,
        k=5,
        betas=(0.0, 0.9),
        loss=Hinge,
        bare=HINGE,
        usual=HINGE,
        rate=5e-4,
    ),
}


def noisy(game: Game, n: int) -> Images:
    """n images of noise: what they show costs nothing."""
    generator = torch.Generator().manual_seed(0)
    shape = (n, *game.spec.shape)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.zeros(n, dtype=torch.long))


@dataclass(frozen=True)
class Work:
    """What a loop has to do.

    Args:
        precision: "32" or "bf16", of ganlab alone: the others are as people write them, float32;
            "64" of the bare loop, too: in float64 no rounding hides a difference.
        workers: processes that read for the loops with a DataLoader.
        rule: of both optimizers; None: the game's Adam.
        warm: iterations before the clock starts, of loops a, d and e.
    """

    game: Game
    images: Images
    iterations: int
    batch: int = 64
    device: str = "cpu"
    precision: str = "32"
    workers: int = 0
    rule: Rule | None = None
    warm: int = 0

    @property
    def optimizer(self) -> Rule:
        return self.rule or functools.partial(torch.optim.Adam, lr=2e-4, betas=self.game.betas)

    def networks(self) -> tuple[nn.Module, nn.Module]:
        """Always the same weights."""
        torch.manual_seed(0)
        game = self.game
        g, d = game.generator(game.spec, game.z), game.discriminator(game.spec)
        return g.to(self.device, self.dtype), d.to(self.device, self.dtype)

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.precision == "64" else torch.float32

    def noise(self, n: int) -> Tensor:
        return torch.randn(n, self.game.z, device=self.device)

    def trainer(self, clock: "Clock", **options: object) -> Trainer:
        """With nothing but what is measured."""
        off = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary"), False)
        where = {"accelerator": "gpu" if self.device == "cuda" else "cpu", "devices": 1}
        callbacks = [clock, *options.pop("callbacks", [])]
        return Trainer(callbacks=callbacks, max_epochs=-1, **where, **off, **options)


class Seconds(NamedTuple):
    wall: float
    cpu: float


class Clock(Callback):
    """Seconds from an iteration to the last: a context, or a callback of Lightning's.

    Args:
        warm: iterations that are not counted; a GAN of ganlab's has to train for more.
    """

    def __init__(self, warm: int = 0) -> None:
        self.warm = warm

    def on_train_start(self, *_: object) -> None:
        self.start()

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        if self.warm and module.iterations == self.warm:
            self.start()
        if self.warm and module.iterations == module.total_iterations:
            self.stop()

    def on_train_end(self, *_: object) -> None:
        if not self.warm:
            self.stop()

    def start(self) -> None:
        self.began, self.children = self._now(), children()

    def stop(self) -> None:
        self.ended = self._now()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def seconds(self) -> Seconds:
        """Ask when the workers have ended: only then does the system say what they used."""
        wall, cpu = (b - a for a, b in zip(self.began, self.ended, strict=True))
        return Seconds(wall, cpu + children() - self.children)

    def _now(self) -> tuple[float, float]:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()


def children() -> float:
    """CPU seconds of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


Draw = Callable[[Work, int], tuple[Iterable[Tensor], list[Tensor]]]
# of an iteration: k times the indices of m images; k + 1 times the noise, G's last


def usual(work: Work, _: int) -> tuple[Iterable[Tensor], list[Tensor]]:
    """As loops usually draw."""
    shape, k = (work.game.k, work.batch), work.game.k
    chosen = torch.randint(len(work.images.labels), shape, device=work.device)
    return chosen, [work.noise(work.batch) for _ in range(k + 1)]


def updates(
    work: Work, g: nn.Module, d: nn.Module, **options: bool
) -> Callable[[Iterable[Tensor], list[Tensor]], None]:
    """An iteration in PyTorch alone, all images in memory as float32; options are of optimizers."""
    rule, criteria = functools.partial(work.optimizer, **options), work.game.bare
    g_optimizer, d_optimizer = rule(g.parameters()), rule(d.parameters())
    real = normalised(work.images.images.to(work.device)).to(work.dtype)

    def iterate(chosen: Iterable[Tensor], noise: list[Tensor]) -> None:
        *for_d, for_g = noise
        for index, z in zip(chosen, for_d, strict=True):
            with torch.no_grad():
                fake = g(z)
            d_optimizer.zero_grad()
            (criteria.real(d(real[index])) + criteria.fake(d(fake))).backward()
            d_optimizer.step()
        g_optimizer.zero_grad()
        criteria.g(d(g(for_g))).backward()
        g_optimizer.step()

    return iterate


def bare(work: Work, g: nn.Module, d: nn.Module, draw: Draw = usual) -> Seconds:
    """PyTorch alone, eager."""
    iterate = updates(work, g, d)
    for i in range(work.warm):
        iterate(*draw(work, i))
    with Clock() as clock:
        for i in range(work.warm, work.warm + work.iterations):
            iterate(*draw(work, i))
    return clock.seconds()


def graphed(work: Work, g: nn.Module, d: nn.Module) -> Seconds:
    """The same, captured once by hand as a CUDA graph and replayed; needs a GPU."""
    iterate = updates(work, g, d, fused=True, capturable=True)
    for i in range(3):
        iterate(*usual(work, i))
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        iterate(*usual(work, 0))
    with Clock() as clock:
        for _ in range(work.iterations):
            graph.replay()
    return clock.seconds()


class Pictures(Dataset):
    """Gives images one by one as torchvision's data sets do: through PIL and transforms."""

    def __init__(self, images: Images) -> None:
        self.data = images.images.permute(0, 2, 3, 1).squeeze(-1).contiguous().numpy()
        self.targets = images.labels
        centre = [0.5] * images.images.shape[1]
        steps = [transforms.ToTensor(), transforms.Normalize(centre, centre)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.data[i])), int(self.targets[i])


def batches(work: Work, dataset: Dataset) -> Iterator[list[Tensor]]:
    """Epoch after epoch, as many as the iterations need."""
    loader = DataLoader(dataset, work.batch, shuffle=True, num_workers=work.workers)
    epochs = itertools.chain.from_iterable(itertools.repeat(loader))
    return itertools.islice(epochs, work.iterations * work.game.k)


def tutorial(work: Work, g: nn.Module, d: nn.Module) -> Seconds:
    """As tutorials train a DCGAN: the images that D has just seen are what G is judged by."""
    g_optimizer, d_optimizer = work.optimizer(g.parameters()), work.optimizer(d.parameters())
    dataset, criteria = Pictures(work.images), work.game.usual
    losses = []
    with Clock() as clock:
        for i, (real, _) in enumerate(batches(work, dataset), start=1):
            fake = g(work.noise(len(real)))
            d_optimizer.zero_grad()
            d_real = criteria.real(d(real.to(work.device)))
            d_real.backward()
            d_fake = criteria.fake(d(fake.detach()))
            d_fake.backward()
            d_optimizer.step()
            if i % work.game.k == 0:
                g_optimizer.zero_grad()
                g_loss = criteria.g(d(fake))
                g_loss.backward()
                g_optimizer.step()
                losses.append(((d_real + d_fake).item(), g_loss.item()))
    return clock.seconds()


class Documented(LightningModule):
    """A GAN by the patterns of Lightning's documentation."""

    def __init__(self, work: Work, g: nn.Module, d: nn.Module) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator = g, d
        self.work, self.criteria, self.seen = work, work.game.usual, 0

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.work.optimizer(n.parameters()) for n in (self.generator, self.discriminator)]

    def training_step(self, batch: list[Tensor]) -> None:
        real, _ = batch
        g_optimizer, d_optimizer = self.optimizers()
        z = torch.randn(len(real), self.work.game.z).type_as(real)
        self.update("d_loss", d_optimizer, lambda: self.d_loss(real, z))
        self.seen += 1
        if self.seen % self.work.game.k == 0:
            self.update("g_loss", g_optimizer, lambda: self.g_loss(z))

    def update(self, name: str, optimizer: torch.optim.Optimizer, loss_of: Callable) -> None:
        self.toggle_optimizer(optimizer)
        loss = loss_of()
        self.log(name, loss, prog_bar=True)
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        self.untoggle_optimizer(optimizer)

    def d_loss(self, real: Tensor, z: Tensor) -> Tensor:
        on_fake = self.criteria.fake(self.discriminator(self(z).detach()))
        return self.criteria.real(self.discriminator(real)) + on_fake

    def g_loss(self, z: Tensor) -> Tensor:
        return self.criteria.g(self.discriminator(self(z)))


def documented(work: Work, g: nn.Module, d: nn.Module) -> Seconds:
    """Lightning as its documentation shows it, with a TensorDataset.

    The bar is the one that Lightning takes by itself where Rich is installed, as it is beside
    ganlab; it is drawn as on a terminal, but nowhere.
    """
    dataset = TensorDataset(normalised(work.images.images), work.images.labels)
    loader = DataLoader(dataset, work.batch, shuffle=True, num_workers=work.workers)
    steps = work.iterations * (work.game.k + 1)  # Lightning counts every optimizer's
    clock = Clock()
    with Path(os.devnull).open("w") as nowhere:
        bar = RichProgressBar(console_kwargs={"file": nowhere, "force_terminal": True})
        trainer = work.trainer(clock, max_steps=steps, callbacks=[bar])
        trainer.fit(Documented(work, g, d), loader)
    return clock.seconds()


class Random:
    """A source that is never read: the images are in memory."""

    def __init__(self, spec: ImageSpec) -> None:
        self.spec = spec

    def prepare(self) -> None: ...


def ganlab(
    work: Work,
    g: nn.Module,
    d: nn.Module,
    accumulate: int = 1,
    callbacks: Iterable[Callback] = (),
    how: How = "auto",
) -> Seconds:
    """Through Lightning with ganlab's data, noise and observations, read every 50 iterations."""
    game, n, clock = work.game, work.warm + work.iterations, Clock(work.warm)
    rule = UpdateRule(work.optimizer, accumulate=accumulate)
    options = {"latent": Gaussian(game.z), "d_steps": game.k, "iterations": n}
    gan = GAN(g, d, game.loss(), spec=game.spec, g_rule=rule, d_rule=rule, **options)
    data = ImageData(Random(game.spec), work.batch, game.k, n)
    data.images = work.images
    precision = {"32": "32-true", "bf16": "bf16-mixed", "64": "64-true"}[work.precision]
    switches = {"max_steps": n, "precision": precision, "enable_progress_bar": False}
    work.trainer(clock, callbacks=[Capturing(how), Journal(50), *callbacks], **switches).fit(
        gan, data
    )
    return clock.seconds()


Loop = Callable[[Work, nn.Module, nn.Module], Seconds]
LOOPS: dict[str, Loop] = {"a": bare, "b": tutorial, "c": documented, "d": ganlab, "e": graphed}
