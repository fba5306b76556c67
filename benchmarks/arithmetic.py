"""Other arithmetic for the Inception pass: how fast it is, and what it does to FID.

    python benchmarks/arithmetic.py [device=auto] [n=512] [ways=...] [folder=DIR] [weights=FILE]

Each row is the product's pass in another way; `+` joins two: nchw+tuned.

  nchw       convolutions on channels before pixels, where the product has them last
  tuned      cuDNN tries its algorithms on the first part and takes the fastest
  fused      bias and ReLU in cuDNN's own kernel
  compiled   torch.compile
  tf32x3     each convolution as three of TF32's products, x w = (x + dx)(w + dw) without dx dw
  tf32       TF32 where the device has it: the product switches it off
  nearest    what TF32 would do, on any device: factors rounded to 10 bits of mantissa
  truncated  the same, cut off after 10 bits, as tensor cores do with what nobody has rounded

The product's row comes first.  `images/s` are of the second of two passes over n real images;
`features` the norm of all features' errors, over that of features in float64 (of 16 images);
`FID` the change of the distance between n images and those moved by half a pixel, `near` between
one half of the images and the other; both relative to the product's row, in all dimensions.  A
way that agrees has less than 1e-4 there.  Images are those below a folder, resized to 32 x 32, or
patterns that `scoring.py` makes; weights are random unless a file has them.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))  # the checkout that this is part of

from ganlab.data import Folder
from ganlab.metrics import Moments, frechet_distance
from ganlab.metrics.inceptionv3 import Inception
from options import asked
from scoring import InFloat64, images, passed, weights_file

OPTIONS = {
    "device": "auto",
    "n": "512",
    "ways": "nchw,tuned,nchw+tuned,fused,compiled,tf32x3,tf32,nearest,truncated",
    "folder": "",
    "weights": "",
}
CUT = 13  # bits of float32's mantissa that TF32 has not
LOOKED_AT = 16  # images whose features are computed in float64 as well


def tf32(x: Tensor, nearest: bool = True) -> Tensor:
    """Float32 numbers that TF32 has, too: the nearest ones, or the next towards 0."""
    bits = x.view(torch.int32)
    half = 1 << (CUT - 1) if nearest else 0
    return ((bits + half) & -(1 << CUT)).view(torch.float32)


class Rounded(nn.Module):
    """A convolution of rounded factors, whose products and sums are float32's."""

    def __init__(self, conv: nn.Conv2d, nearest: bool) -> None:
        super().__init__()
        self.stride, self.padding, self.nearest = conv.stride, conv.padding, nearest
        self.weight, self.bias = nn.Parameter(tf32(conv.weight.detach(), nearest)), conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(tf32(x, self.nearest), self.weight, self.bias, self.stride, self.padding)


class ThreeProducts(nn.Module):
    """x w to 20 bits: both are sums of two numbers of TF32, and the product of the small ones is
    left out.

    One convolution of three times as many channels, so that all is added up in float32 once.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stride, self.padding, self.bias = conv.stride, conv.padding, conv.bias
        weight = conv.weight.detach()
        large = tf32(weight)
        joined = torch.cat([large, tf32(weight - large), large], dim=1)
        self.weight = nn.Parameter(joined.contiguous(memory_format=torch.channels_last))

    def forward(self, x: Tensor) -> Tensor:
        large = tf32(x)
        joined = torch.cat([large, large, tf32(x - large)], dim=1)
        return conv2d(joined, self.weight, self.bias, self.stride, self.padding)


class Fused(nn.Module):
    """A convolution and its ReLU."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        c = self.conv
        return torch.cudnn_convolution_relu(
            x, c.weight, c.bias, c.stride, c.padding, c.dilation, c.groups
        )


