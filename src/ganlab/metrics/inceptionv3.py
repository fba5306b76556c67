"""The Inception network of the reference FID (Heusel et al. 2017), fast and in exact float32."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from torch import Tensor, nn
from torchvision.models import inception_v3

from ganlab.metrics.features import Extractor, Features, exact_float32
from ganlab.metrics.resize import Kind, resize
from ganlab.storage.inception import PREPARATION, SHA256

DIM, CLASSES = 2048, 1008
# Images per pass on a CPU.  With so few, activations fit into the caches, and their memory is
# reused; the system would map larger blocks again each time.
PART, STEM_PART = 16, 4


class Inception(Extractor):
    """uint8 (N, 1 or 3, H, W) -> 2,048 features and 1,008 logits without the last layer's bias.

    The graph used for the Inception Score in the literature omits this bias, too.

    Args:
        path: file of the weights, in the format of torch-fidelity, torchmetrics and pytorch-fid.
        kind: of resizing to 299 x 299; `pil_bicubic` gives "clean" scores.

    Raises:
        ValueError: the file does not hold the weights of this network.
    """

    def __init__(self, path: str | Path, kind: Kind = "tf1_bilinear") -> None:
        file = Path(path)
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        name = "inception" if kind == "tf1_bilinear" else "inception-clean"
        name = name if digest == SHA256 else f"{name}-{digest[:8]}"
        preparation = PREPARATION.replace("tf1_bilinear", kind)
        super().__init__(name, digest, preparation, DIM, CLASSES)
        self.kind = kind
        parts = Parts(tensors_of(file))
        self.stem, self.trunk, self.head = parts.stem(), parts.trunk(), parts.head()
        self.to(memory_format=torch.channels_last).requires_grad_(False)

    @property
    def is_reference(self) -> bool:
        """Whether the weights are those of the literature, so that scores are comparable."""
        return self.weights == SHA256

    def forward(self, images: Tensor) -> Features:
        """Features and logits, in exact float32 even within training of another precision.

        Raises:
            ValueError: images are not uint8 (N, 1 or 3, H, W).
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            got = f"{images.dtype} {tuple(images.shape)}"
            raise ValueError(f"images must be uint8 (N, 1 or 3, H, W), got {got}")
        on_cpu = images.device.type == "cpu"
        parts = images.split(PART if on_cpu else max(len(images), 1))
        with torch.no_grad(), exact_float32(), torch.autocast(images.device.type, enabled=False):
            vectors = torch.cat([self.vectors(part) for part in parts])
            return Features(vectors, self.head(vectors))

    def vectors(self, images: Tensor) -> Tensor:
        """Features (n, 2048) of a part of the images."""
        x = (resize(images, self.kind) - 128) / 128
        x = x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        size = STEM_PART if x.device.type == "cpu" else max(len(x), 1)
        return self.trunk(torch.cat([self.stem(part) for part in x.split(size)]))


