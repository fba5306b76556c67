"""When callbacks act."""

from ganlab.gan import GAN


def due(gan: GAN, every: int, ahead: int = 0) -> bool:
    """Whether the iteration just done (or `ahead` of it) is a multiple of `every` or the last."""
    iteration = gan.iterations + ahead
    return iteration % every == 0 or iteration == gan.total_iterations
