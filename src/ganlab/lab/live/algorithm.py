"""Algorithm 1 of Goodfellow et al. 2014 as lines of text, in the terms of the loss in force."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["ahead", "noise", "data", "d", "g"]

# loss -> what D does and what G does with its stochastic gradient, sums over a minibatch.
AVERAGED = "1/m Σᵢ"
SATURATING = "log D(x⁽ⁱ⁾) + log(1 − D(G(z⁽ⁱ⁾)))"
GAMES = {
    "minimax": (f"ascending: {SATURATING}", "descending: log(1 − D(G(z⁽ⁱ⁾)))"),
    "nonsaturating": (f"ascending: {SATURATING}", "ascending: log D(G(z⁽ⁱ⁾))"),
    "least_squares": (
        "descending: ½(D(x⁽ⁱ⁾) − 1)² + ½D(G(z⁽ⁱ⁾))²",
        "descending: ½(D(G(z⁽ⁱ⁾)) − 1)²",
    ),
    "wasserstein": ("ascending: D(x⁽ⁱ⁾) − D(G(z⁽ⁱ⁾))", "ascending: D(G(z⁽ⁱ⁾))"),
    "hinge": (
        "descending: max(0, 1 − D(x⁽ⁱ⁾)) + max(0, 1 + D(G(z⁽ⁱ⁾)))",
        "ascending: D(G(z⁽ⁱ⁾))",
    ),
    "relativistic": (
        "descending: softplus(D(G(z⁽ⁱ⁾)) − D(x⁽ⁱ⁾))",
        "descending: softplus(D(x⁽ⁱ⁾) − D(G(z⁽ⁱ⁾)))",
    ),
    "relativistic_average": (
        "descending: softplus(mean D(G(z)) − D(x⁽ⁱ⁾)) + softplus(D(G(z⁽ⁱ⁾)) − mean D(x))",
        "descending: softplus(mean D(x) − D(G(z⁽ⁱ⁾))) + softplus(D(x⁽ⁱ⁾) − mean D(G(z)))",
    ),
}


@dataclass(frozen=True)
class Line:
    """A line of Algorithm 1, as it is reached in an iteration.

    Args:
        kind: ahead: extragradient players look ahead; noise, data: a minibatch is drawn; d, g: a
            player is updated.
        text: the line.
        step: which of D's k updates it belongs to, from 1; 0: to G's.
    """

    kind: Kind
    text: str
    step: int


def lines(loss: str, k: int, *, ahead: bool, needs_real: bool) -> list[Line]:
    """The lines of one iteration, in the order in which they are carried out.

    Args:
        loss: a name in conf/loss.
        k: updates of D.
        ahead: whether a player looks ahead.
        needs_real: whether G's update takes a minibatch of real points.
    """
    noise = "Sample m noise samples z⁽¹⁾, …, z⁽ᵐ⁾ from the noise prior p_g(z)."
    data = "Sample m examples x⁽¹⁾, …, x⁽ᵐ⁾ from the data distribution p_data(x)."
    of_d, of_g = GAMES[loss]
    found = [Line("ahead", "Both players look ahead by one step (extragradient).", 0)] * ahead
    for step in range(1, k + 1):
        found += [
            Line("noise", noise, step),
            Line("data", data, step),
            Line("d", updating("discriminator", of_d), step),
        ]
    found.append(Line("noise", noise, 0))
    found += [Line("data", data, 0)] * needs_real
    return [*found, Line("g", updating("generator", of_g), 0)]


def updating(player: str, how: str) -> str:
    """'Update the generator by ascending its stochastic gradient: ...'."""
    way, _, summand = how.partition(": ")
    theta = "θ_d" if player == "discriminator" else "θ_g"
    gradient = f"∇\N{NO-BREAK SPACE}{theta} {AVERAGED} [{summand}]"
    return f"Update the {player} by {way} its stochastic gradient: {gradient}."
