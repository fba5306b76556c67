"""The laboratory's saddle points: theory in closed form, and what is played agrees with it."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from ganlab.commands import command_line
from ganlab.lab import games, saddle_pictures, saddle_point
from ganlab.lab.games import BILINEAR, DESCENT, GAMES, METHODS, R1_WEIGHT, SADDLE
from ganlab.lab.saddle_point import Options, factor, played
from ganlab.regularizers import R1
from ganlab.training.terms import Discrimination, Output

RATES = (0.05, 0.2, 0.4)
CLOSE = 0.01  # of the factor itself
STRICT = 1.5e-3  # of what a step changes at all


def run(words):
    """As the command does."""
    with command_line.exit_with_message():
        for path in command_line.called(saddle_point.saddle_point, words):
            print(path)


def largest_root(*coefficients: float) -> float:
    return float(np.abs(np.roots(coefficients)).max())


def ball(rate: float, momentum: float) -> float:
    """Alternating heavy ball on x y: (r - 1)^2 (r - momentum)^2 + rate^2 r^3 = 0.

    Gidel et al. 2019b, section 5, by eliminating y from the two recurrences.
    """
    left = np.polymul(np.poly([1, 1]), np.poly([momentum, momentum]))
    return largest_root(*np.polyadd(left, [rate**2, 0, 0, 0]))


ON_BILINEAR = {  # what each method does to the distance on x y
    "simultaneous": lambda rate: math.sqrt(1 + rate**2),
    "alternating": lambda rate: 1.0,
    "momentum +0.5": lambda rate: ball(rate, 0.5),
    "momentum −0.5": lambda rate: ball(rate, -0.5),
    "extragradient": lambda rate: math.sqrt(1 - rate**2 + rate**4),
    "extragradient, alternating": lambda rate: math.sqrt(1 - rate**2),
    "optimistic": lambda rate: math.sqrt((1 + math.sqrt(1 - 4 * rate**2)) / 2),
}
ON_SADDLE = {  # both players have the same slope, 2
    "simultaneous": lambda rate: abs(1 - 2 * rate),
    "alternating": lambda rate: abs(1 - 2 * rate),
    "momentum +0.5": lambda rate: largest_root(1, 2 * rate - 1.5, 0.5),
    "momentum −0.5": lambda rate: largest_root(1, 2 * rate - 0.5, -0.5),
    "extragradient": lambda rate: 1 - 2 * rate + 4 * rate**2,
    "extragradient, alternating": lambda rate: 1 - 2 * rate + 4 * rate**2,
    "optimistic": lambda rate: largest_root(1, 4 * rate - 1, -2 * rate),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_theory_is_the_closed_form_where_one_is_known(method, rate):
    for game, known in ((BILINEAR, ON_BILINEAR), (SADDLE, ON_SADDLE)):
        expected = known[method.name](rate)
        # a double root is known to the root of the precision of its polynomial
        assert method.factor(game, rate) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("game", [*GAMES, DESCENT], ids=lambda g: g.name)
def test_the_equilibrium_and_the_jacobian_are_those_of_the_losses(game):
    def gradients(point):
        x, y = point[:1], point[1:]
        losses = game.losses(x, y)
        ours = [torch.autograd.grad(losses[i], point, create_graph=True)[0][i] for i in (0, 1)]
        return torch.stack(ours)

    origin = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    assert gradients(origin).abs().max() == 0
    jacobian = torch.autograd.functional.jacobian(gradients, origin)
    assert jacobian.tolist() == pytest.approx(np.array(game.jacobian), abs=1e-12)


def test_the_losses_are_summed_over_points():
    """So that paths are played side by side without knowing of one another."""
    starts = np.array([[0.3, -0.2], [1.0, 0.5]])
    for game in GAMES:
        both = games.play(game, games.OPTIMISTIC, starts, 0.2, 5)
        alone = games.play(game, games.OPTIMISTIC, starts[1:], 0.2, 5)
        assert both[:, 1:] == pytest.approx(alone, abs=1e-14)


def test_the_penalty_is_that_of_the_regularizer():
    y = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    images, nothing = torch.zeros(3, 1, 1, 1, dtype=torch.float64), torch.zeros(3, 0)
    seen = Output(images, nothing, torch.zeros(3))
    seen = Discrimination(lambda points: y * points.flatten(), seen, seen)
    (game,) = (game for game in GAMES if "R1" in game.name)
    (plain,) = (game for game in GAMES if "non-saturating" in game.name)
    extra = game.losses(y, y)[1] - plain.losses(y, y)[1]
    assert extra.item() == pytest.approx(R1(R1_WEIGHT).d_term(seen).item())


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
@pytest.mark.parametrize("game", GAMES, ids=lambda g: g.name)
def test_what_is_measured_is_what_theory_says(game, method):
    one = played(game, method, Options(steps=150))
    assert one.measured == pytest.approx(one.theory, rel=CLOSE)
    assert one.measured == pytest.approx(one.theory, abs=STRICT)


def test_no_method_is_taken_for_another():
    """The strict comparison rejects every other method's theory on x y, but for near equals."""
    for method in METHODS:
        measured = played(BILINEAR, method, Options(steps=200)).measured
        close = {m.name for m in METHODS if abs(m.factor(BILINEAR, 0.2) - measured) < STRICT}
        near_equal = {"extragradient", "extragradient, alternating", "optimistic"}
        assert close <= near_equal if method.name in near_equal else close == {method.name}
        assert method.name in close


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
def test_on_a_linear_game_the_players_are_where_the_matrix_puts_them(method):
    start, rounds = np.array([0.6, -0.9]), 9
    matrix = method.update(np.array(BILINEAR.jacobian, dtype=float), 0.2, method.turns)
    memory = {games.OPTIMISTIC.name: np.zeros(2)}.get(method.name, start)[: len(matrix) - 2]
    state = np.concatenate([start, memory])
    path = games.play(BILINEAR, method, start[None], 0.2, rounds)[:, 0]
    for seen in path[1:]:
        state = matrix @ state
        assert seen == pytest.approx(state[:2], abs=1e-13)