def tensors_of(file: Path) -> dict[str, Tensor]:
    """The tensors of a file of weights, float64, by torchvision's names.

    Raises:
        ValueError: it is not a file of tensors, or names or shapes do not match the network.
    """
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except (UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(f"'{file}' is not a file of tensors") from error
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ValueError(f"'{file}' does not hold tensors by name")
    with torch.device("meta"):
        network = inception_v3(num_classes=CLASSES, aux_logits=False, init_weights=False)
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    got = {name: tuple(value.shape) for name, value in found.items()}
    for what, names in (
        ("lacks", wanted.keys() - got.keys()),
        ("has unexpected", got.keys() - wanted.keys()),
        ("has a wrong shape for", {n for n in wanted.keys() & got.keys() if wanted[n] != got[n]}),
    ):
        if names:
            few = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
            raise ValueError(f"'{file}' {what} {few} ({len(names)} of {len(wanted)} tensors)")
    return {name: value.double() for name, value in found.items()}


class Branches(nn.ModuleList):
    """Parallel branches on the same input; concatenates their channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self], dim=1)


class Parts:
    """The parts of the network (Szegedy et al. 2016, figures 5-7, and the graph of 2015-12-05).

    BatchNorm is folded into convolutions.  Average pooling comes after its convolution, because
    both are linear and pooling then has fewer channels.

    Args:
        weights: tensors by torchvision's names.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights

    def stem(self) -> nn.Sequential:
        """(N, 3, 299, 299) in [-1, 1] -> (N, 192, 35, 35)."""
        return nn.Sequential(
            self.layer("Conv2d_1a_3x3", stride=2),
            self.layer("Conv2d_2a_3x3", padded=False),
            self.layer("Conv2d_2b_3x3"),
            nn.MaxPool2d(3, 2),
            self.layer("Conv2d_3b_1x1"),
            self.layer("Conv2d_4a_3x3", padded=False),
            nn.MaxPool2d(3, 2),
        )

    def trunk(self) -> nn.Sequential:
        """(N, 192, 35, 35) -> (N, 2048)."""
        return nn.Sequential(
            *(self.block_a(f"Mixed_5{letter}") for letter in "bcd"),
            self.block_b("Mixed_6a"),
            *(self.block_c(f"Mixed_6{letter}") for letter in "bcde"),
            self.block_d("Mixed_7a"),
            self.block_e("Mixed_7b", self.averaged("Mixed_7b")),
            # The graph has max pooling here, the paper average pooling.
            self.block_e(
                "Mixed_7c",
                nn.Sequential(nn.MaxPool2d(3, 1, padding=1), self.layer("Mixed_7c.branch_pool")),
            ),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def head(self) -> nn.Linear:
        """(N, 2048) -> (N, 1008), without bias."""
        linear = nn.Linear(DIM, CLASSES, bias=False)
        linear.weight = nn.Parameter(self.weights["fc.weight"].float())
        return linear

    def block_a(self, name: str) -> Branches:
        return Branches(
            [
                self.chain(name, "1x1"),
                self.chain(name, "5x5_1", "5x5_2"),
                self.chain(name, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3"),
                self.averaged(name),
            ]
        )

    def block_b(self, name: str) -> Branches:
        return Branches(
            [
                self.chain(name, "3x3", stride=2),
                self.chain(name, "3x3dbl_1", "3x3dbl_2", "3x3dbl_3", stride=2),
                nn.MaxPool2d(3, 2),
            ]
        )

    def block_c(self, name: str) -> Branches:
        return Branches(
            [
                self.chain(name, "1x1"),
                self.chain(name, "7x7_1", "7x7_2", "7x7_3"),
                self.chain(name, *(f"7x7dbl_{i}" for i in range(1, 6))),
                self.averaged(name),
            ]
        )

    def block_d(self, name: str) -> Branches:
        return Branches(
            [
                self.chain(name, "3x3_1", "3x3_2", stride=2),
                self.chain(name, *(f"7x7x3_{i}" for i in range(1, 5)), stride=2),
                nn.MaxPool2d(3, 2),
            ]
        )

    def block_e(self, name: str, pool: nn.Module) -> Branches:
        def split(last: str) -> Branches:
            return Branches([self.chain(name, f"{last}a"), self.chain(name, f"{last}b")])

        return Branches(
            [
                self.chain(name, "1x1"),
                nn.Sequential(self.chain(name, "3x3_1"), split("3x3_2")),
                nn.Sequential(self.chain(name, "3x3dbl_1", "3x3dbl_2"), split("3x3dbl_3")),
                pool,
            ]
        )

    def averaged(self, name: str) -> nn.Sequential:
        """The branch with average pooling, which ignores the padding."""
        mean = nn.AvgPool2d(3, 1, padding=1, count_include_pad=False)
        return nn.Sequential(self.convolution(f"{name}.branch_pool"), mean, nn.ReLU(inplace=True))

    def chain(self, name: str, *layers: str, stride: int = 1) -> nn.Sequential:
        """The layers of a branch in sequence; the last one has the stride."""
        *first, last = (f"{name}.branch{layer}" for layer in layers)
        return nn.Sequential(*map(self.layer, first), self.layer(last, stride))

    def layer(self, name: str, stride: int = 1, padded: bool | None = None) -> nn.Sequential:
        return nn.Sequential(self.convolution(name, stride, padded), nn.ReLU(inplace=True))

    def convolution(self, name: str, stride: int = 1, padded: bool | None = None) -> nn.Conv2d:
        """A convolution with its BatchNorm folded in; by default padded if the stride is 1."""
        weight = self.weights[f"{name}.conv.weight"]
        gain, bias, mean, variance = (
            self.weights[f"{name}.bn.{part}"]
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        scale = gain / (variance + 1e-3).sqrt()
        wide, narrow, height, width = weight.shape
        padded = stride == 1 if padded is None else padded
        padding = (height // 2, width // 2) if padded else 0
        made = nn.Conv2d(narrow, wide, (height, width), stride, padding, device="meta")
        made.weight = nn.Parameter((weight * scale.view(-1, 1, 1, 1)).float())
        made.bias = nn.Parameter((bias - mean * scale).float())
        return made
