"""BatchNorm's running statistics: which tensors they are, and how they are computed anew."""

import functools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Seen = list[tuple[Tensor, Tensor]]  # mean and unbiased variance of each batch


def running(network: nn.Module) -> list[Tensor]:
    """Running means and variances of all BatchNorm layers; empty if none keeps any."""
    return [tensor for _, *both in layers(network) for tensor in both]


def layers(network: nn.Module) -> Iterator[tuple[_BatchNorm, Tensor, Tensor]]:
    """The BatchNorm layers that keep running statistics, each with its mean and variance."""
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            mean, variance = module.running_mean, module.running_var
            if mean is not None and variance is not None:
                yield module, mean, variance


@torch.no_grad()
def recompute(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Sets the running statistics to their means over batches, BigGAN's "standing statistics".

    Each layer normalises a batch by the batch's own statistics, as in training.  Its running mean
    is then the mean of the batches' means, and its running variance that of their unbiased
    variances (Brock et al. 2019).  All other layers are in evaluation mode, and no layer
    communicates with other processes, as SyncBatchNorm would in training mode.

    Args:
        network: whose statistics are set; its mode stays.
        batches: its inputs, at least two rows in each.
    """
    kept = [(mean, variance, Seen(), layer) for layer, mean, variance in layers(network)]
    hooks = [
        layer.register_forward_pre_hook(functools.partial(observe, mean, variance, seen))
        for mean, variance, seen, layer in kept
    ]
    if not hooks:
        return
    training = network.training
    network.eval()
    try:
        for batch in batches:
            network(batch)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    for mean, variance, seen, _ in kept:
        if seen:  # G uses this layer
            means, variances = zip(*seen, strict=True)
            mean.copy_(torch.stack(means).mean(0))
            variance.copy_(torch.stack(variances).mean(0))


def observe(
    mean: Tensor, variance: Tensor, seen: Seen, _: nn.Module, inputs: tuple[Tensor, ...]
) -> None:
    """Notes a batch's statistics, and lets a layer in evaluation mode normalise by them.

    Args:
        mean, variance: the layer's own, which change.
        seen: gets the batch's.
        inputs: of the layer, (N, C, ...) first.
    """
    features = inputs[0]
    others = [0, *range(2, features.ndim)]
    biased, found = torch.var_mean(features, others, correction=0)
    n = features.numel() // features.shape[1]
    seen.append((found, biased * n / (n - 1)))
    mean.copy_(found)
    variance.copy_(biased)
