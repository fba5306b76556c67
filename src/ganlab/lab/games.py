"""Games of two scalars, x and y, and the gradient methods by which both players play.

The equilibrium of each game is (0, 0).  A method consists of an optimizer, also used to train GANs,
and of the order of moves: simultaneous or alternating.  It also has the matrix of its update near
the equilibrium.  The spectral radius of this matrix is the theoretical rate, with which the
measured one is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Optimizer

from ganlab.losses import Loss, Minimax, NonSaturating, Wasserstein
from ganlab.optimizers import Extragradient, ExtraSGD, OptimisticSGD

X, Y = 0, 1  # the players; in a Dirac-GAN x is G's and y is D's
Matrix = np.ndarray[Any, np.dtype[np.float64]]
Losses = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Game:
    """Two losses of (x, y), each minimised by one player.

    Args:
        name: in tables and pictures.
        losses: points x (n,) and y (n,) -> (loss of x, loss of y), each summed over the points.
        jacobian: of (d x_loss / dx, d y_loss / dy) with respect to (x, y), at the equilibrium.
    """

    name: str
    losses: Losses
    jacobian: tuple[tuple[float, float], tuple[float, float]]

    def gradients(self, x: Tensor, y: Tensor, players: tuple[int, ...] = (X, Y)) -> list[Tensor]:
        """The gradient of each player's loss with respect to that player, (n,) each."""
        losses, places = self.losses(x, y), (x, y)
        return [
            torch.autograd.grad(losses[player], places[player], retain_graph=True)[0]
            for player in players
        ]


