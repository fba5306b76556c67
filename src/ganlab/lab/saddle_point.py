"""Saddle points: how gradient methods of two players converge, cycle or diverge.

Every game is played with the optimizers that train GANs.  The factor by which the distance to the
equilibrium changes per round is measured and compared with theory.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ganlab.lab import saddle_pictures
from ganlab.lab.games import GAMES, METHODS, Dynamics, Game, Matrix, Play, play
from ganlab.runs.folder import require_writable
from ganlab.spec import at_least, positive, seed_range
from ganlab.storage import files

NEAR = 1e-30  # starting distance, at which every game is practically linear
WINDOW = 1e-300, 1e-3  # range of distances that float64 resolves and where games are linear
STARTS, RING = 3, 16  # paths to draw, and starting points around the equilibrium


@dataclass(frozen=True)
class Options:
    """The learning rate of both players, the number of rounds, the seed of the starting points."""

    step: float = 0.2
    steps: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        positive(step=self.step)
        if self.step > 1:
            raise ValueError(f"step must be at most 1, got {self.step}")
        at_least(50, steps=self.steps)
        seed_range(self.seed)


def saddle_point(
    step: float = Options.step,
    steps: int = Options.steps,
    seed: int = Options.seed,
    output_dir: str = "outputs",
) -> list[Path]:
    """Two players on saddle points: pictures, an animation, and a table of measured rates.

    Prints the table, which compares the rates with theory; returns the files written.

    Args:
        step: learning rate of both players, greater than 0 and at most 1.
        steps: rounds to play, at least 50.
        seed: of the starting points.
        output_dir: where results go, below lab/saddle-point.
    """
    options, folder = Options(step, steps, seed), Path(output_dir) / "lab" / "saddle-point"
    require_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    plays = [played(game, method, options) for game in GAMES for method in METHODS]
    print("\n".join(table(plays)), flush=True)
    records = {"options": asdict(options), "plays": [one.record() for one in plays]}
    text = json.dumps(records, indent=2, ensure_ascii=False)
    files.write(folder / "results.json", text.encode())
    return [folder / "results.json", *saddle_pictures.write(plays, step, folder)]


def played(game: Game, method: Dynamics, options: Options) -> Play:
    """Plays a game from points at distance 1, and from a ring close to the equilibrium."""
    starts = np.concatenate([circle(STARTS, options.seed), NEAR * circle(RING, options.seed)])
    path = play(game, method, starts, options.step, options.steps)
    distances = mean_distance(path[:, STARTS:]) / NEAR
    theory = method.factor(game, options.step)
    return Play(game, method, path[:, :STARTS], distances, theory, factor(distances))


def circle(n: int, seed: int) -> Matrix:
    """n evenly spaced points (n, 2) on the unit circle; the seed sets the first angle."""
    first = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    angles = first + 2 * np.pi * np.arange(n) / n
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def mean_distance(points: Matrix) -> Matrix:
    """Geometric mean distance (t,) of a ring (t, n, 2); it averages over phases of the orbits."""
    with np.errstate(divide="ignore"):
        return np.exp(np.log(np.hypot(points[..., 0], points[..., 1])).mean(axis=1))


def factor(distances: Matrix) -> float:
    """Factor per round, from the slope of the log distance in the second half of WINDOW's rounds.

    0 if the distance leaves WINDOW at once, because the method jumps to the equilibrium.
    """
    low, high = (bound / NEAR for bound in WINDOW)
    left = np.append(distances > high, True)
    rounds = np.flatnonzero(distances[: left.argmax()] > low)
    if len(rounds) < 3:
        return 0.0
    rounds = rounds[len(rounds) // 2 :]
    slope, _ = np.polyfit(rounds, np.log(distances[rounds]), 1)
    return float(np.exp(slope))


def table(plays: list[Play]) -> Iterator[str]:
    """The lines of the table, with a block per game."""
    width = max(len(one.method.name) for one in plays)
    last = None
    for one in plays:
        if one.game is not last:
            yield "" if last is not None else "distance to the equilibrium, factor per round:\n"
            yield f"{one.game.name:{width + 2}}  {'theory':>8} {'measured':>9} {'difference':>11}"
            last = one.game
        numbers = f"{one.theory:8.4f} {one.measured:9.4f} {one.measured - one.theory:+11.5f}"
        yield f"  {one.method.name:{width}}  {numbers}"
    yield ""
