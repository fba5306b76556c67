"""Discriminators with features and a linear head, and layers that compare images of a minibatch."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm

from ganlab.networks.contract import Discriminator
from ganlab.spec import one_of


class MinibatchStd(nn.Module):
    """Adds one feature: the standard deviation over the minibatch, averaged over the features.

    It lets D detect minibatches of similar images (Karras et al. 2018, section 3).
    """

    extra = 1

    def __init__(self, feature_dim: int) -> None:
        super().__init__()

    def forward(self, features: Tensor) -> Tensor:
        spread = (features.var(dim=0, correction=0) + 1e-8).sqrt().mean()
        return torch.cat([features, spread.expand(len(features), 1)], dim=1)


class MinibatchDiscrimination(nn.Module):
    """Adds `extra` features: similarity to the other images (Salimans et al. 2016, section 3.2).

    M = f T, with rows of `depth` values; o_b(x_i) = sum over j of exp(-||M_ib - M_jb||_1), j != i.
    """

    extra = 100

    def __init__(self, feature_dim: int, depth: int = 5) -> None:
        super().__init__()
        self.depth = depth
        self.project = nn.Linear(feature_dim, self.extra * depth, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        rows = self.project(features).unflatten(1, (self.extra, self.depth))
        closeness = (-(rows.unsqueeze(0) - rows.unsqueeze(1)).abs().sum(dim=3)).exp()
        return torch.cat([features, closeness.sum(dim=1) - 1], dim=1)  # - 1 for the image itself


COMPARISONS: dict[str, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "std": MinibatchStd,
    "discrimination": MinibatchDiscrimination,
}


class FeatureDiscriminator(Discriminator):
    """Images -> features (N, feature_dim) -> logits (N,): most discriminators have this form.

    Args:
        features: images (N, C, H, W) in [-1, 1] -> (N, feature_dim).
        feature_dim: width of these features.
        minibatch: comparison with the other images of the minibatch: "none", "std" or
            "discrimination".
    """

    def __init__(self, features: nn.Module, feature_dim: int, minibatch: str = "none") -> None:
        super().__init__()
        one_of(tuple(COMPARISONS), minibatch=minibatch)
        self.features, self.feature_dim = features, feature_dim
        self.compare = COMPARISONS[minibatch](feature_dim)
        self.head = nn.Linear(feature_dim + getattr(self.compare, "extra", 0), 1)

    @property
    def has_spectral_head(self) -> bool:
        return any(isinstance(module, _SpectralNorm) for module in self.head.modules())

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.features(x)
        return self.head(self.compare(features)).flatten(), features


# These modules depend on other images of the minibatch, or change state in every pass.
MINGLING = (_NormBase, _SpectralNorm, MinibatchStd, MinibatchDiscrimination)


def stranger(*networks: nn.Module) -> nn.Module | None:
    """The first module whose class is from neither torch.nn nor ganlab, or None."""
    modules = (module for network in networks for module in network.modules())
    known = ("torch.nn.", "ganlab.")
    return next((m for m in modules if not type(m).__module__.startswith(known)), None)


def independent(*networks: nn.Module) -> bool:
    """Whether networks treat each image independently and do not change state.

    If so, one pass over real and generated images together gives the same result as two separate
    passes, and is cheaper.  False if a module is from neither torch.nn nor ganlab.
    """
    modules = (module for network in networks for module in network.modules())
    mingles = any(isinstance(module, MINGLING) for module in modules)
    return not mingles and stranger(*networks) is None
