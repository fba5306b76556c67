"""A small classifier trained on the data set itself: an extractor for images unlike ImageNet's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import OneCycleLR

from ganlab.metrics.features import Extractor, Features, exact_float32
from ganlab.spec import ImageSpec, at_least, seed_range
from ganlab.storage.cache import hash_of
from ganlab.training.streams import mixed, stream

FEATURES = 64
LARGEST_MAP = 16  # maximum size of the first layer's output, in pixels
FEWEST = 100  # updates, for the smallest sets
MINIBATCH, RATE = 128, 3e-3
USUAL = {True: (500, 16), False: (1500, 32)}  # (updates, width) for grey (True) and colour images
Progress = Callable[[int, int], None]


class ClassifierNetwork(nn.Module):
    """uint8 images (N, C, H, W) -> features (N, 64) after a ReLU, logits (N, K).

    Four convolutions, the first with a stride that leaves at most 16 x 16 pixels; then means over
    the four quarters of the image, so that features depend on position.

    Args:
        width: channels of the first convolution; the last has four times as many.
    """

    def __init__(self, spec: ImageSpec, width: int) -> None:
        super().__init__()
        at_least(8, size=spec.size)
        at_least(2, classes=spec.classes)
        at_least(1, width=width)
        self.spec = spec
        stride = -(-spec.size // LARGEST_MAP)
        self.layers = nn.Sequential(
            *convolution(spec.channels, width, 2 * stride + 1, stride),
            *convolution(width, 2 * width),
            nn.MaxPool2d(2),
            *convolution(2 * width, 4 * width),
            *convolution(4 * width, 4 * width),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * width, FEATURES, bias=False),
            nn.BatchNorm1d(FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, spec.classes)
        self.to(memory_format=torch.channels_last)  # faster on CPUs

    def forward(self, images: Tensor) -> Features:
        scaled = images.to(memory_format=torch.channels_last).float() / 255
        vectors = self.layers(scaled)
        return Features(vectors, self.head(vectors))


def convolution(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """A convolution with BatchNorm and ReLU; divides the size by the stride, rounded up."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


class Classifier(Extractor):
    """A trained network as an extractor: float32, frozen, always in evaluation mode.

    Args:
        name: classifier-<data set>, with anything else that distinguishes it from others.
        network: the trained network.
    """

    names_classes = True

    def __init__(self, name: str, network: ClassifierNetwork) -> None:
        weights = hash_of(network.state_dict())
        super().__init__(name, weights, "divided by 255", FEATURES, network.spec.classes)
        self.network = network
        self.requires_grad_(requires_grad=False).eval()

    def train(self, mode: bool = True) -> "Classifier":
        """Stays in evaluation mode, even inside a module that is set to training mode."""
        return super().train(mode=False)

    def forward(self, images: Tensor) -> Features:
        """Features and logits of images.

        Raises:
            ValueError: the images are not uint8, or do not have the shape of the training images.
        """
        shape = self.network.spec.shape
        if images.dtype != torch.uint8 or images.shape[1:] != shape:
            wanted = f"(N, {', '.join(map(str, shape))})"
            raise ValueError(f"{self.name} takes uint8 {wanted}, got {described(images)}")
        with torch.no_grad(), exact_float32(), torch.autocast(images.device.type, enabled=False):
            return self.network(images)


class Stacked(Extractor):
    """An extractor for stacked MNIST (Metz et al. 2017, section 3.3.1), from one for grey images.

    Vectors (N, 3 d) are those of the three channels, concatenated.  Logits are (N, K^3): that of
    class K^2 a + K b + c is the sum of the log-probabilities of a, b and c in the three channels.
    Modes are counted by their argmax.
    """

    names_classes = True

    def __init__(self, grey: Extractor) -> None:
        preparation = f"each channel by itself, {grey.preparation}"
        name = f"stacked-{grey.name}"
        super().__init__(name, grey.weights, preparation, 3 * grey.dim, grey.classes**3)
        self.grey = grey

    def forward(self, images: Tensor) -> Features:
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"{self.name} takes images of three channels, got {described(images)}")
        vectors, logits = self.grey(images.flatten(0, 1).unsqueeze(1))
        a, b, c = logits.log_softmax(dim=1).unflatten(0, (-1, 3)).unbind(dim=1)
        joint = a[:, :, None, None] + b[:, None, :, None] + c[:, None, None, :]
        return Features(vectors.unflatten(0, (-1, 3)).flatten(1), joint.flatten(1))