class ChannelsFirst(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous()


def replaced(network: Inception, made: Callable[[nn.Conv2d], nn.Module]) -> Inception:
    """The network with other convolutions."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv2d):
                setattr(parent, name, made(child))
    return network


def nchw(network: Inception) -> Inception:
    network.to(memory_format=torch.contiguous_format)
    network.stem.insert(0, ChannelsFirst())
    return network


def tuned(network: Inception) -> Inception:
    torch.backends.cudnn.benchmark = True
    return network


def fused(network: Inception) -> Inception:
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            kinds = [type(layer) for layer in child] if isinstance(child, nn.Sequential) else []
            if kinds == [nn.Conv2d, nn.ReLU]:
                setattr(parent, name, Fused(child[0]))
    return network


def compiled(network: Inception) -> Inception:
    network.stem, network.trunk = torch.compile(network.stem), torch.compile(network.trunk)
    return network


WAYS: dict[str, Callable[[Inception], Inception]] = {
    "nchw": nchw,
    "tuned": tuned,
    "fused": fused,
    "compiled": compiled,
    "tf32x3": lambda network: replaced(network, ThreeProducts),
    "tf32": lambda network: network,
    "nearest": lambda network: replaced(network, lambda conv: Rounded(conv, nearest=True)),
    "truncated": lambda network: replaced(network, lambda conv: Rounded(conv, nearest=False)),
}


IN_TF32 = {"tf32", "tf32x3"}


@contextmanager
def on_tensor_cores() -> Iterator[None]:
    """Convolutions may use TF32, which the extractor would switch off."""
    with (
        patch.object(torch.backends.cudnn, "allow_tf32", new=True),
        patch("ganlab.metrics.inceptionv3.exact_float32", nullcontext),
        patch("ganlab.scoring.extraction.exact_float32", nullcontext),
    ):
        yield


class Sets:
    """Real images, and the same moved by half a pixel."""

    def __init__(self, n: int, folder: str) -> None:
        found = Folder(Path(folder), size=32, channels=3).read().images if folder else None
        if found is not None:
            order = torch.randperm(len(found), generator=torch.Generator().manual_seed(0))
            found = found[order[:n]]
        self.real = images(n, 32, 0) if found is None else found
        self.moved = ((self.real.float() + self.real.roll(1, -1)) / 2).round().byte()

    def distances(self, network: Inception) -> tuple[float, float]:
        """(of the moved images, of one half from the other)."""
        real, moved = (passed(network, pixels).moments for pixels in (self.real, self.moved))
        halves = [passed(network, half).moments for half in self.real.chunk(2)]
        return frechet_distance(real, moved), frechet_distance(*halves)


def measure(network: Inception, sets: Sets, exact: Tensor) -> tuple[float, float, float, float]:
    """images/s, error of features, both distances."""
    device = next(network.parameters()).device
    with torch.no_grad():
        found = network(sets.real[: len(exact)].to(device)).vectors.cpu().double()
    error = ((found - exact).norm() / exact.norm()).item()
    distances = sets.distances(network)  # the first pass: kernels are chosen and compiled
    start = time.perf_counter()
    moments: Moments = passed(network, sets.real).moments
    moments.sum.sum().item()  # waits
    return len(sets.real) / (time.perf_counter() - start), error, *distances


def row(way: str, file: str, device: str, sets: Sets, exact: Tensor, plain: tuple) -> list[str]:
    """The cells of one way; what it was refused for, where a device cannot do it."""
    network, benchmark = Inception(file), torch.backends.cudnn.benchmark
    parts = way.split("+")
    try:
        for part in parts:
            network = WAYS[part](network)
        with on_tensor_cores() if IN_TF32 & set(parts) else nullcontext():
            speed, error, *distances = measure(network.to(device), sets, exact)
    except Exception as reason:  # noqa: BLE001 - whatever compilers and libraries raise
        return [way, f"refused: {str(reason).splitlines()[0][:60]}", "", "", ""]
    finally:
        torch.backends.cudnn.benchmark = benchmark
    changes = [f"{a / b - 1:+.1e}" for a, b in zip(distances, plain[2:], strict=True)]
    return [way, f"{speed:.1f}", f"{error:.1e}", *changes]


def main() -> None:
    options = asked(OPTIONS, __doc__)
    ways, device = options["ways"].split(","), options["device"]
    if unknown := {part for way in ways for part in way.split("+")} - WAYS.keys():
        raise SystemExit(f"ways: {', '.join(WAYS)}, joined by +; not {', '.join(sorted(unknown))}")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    sets = Sets(int(options["n"]), options["folder"])
    with weights_file(options["weights"]) as file:
        exact = InFloat64(file)(sets.real[:LOOKED_AT]).vectors
        plain = measure(Inception(file).to(device), sets, exact)
        print("| way | images/s | features | FID | near |\n|---|---|---|---|---|")
        fid, near = (f"{value:.4f}" for value in plain[2:])
        print(f"| as it is | {plain[0]:.1f} | {plain[1]:.1e} | {fid} | {near} |", flush=True)
        for way in ways:
            print(f"| {' | '.join(row(way, file, device, sets, exact, plain))} |", flush=True)


if __name__ == "__main__":
    main()