def test_descent_by_one_mind_slides_off_the_saddle_that_two_players_reach():
    starts = np.array([[1.0, 1e-3]])
    together = games.play(SADDLE, games.SIMULTANEOUS, starts, 0.1, 60)[-1, 0]
    alone = games.play(DESCENT, games.SIMULTANEOUS, starts, 0.1, 60)[-1, 0]
    assert np.hypot(*together) < 1e-5
    assert alone[1] == pytest.approx(1e-3 * 1.2**60)
    assert games.SIMULTANEOUS.factor(DESCENT, 0.1) == pytest.approx(1.2)


def test_the_factor_of_known_distances():
    rounds = np.arange(200)
    for growth in (0.3, 0.99, 1.0, 1.01, 3.0):
        assert factor(5.0 * growth**rounds) == pytest.approx(growth, rel=1e-9)
    transient = 0.99**rounds + 50 * 0.8**rounds
    assert factor(transient) == pytest.approx(0.99, abs=1e-4)
    assert factor(np.array([1.0] + [0.0] * 50)) == 0.0
    passing = 0.9**rounds * (rounds != 1)  # the equilibrium is met, and left again
    assert factor(passing) == pytest.approx(0.9)
    assert factor(0.02**rounds) == pytest.approx(0.02), "what underflows is left out"
    assert factor(9.0**rounds) == pytest.approx(9), "and what is no longer near"
    assert played(SADDLE, games.SIMULTANEOUS, Options(step=0.5)).measured == 0.0


# The command ------------------------------------------------------------------------------------


def test_the_command_writes_pictures_and_what_they_show(tmp_path, capsys, monkeypatch):
    few = (SADDLE, BILINEAR)  # for a quick test
    monkeypatch.setattr(saddle_pictures, "FRAMES", 2)
    monkeypatch.setattr(saddle_pictures, "GAMES", few)
    monkeypatch.setattr(saddle_point, "GAMES", few)
    run([f"output_dir={tmp_path}", "steps=50", "step=0.3", "seed=4"])
    folder = tmp_path / "lab" / "saddle-point"
    out = capsys.readouterr().out
    written = ["distance.png", "paths.png", "race.gif", "results.json", "surface.png"]
    assert sorted(path.name for path in folder.iterdir()) == written
    for name in written:
        assert str(folder / name) in out
        if name != "results.json":
            with Image.open(folder / name) as image:
                assert min(image.size) > 300
                assert len(image.convert("RGB").resize((40, 40)).getcolors(1600)) > 10
                assert getattr(image, "n_frames", 1) == (3 if name == "race.gif" else 1)
    results = json.loads((folder / "results.json").read_text())
    assert results["options"] == {"step": 0.3, "steps": 50, "seed": 4}
    pairs = [(one["game"], one["method"]) for one in results["plays"]]
    assert pairs == [(game.name, method.name) for game in few for method in METHODS]
    for one in results["plays"]:
        assert one["difference"] == one["measured"] - one["theory"]
        assert f"{one['theory']:8.4f} {one['measured']:9.4f}" in out


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("step=0", "step must be greater than 0, got 0"),
        ("step=1.5", "step must be at most 1, got 1.5"),
        ("step=fast", "step: expected float, got 'fast'"),
        ("steps=49", "steps must be at least 50, got 49"),
        ("seed=-1", "seed must be at least 0, got -1"),
        ("stpe=0.1", "stpe: unknown; did you mean 'step'?"),
        ("0.1", "'0.1': expected name=value"),
    ],
)
def test_a_bad_option_is_one_sentence_and_nothing_is_written(
    tmp_path, capsys, monkeypatch, word, sentence
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        run([word])
    assert stopped.value.code == 2
    assert capsys.readouterr().err == f"ganlab: 1 mistake, nothing was started\n  {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_before_anything_is_played(tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        run([f"output_dir={tmp_path / 'file'}"])
    assert stopped.value.code == 2
    assert "output_dir: cannot write to" in capsys.readouterr().err


def test_help_says_what_the_options_are(capsys):
    with pytest.raises(SystemExit) as stopped:
        run(["--help"])
    assert stopped.value.code == 0
    assert "step: learning rate of both players" in capsys.readouterr().out