def train_classifier(
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    seed: int = 0,
    updates: int | None = None,
    width: int | None = None,
    progress: Progress | None = None,
) -> ClassifierNetwork:
    """Trains a network, deterministically: the same bits for the same CPU type and torch version.

    It uses one CPU thread, because more threads or a GPU add in another order and give other
    weights.  The caller's random state, threads and modes are not changed.

    Args:
        images, labels: uint8 (N, C, size, size) and int64 (N,) in 0..classes - 1.
        classes: K.
        seed: of the weights and of the order of images.
        updates: minibatches of 128; None: 500 for grey images, 1,500 for colour, but at most 100
            more than there are images.
        width: of the network; None: 16 for grey images, 32 for colour.
        progress: called with (updates done, total updates).

    Raises:
        ValueError: images or labels have a wrong type or shape, or all labels are equal.
    """
    require_labelled(images, labels, classes)
    if labels.min() == labels.max():
        raise ValueError(f"labels must name two classes or more, all are {int(labels[0])}")
    at_least(1, updates=updates)
    seed_range(seed)
    usual_updates, usual_width = USUAL[images.shape[1] == 1]
    usual_updates = min(usual_updates, FEWEST + len(images))  # a small set is soon learnt by heart
    spec = ImageSpec(images.shape[1], images.shape[-1], classes)
    order = minibatches(len(images), updates or usual_updates, seed)
    with undisturbed():
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(mixed(seed))  # manual_seed would reseed GPUs too
            network = ClassifierNetwork(spec, usual_width if width is None else width)
        fit(network, images.cpu(), labels.cpu(), order, progress)
    return network


def fit(
    network: ClassifierNetwork,
    images: Tensor,
    labels: Tensor,
    order: Tensor,
    progress: Progress | None,
) -> None:
    """AdamW with a one-cycle learning rate (Smith & Topin 2019); ends in evaluation mode.

    There is no label smoothing: it would bound p(y|x) and thereby the Inception Score.
    """
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = OneCycleLR(optimizer, RATE, total_steps=len(order) + 1)
    for done, chosen in enumerate(order, start=1):
        loss = cross_entropy(network(images[chosen]).logits, labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if progress is not None:
            progress(done, len(order))
    network.eval()


def minibatches(n: int, updates: int, seed: int) -> Tensor:
    """Indices (updates, 128): one random permutation of all n images after another."""
    epochs = -(-updates * MINIBATCH // n)
    orders = [torch.randperm(n, generator=stream("cpu", seed, e)) for e in range(epochs)]
    return torch.cat(orders)[: updates * MINIBATCH].view(updates, MINIBATCH)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Uses one CPU thread, gradients and float32; restores the caller's modes afterwards."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    no_autocast = torch.autocast("cpu", enabled=False)
    try:
        with torch.inference_mode(mode=False), no_autocast:  # False turns gradients on, too
            yield
    finally:
        torch.set_num_threads(threads)


def accuracy(extractor: Extractor, images: Tensor, labels: Tensor, batch: int = 500) -> float:
    """Accuracy in [0, 1] of an extractor's logits.

    Args:
        extractor: to test.
        images, labels: as for `train_classifier`, but held out.
        batch: images per forward pass.

    Raises:
        ValueError: images or labels have a wrong type or shape.
    """
    at_least(1, batch=batch)
    require_labelled(images, labels, extractor.classes)
    parts = zip(images.split(batch), labels.split(batch), strict=True)
    right = [extractor(part).logits.argmax(dim=1) == named for part, named in parts]
    return torch.cat(right).double().mean().item()


def require_labelled(images: Tensor, labels: Tensor, classes: int) -> None:
    """Raise ValueError unless these are square uint8 images with a label in 0..classes - 1 each."""
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[2] != images.shape[3]:
        raise ValueError(f"images must be uint8 (N, C, size, size), got {described(images)}")
    if labels.dtype != torch.int64 or labels.shape != images.shape[:1] or not len(labels):
        raise ValueError(f"labels must be int64 ({len(images)},), got {described(labels)}")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(f"labels must be in 0..{classes - 1}, got {low}..{high}")


def described(tensor: Tensor) -> str:
    """Type and shape: uint8 (16, 1, 28, 28)."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
