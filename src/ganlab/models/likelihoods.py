"""Likelihoods p(x | z): what a decoder's output says about x."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ganlab.spec import PointSpec, Spec, positive


class Likelihood(nn.Module):
    """Base of likelihoods: independent values, given what a decoder puts out for each.

    `words`: what it is, for the protocol of a score.
    """

    words: str

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.bounded = not isinstance(spec, PointSpec)

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        """log p(x | z) in nats (N,), the sum over values.

        Args:
            a: (N, ...), the decoder's `natural`: a pixel's logit, or a coordinate.
            x: (N, ...), pixels in [0, 1], or points.
        """
        raise NotImplementedError


class Bernoulli(Likelihood):
    """Each pixel is 1 with probability sigmoid(a).

    Grey pixels enter as probabilities: the result is then minus a cross entropy, which is no
    likelihood of grey pixels and cannot be compared with one.

    Raises:
        ValueError: the data is points.
    """

    words = "Bernoulli"

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if not self.bounded:
            raise ValueError(
                "Bernoulli is of pixels; set model.likelihood._target_=ganlab.models.Normal "
                "model.binarise=none"
            )

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        return (x * a - softplus(a)).flatten(1).sum(dim=1)


class Normal(Likelihood):
    """Each value is N(mean, deviation^2): a density of pixels in [0, 1], or of points.

    The mean of a pixel is sigmoid(a), that of a coordinate is a.

    Args:
        deviation: of every value, greater than 0.
        learned: whether training changes the deviation, one number for all values.
    """

    def __init__(self, spec: Spec, deviation: float = 0.1, learned: bool = False) -> None:
        super().__init__(spec)
        positive(deviation=deviation)
        start = torch.tensor(math.log(deviation))
        self.log_deviation: Tensor
        if learned:
            self.log_deviation = nn.Parameter(start)
        else:
            self.register_buffer("log_deviation", start)
        self.words = "normal, learned deviation" if learned else f"normal, deviation {deviation:g}"

    def log_prob(self, a: Tensor, x: Tensor) -> Tensor:
        mean = a.sigmoid() if self.bounded else a
        apart = (x - mean) * (-self.log_deviation).exp()
        each = -0.5 * apart.square() - self.log_deviation - 0.5 * math.log(2 * math.pi)
        return each.flatten(1).sum(dim=1)
