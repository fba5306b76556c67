"""Discriminators with features and a linear head, and layers that compare images of a minibatch."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.parametrizations import _SpectralNorm

from ganlab.networks.contract import Discriminator
from ganlab.spec import at_least, one_of


class MinibatchStd(nn.Module):
    """(N, C, ...) -> (N, C + 1, ...): adds one map that says how much the images of a group differ.

    It is the standard deviation over the group of each entry, averaged over all entries: one number
    for a group (Karras et al. 2018, section 3; groups as in the code of Karras et al. 2020).  D
    thus detects similar images.  A layer with a nonlinearity must follow: in front of D's last
    linear layer it would only add a constant to the logits of a group.

    Args:
        group: images of a group, at least 1.  Groups follow each other in the minibatch; their
            size is the least number from `group` on that divides the minibatch.
    """

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        at_least(1, minibatch_group=group)
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        n = len(x)
        size = next(k for k in range(min(self.group, n), n + 1) if n % k == 0)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))  # 1e-8 is 0 in float16
        deviations = (wide.unflatten(0, (-1, size)).var(dim=1, correction=0) + 1e-8).sqrt()
        of_groups = deviations.flatten(1).mean(dim=1).to(x.dtype)
        plane = of_groups.repeat_interleave(size).view(n, *(1 for _ in x.shape[1:]))
        return torch.cat([x, plane.expand(n, 1, *x.shape[2:])], dim=1)

    def extra_repr(self) -> str:
        return f"group={self.group}"


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


COMPARISONS = ("none", "std", "discrimination")


def minibatch_std(minibatch: str, group: int) -> list[nn.Module]:
    """The layer of minibatch="std", for a network to put before its last layer but the head; or [].

    The layer after it has `len(...)` more channels.
    """
    one_of(COMPARISONS, minibatch=minibatch)
    at_least(1, minibatch_group=group)
    return [MinibatchStd(group)] if minibatch == "std" else []


class FeatureDiscriminator(Discriminator):
    """Images -> features (N, feature_dim) -> logits (N,): most discriminators have this form.

    Args:
        features: images (N, C, H, W) in [-1, 1] -> (N, feature_dim).
        feature_dim: width of these features.
        minibatch: comparison with the other images of the minibatch: "none"; "std", which is a
            layer among `features`, see `minibatch_std`; or "discrimination", between features and
            head.

    Raises:
        ValueError: `minibatch` is another word, or "std" without a MinibatchStd in `features`.
    """

    def __init__(self, features: nn.Module, feature_dim: int, minibatch: str = "none") -> None:
        super().__init__()
        one_of(COMPARISONS, minibatch=minibatch)
        if minibatch == "std" and not any(isinstance(m, MinibatchStd) for m in features.modules()):
            raise ValueError("minibatch=std needs a hidden layer after it, and there is none")
        self.features, self.feature_dim = features, feature_dim
        discriminating = minibatch == "discrimination"
        self.compare = MinibatchDiscrimination(feature_dim) if discriminating else nn.Identity()
        self.head_dim: int = feature_dim + getattr(self.compare, "extra", 0)
        self.head: nn.Module = nn.Linear(self.head_dim, 1)

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
