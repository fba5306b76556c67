"""What a page shows of Bokeh's models, so that one message holds all that a frame changes."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from bokeh.model import Model

Change = tuple[Model, dict[str, Any]]  # a model, and values of its properties


class Screen:
    """The values that a page has been sent.

    Bokeh sends a message for each property that is set.  A frame sets dozens, twice a second with
    the curves, and the messages would take longer than the training.
    """

    def __init__(self) -> None:
        self._shown = dict[str, dict[str, Any]]()

    def differences(self, changes: Iterable[Change]) -> dict[str, dict[str, Any]]:
        """The values that the page does not show yet, by the model's id; it then shows them."""
        found = dict[str, dict[str, Any]]()
        for model, values in changes:
            shown = self._shown.setdefault(model.id, {})
            new = {n: v for n, v in values.items() if n not in shown or not same(v, shown[n])}
            if new:
                shown.update(new)
                found[model.id] = new
        return found


def apply(changes: Iterable[Change]) -> None:
    """Sets the values in the models themselves."""
    for model, values in changes:
        model.update(**values)


def same(one: Any, other: Any) -> bool:
    """Whether plain values, arrays, or lists and dictionaries of them are equal; NaN equals NaN."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same(value, other[name]) for name, value in one.items())
        )
    if isinstance(one, list | np.ndarray):
        return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)
    return bool(one == other)
