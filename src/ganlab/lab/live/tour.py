"""The tour of the lectures: presets that show a phenomenon, and what to change then.

tests/test_live_engine.py trains each with three seeds and measures what its sentences say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ganlab.lab.live.setup import Setup


@dataclass(frozen=True)
class Stop:
    """A stop of the tour.

    Args:
        name: a word for links.
        title: the term of the field.
        setup: what is trained.
        iterations: after which the phenomenon shows.
        sentences: what there is to see: three.
        advice: what to change, in words.
        number: the measure to look at, a name in `words.MEASURES`.
        change: the advice for `LiveTraining.change`; empty: nothing.
        after: what there is to see after the change; "": there is none.
        then: iterations after the change until its effect shows.
        beside: what is trained beside it, from the same seed; None: nothing.
        layers: those to look at.
    """

    name: str
    title: str
    setup: Setup
    iterations: int
    sentences: tuple[str, str, str]
    advice: str
    number: str
    change: Mapping[str, Any] = field(default_factory=dict)
    after: str = ""
    then: int = 0
    beside: Setup | None = None
    layers: tuple[str, ...] = ("real", "generated", "heat")


def sentences(text: str) -> tuple[str, str, str]:
    """The three sentences of a text, each of which ends with a full stop at the end of a line."""
    first, second, third = (" ".join(one.split()) for one in text.strip().split(".\n"))
    return f"{first}.", f"{second}.", third


PENALTY = (("gradient_penalty", 0.1),)
# A D that is far ahead: five updates with a high rate for one of a slow G, in the saturating game.
AHEAD = Setup(loss="minimax", g_optimizer="sgd", g_rate=1e-3, d_rate=5e-3, k=5)
WASSERSTEIN = replace(AHEAD, loss="wasserstein", regularizers=PENALTY)
# Both affine: V = E[D(x)] - E[D(G(z))] is then a product of what each decides, like x y.
DIRAC = Setup(
    data="gaussian_1d",
    loss="wasserstein",
    g_optimizer="sgd",
    d_optimizer="sgd",
    g_rate=0.05,
    d_rate=0.05,
    g_depth=0,
    d_depth=0,
    latent_dim=1,
    batch=512,
)

TOUR = (
    Stop(
        "vanishing-gradient",
        "Vanishing gradient",
        AHEAD,
        300,
        sentences(
            """
            D makes five updates for one of G, and soon tells real points from generated ones
            almost without error.
            G descends log(1 - D(G(z))), which is flat where D is sure, so the arrows shrink to
            nothing.
            G stays where it started, although it could hardly be worse.
            """
        ),
        "Change the loss to nonsaturating.",
        number="gradient",
        change={"loss": "nonsaturating"},
        after="G ascends log D(G(z)), which is steep where D is sure: for the same D the arrows "
        "are long at once, and G moves. If you play on, all points end at one or two modes, "
        "which is the next stop.",
        then=30,
        layers=("real", "generated", "heat", "gradients"),
    ),
    Stop(
        "mode-collapse",
        "Mode collapse",
        Setup(data="two_gaussians_1d", latent_dim=1, d_rate=2e-4, momentum=0.5),
        600,
        sentences(
            """
            The data has two modes, and G makes points of one of them alone, whatever the noise.
            D learns too slowly to stop it, and nothing in G's loss asks for the other mode: each
            point by itself looks real enough.
            Now and then D has learned to reject the place, and all points jump to the other mode.
            """
        ),
        "Raise D's learning rate and set the momentum to 0.",
        number="modes",
        change={"d_rate": 5e-3, "momentum": 0.0},
        after="D now learns quickly enough to reject what there is too much of, so G has to share "
        "its points between both modes.",
        then=1200,
        layers=("real", "generated", "heat", "densities"),
    ),
    Stop(
        "oscillation",
        "Oscillation",
        Setup(d_rate=5e-4, momentum=0.5),
        800,
        sentences(
            """
            D learns more slowly than G, so G runs to where D is high now, with all of its points.
            When D has learned to reject that place, G runs to the next one.
            The losses swing, and neither player gets anywhere.
            """
        ),
        "Raise D's learning rate.",
        number="modes",
        change={"d_rate": 5e-3},
        after="D now rejects a place before all points are there, so they spread over all eight "
        "modes and stay.",
        then=500,
    ),
    Stop(
        "saddle-point",
        "Saddle point",
        DIRAC,
        330,
        sentences(
            """
            D is a straight line and G moves and stretches its noise, so the game is that of x y,
            whose only equilibrium is a saddle point.
            G's points swing around the data and never come to rest, because each player chases
            the other.
            Small learning rates make the circles slower, not smaller.
            """
        ),
        "Add the regularizer r1, or choose extra_sgd for both optimizers.",
        number="W1",
        change={"regularizers": (("r1", 1.0),)},
        after="r1 punishes D's slope and so damps it: the swing dies out, and the mean of G's "
        "points comes to rest at that of the data. What is left of W1 is their spread, of which a "
        "straight line sees nothing.",
        then=240,
        layers=("real", "generated", "heat", "gradients", "densities"),
    ),
    Stop(
        "wgan",
        "Wasserstein GAN",
        AHEAD,
        400,
        sentences(
            """
            Both start from the same weights, with the same strong D; minimax is left, Wasserstein
            with a gradient penalty is right.
            On the left D is sure and flat, and G gets no gradient; on the right the critic has a
            slope everywhere, and G follows it.
            The distance to the data falls on the right alone.
            """
        ),
        "Raise k on the right: a better critic helps there, and harms on the left.",
        number="sliced W1",
        beside=WASSERSTEIN,
        layers=("real", "generated", "heat", "gradients"),
    ),
)
