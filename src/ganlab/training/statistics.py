"""BatchNorm's running statistics: which tensors they are, and how they are computed anew."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def running(network: nn.Module) -> list[Tensor]:
    """Running means and variances of all BatchNorm layers; empty if none keeps any."""
    return [t for layer in layers(network) for t in (layer.running_mean, layer.running_var)]


def layers(network: nn.Module) -> Iterator[nn.Module]:
    """The BatchNorm layers that keep running statistics."""
    for module in network.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield module


@torch.no_grad()
def recompute(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the running statistics to their means over batches ("standing statistics", BigGAN).

    Each layer normalises a batch by the batch's own statistics, as in training.  Its running mean
    is then the mean of the batches' means, and its running variance that of their unbiased
    variances (Brock et al. 2019, section 4).  All other layers are in evaluation mode, and no
    layer communicates with other processes.

    Args:
        network: whose statistics are set; its mode stays.
        batches: its inputs, at least two rows in each.
    """
    found: dict[nn.Module, list[tuple[Tensor, Tensor]]] = defaultdict(list)

    def observe(layer: nn.Module, inputs: tuple[Tensor]) -> None:
        features = inputs[0]
        others = [0, *range(2, features.ndim)]  # all dimensions but the channels
        variance, mean = torch.var_mean(features, others, correction=0)
        n = features.numel() // features.shape[1]
        found[layer].append((mean, variance * n / (n - 1)))
        layer.running_mean.copy_(mean)  # in evaluation mode, the layer normalises by these
        layer.running_var.copy_(variance)

    hooks = [layer.register_forward_pre_hook(observe) for layer in layers(network)]
    training = network.training
    network.eval()
    try:
        for batch in batches:
            network(batch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    for layer, seen in found.items():
        means, variances = zip(*seen, strict=True)
        layer.running_mean.copy_(torch.stack(means).mean(0))
        layer.running_var.copy_(torch.stack(variances).mean(0))