def zero_sum(value: Callable[[Tensor, Tensor], Tensor]) -> Losses:
    """Losses of a zero-sum game: x minimises the value, y maximises it."""

    def losses(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        total = value(x, y).sum()
        return total, -total

    return losses


def dirac(loss: Loss, r1: float = 0.0) -> Losses:
    """The Dirac-GAN (Mescheder et al. 2018, section 2): data at 0, G at x, D(image) = y image.

    D's gradient at the data is y, so R1 (ibid., eq. 9) is r1 y^2 / 2.
    """

    def losses(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        real, fake = 0 * y, y * x
        penalty = r1 / 2 * y.square().sum()
        return len(x) * loss.g_loss(fake), len(x) * loss.d_loss(real, fake) + penalty

    return losses


def joint(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """No game: both players minimise x^2 - y^2."""
    total = (x.square() - y.square()).sum()
    return total, total


R1_WEIGHT = 0.5
SADDLE = Game("x² − y²", zero_sum(lambda x, y: x.square() - y.square()), ((2, 0), (0, 2)))
BILINEAR = Game("x y", zero_sum(lambda x, y: x * y), ((0, 1), (-1, 0)))
DESCENT = Game("descent of x² − y²", joint, ((2, 0), (0, -2)))
GAMES = (
    SADDLE,
    BILINEAR,
    Game("Dirac-GAN, Wasserstein", dirac(Wasserstein()), ((0, -1), (1, 0))),
    Game("Dirac-GAN, minimax", dirac(Minimax()), ((0, -0.5), (0.5, 0))),
    Game("Dirac-GAN, non-saturating", dirac(NonSaturating()), ((0, -0.5), (0.5, 0))),
    Game("Dirac-GAN with R1", dirac(NonSaturating(), R1_WEIGHT), ((0, -0.5), (0.5, R1_WEIGHT))),
)


# Methods ----------------------------------------------------------------------------------------

TOGETHER, IN_TURN = ((X, Y),), ((Y,), (X,))  # who moves; as in Algorithm 1, D is first
Turns = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Dynamics:
    """A gradient method for both players.

    Args:
        name: in tables and pictures.
        optimizer: factory, called with parameters and `lr`.
        turns: groups of players; players of a group move simultaneously, groups in sequence.
        update: (jacobian, learning rate, turns) -> matrix of one round near the equilibrium; it
            acts on a state of (x, y) and, for some methods, a memory.
    """

    name: str
    optimizer: Callable[..., Optimizer]
    turns: Turns
    update: Callable[[Matrix, float, Turns], Matrix]

    def factor(self, game: Game, rate: float) -> float:
        """Asymptotic factor per round of the distance to the equilibrium: the spectral radius."""
        matrix = self.update(np.array(game.jacobian, dtype=float), rate, self.turns)
        return float(np.abs(np.linalg.eigvals(matrix)).max())


def heavy_ball(parameters: list[Tensor], lr: float, momentum: float) -> SGD:
    """SGD with momentum, which may be negative: only torch's constructor rejects that."""
    optimizer = SGD(parameters, lr=lr, momentum=abs(momentum))
    optimizer.param_groups[0]["momentum"] = momentum
    return optimizer


def chosen(players: tuple[int, ...]) -> Matrix:
    """The diagonal projection matrix on the coordinates of these players."""
    return np.diag([float(player in players) for player in (X, Y)])


def in_order(turns: list[Matrix]) -> Matrix:
    """The product of matrices that applies the first one first."""
    return reduce(lambda done, turn: turn @ done, turns)


def momentum_update(jacobian: Matrix, rate: float, turns: Turns, momentum: float = 0.0) -> Matrix:
    """w+ = w - rate J w + momentum (w - w-), on the state (w, w-)."""
    one = np.eye(2)
    return in_order(
        [
            np.block([[one + p @ (momentum * one - rate * jacobian), -momentum * p], [p, one - p]])
            for p in map(chosen, turns)
        ]
    )


def extragradient_update(jacobian: Matrix, rate: float, turns: Turns) -> Matrix:
    """All players extrapolate; then w+ = w - rate J v, with v the current positions, on w."""
    one, none = np.eye(2), np.zeros((2, 2))
    moves = [  # on the state (v, w)
        np.block([[one - p - rate * p @ jacobian, p], [none, one]]) for p in map(chosen, turns)
    ]
    return (in_order(moves) @ np.vstack([one - rate * jacobian, one]))[:2]


def optimistic_update(jacobian: Matrix, rate: float, turns: Turns) -> Matrix:
    """w+ = w + 2 u - u-, u = -rate J w, on the state (w, u-)."""
    one = np.eye(2)
    return in_order(
        [
            np.block([[one - 2 * rate * p @ jacobian, -p], [-rate * p @ jacobian, one - p]])
            for p in map(chosen, turns)
        ]
    )


def with_momentum(momentum: float) -> Dynamics:
    """Alternating gradient descent with heavy-ball momentum (Gidel et al. 2019b, section 5)."""
    optimizer = partial(heavy_ball, momentum=momentum)
    update = partial(momentum_update, momentum=momentum)
    return Dynamics(f"momentum {momentum:+}".replace("-", "−"), optimizer, IN_TURN, update)


SIMULTANEOUS = Dynamics("simultaneous", SGD, TOGETHER, momentum_update)
ALTERNATING = Dynamics("alternating", SGD, IN_TURN, momentum_update)
POSITIVE, NEGATIVE = with_momentum(0.5), with_momentum(-0.5)
EXTRAGRADIENT = Dynamics("extragradient", ExtraSGD, TOGETHER, extragradient_update)
IN_ALGORITHM_1 = Dynamics("extragradient, alternating", ExtraSGD, IN_TURN, extragradient_update)
OPTIMISTIC = Dynamics("optimistic", OptimisticSGD, TOGETHER, optimistic_update)
METHODS = (
    *(SIMULTANEOUS, ALTERNATING, POSITIVE, NEGATIVE),
    *(EXTRAGRADIENT, IN_ALGORITHM_1, OPTIMISTIC),
)


def play(game: Game, method: Dynamics, starts: Matrix, rate: float, rounds: int) -> Matrix:
    """Positions of the players, float64 (rounds + 1, n, 2), from n starting points (n, 2)."""
    players = [Parameter(torch.from_numpy(column.copy())) for column in starts.T]
    optimizers = [method.optimizer([player], lr=rate) for player in players]

    def move(group: tuple[int, ...], **options: Any) -> None:
        for player, gradient in zip(
            group, game.gradients(players[X], players[Y], group), strict=True
        ):
            players[player].grad = gradient
        for player in group:
            optimizers[player].step(**options)

    path = [starts]
    for _ in range(rounds):
        if isinstance(optimizers[X], Extragradient):
            move((X, Y), extrapolate=True)
        for group in method.turns:
            move(group)
        path.append(torch.stack([player.detach() for player in players], dim=1).numpy().copy())
    return np.stack(path)


@dataclass(frozen=True)
class Play:
    """A game played by one method.

    `paths` (steps + 1, n, 2) start at distance 1.  `distances` (steps + 1,) are measured near the
    equilibrium, relative to the start.  `theory` and `measured` are factors per round.
    """

    game: Game
    method: Dynamics
    paths: Matrix
    distances: Matrix
    theory: float
    measured: float

    def record(self) -> dict[str, str | float]:
        """The entry in results.json."""
        return {
            "game": self.game.name,
            "method": self.method.name,
            "theory": self.theory,
            "measured": self.measured,
            "difference": self.measured - self.theory,
        }
