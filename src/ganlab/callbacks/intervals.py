"""Intervals at which callbacks act."""

from ganlab.generative import Generative


def due(model: Generative, every: int, ahead: int = 0) -> bool:
    """Whether the iteration just done, plus `ahead`, is a multiple of `every` or the last one."""
    iteration = model.iterations + ahead
    return iteration % every == 0 or iteration == model.total_iterations
