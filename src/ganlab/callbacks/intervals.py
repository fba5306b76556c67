"""When callbacks act."""

from ganlab.generative import Generative


def due(model: Generative, every: int, ahead: int = 0) -> bool:
    """Whether the iteration just done (or `ahead` of it) is a multiple of `every` or the last."""
    iteration = model.iterations + ahead
    return iteration % every == 0 or iteration == model.total_iterations
