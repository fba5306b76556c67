"""The engine of `ganlab lab live`: a real training that a person plays with.  No page, no thread.

    setup = Setup(loss="wasserstein", regularizers=(("gradient_penalty", 0.1),))
    setup.query(); Setup.from_query(text); setup.command(iterations)     # a URL, a command
    training = LiveTraining(setup)                # ConfigError: every reason why it cannot be
    training.iterate(10); training.d_update(); training.g_update()
    training.line.text; training.advance()        # slow motion; training.drawn, training.lines
    training.change(loss="hinge", k=2, g_rate=1e-4)      # ConfigError: refused, nothing has changed
    training.history.iterations; training.go_to(500)     # the slider
    training.curves.all(); training.verdicts; training.ailing; training.failure
    layers = Layers(training)                     # after `change` and `go_to`, the same ones
    layers.frame(["real", "generated", "heat"])   # only what is asked for; see layers.py
    TOUR                                          # stops, each with a Setup, three sentences
    Match(left, right).iterate(10)                # two from the same seed, side by side

Choices for menus: DATA, LOSSES, REGULARIZERS, OPTIMIZERS, ACTIVATIONS, LATENTS, RANGES, STRENGTH,
WHILE_IT_RUNS; `usual_strength(name)`; `refusal(setup)` says why choices cannot be combined.
`strokes.written(points)` makes what is drawn, points in [-1, 1]^2, a `Setup.strokes`.
"""

from ganlab.lab.live.layers import LAYERS, Arrows, Densities, Heat, Layers, View, Warp
from ganlab.lab.live.match import Match
from ganlab.lab.live.setup import (
    ACTIVATIONS,
    DATA,
    LATENTS,
    LOSSES,
    OPTIMIZERS,
    RANGES,
    REGULARIZERS,
    STRENGTH,
    WHILE_IT_RUNS,
    Setup,
    usual_strength,
)
from ganlab.lab.live.stage import refusal
from ganlab.lab.live.tour import TOUR, Stop
from ganlab.lab.live.training import LiveTraining

__all__ = [
    "ACTIVATIONS",
    "DATA",
    "LATENTS",
    "LAYERS",
    "LOSSES",
    "OPTIMIZERS",
    "RANGES",
    "REGULARIZERS",
    "STRENGTH",
    "TOUR",
    "WHILE_IT_RUNS",
    "Arrows",
    "Densities",
    "Heat",
    "Layers",
    "LiveTraining",
    "Match",
    "Setup",
    "Stop",
    "View",
    "Warp",
    "refusal",
    "usual_strength",
]
