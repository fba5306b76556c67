"""The centred gradient (Melchior, Fischer & Wiskott 2016)."""

import torch
from torch import Tensor


def centred(
    weight: Tensor, visible: Tensor, hidden: Tensor, v_mean: Tensor, h_mean: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of a machine whose units are v - v_mean and h - h_mean, in terms of E's W, b, c.

    It is invariant to flips of the data's bits if the offsets flip, too.  The energy stays
    -b'v - c'h - v'Wh, so everything but training is as without centring (their algorithm 1, where
    the offsets move after the update).

    Args:
        weight, visible, hidden: the ordinary gradient of W (V, H), b (V,) and c (H,).
        v_mean, h_mean: offsets (V,) and (H,).

    Returns:
        The same three, centred.
    """
    weight = weight - torch.outer(v_mean, hidden) - torch.outer(visible, h_mean)
    return weight, visible - weight @ h_mean, hidden - weight.T @ v_mean
