"""What to try against an ailment, in the page's words: what is not in force yet."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from ganlab.lab.live.setup import Setup

PENALTIES = {"r1", "gradient_penalty"}
BEHIND, SLOW = 5.0, 1e-4  # D learns quickly at so many times G's rate; a rate that is low already


class Remedy(NamedTuple):
    """A change of the choices.

    Args:
        words: what to choose.
        helps: whether these choices do not have it yet.
    """

    words: str
    helps: Callable[[Setup], bool]


def penalised(setup: Setup) -> bool:
    """Whether D's slope has a penalty."""
    return any(name in PENALTIES for name, _ in setup.regularizers)


FASTER_D = Remedy("a higher learning rate of D", lambda s: s.d_rate < BEHIND * s.g_rate)
SLOWER_D = Remedy("a lower learning rate of D", lambda s: s.d_rate > SLOW)
SLOWER_G = Remedy("a lower learning rate of G", lambda s: s.g_rate > SLOW)
SLOWER = Remedy("lower learning rates", lambda s: max(s.g_rate, s.d_rate) > SLOW)
NO_MOMENTUM = Remedy("momentum 0", lambda s: s.momentum > 0)
PENALTY = Remedy("the regularizer r1 or gradient_penalty", lambda s: not penalised(s))
MORE_STEPS = Remedy("two steps of D", lambda s: s.k == 1)
ONE_STEP = Remedy("one step of D", lambda s: s.k > 1)
NONSATURATING = Remedy("the loss nonsaturating", lambda s: s.loss == "minimax")
WASSERSTEIN = Remedy(
    "the loss wasserstein with gradient_penalty",
    lambda s: s.loss != "wasserstein" or not penalised(s),
)
REMEDIES: Mapping[str, tuple[Remedy, ...]] = {
    "divergence": (SLOWER, PENALTY),
    "discriminator-won": (NONSATURATING, SLOWER_D, ONE_STEP, WASSERSTEIN),
    "oscillation": (FASTER_D, NO_MOMENTUM, PENALTY),
    "one-image": (FASTER_D, SLOWER_G, NO_MOMENTUM, PENALTY),
    "mode-collapse": (FASTER_D, NO_MOMENTUM, MORE_STEPS, WASSERSTEIN),
}


def advice(ailment: str, setup: Setup) -> str:
    """'; try momentum 0 or two steps of D'; empty if all of it is in force."""
    *most, last = [one.words for one in REMEDIES.get(ailment, ()) if one.helps(setup)] or [""]
    tried = f"{', '.join(most)} or {last}" if most else last
    return f"; try {tried}" if tried else ""
