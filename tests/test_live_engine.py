"""The engine of the live laboratory: a real training, stepped, changed, drawn and gone back in."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import run_train, runs_in
from conftest import same, weights
from ganlab import load
from ganlab.data import strokes
from ganlab.errors import ConfigError
from ganlab.lab.live import (
    DATA,
    LAYERS,
    RANGES,
    REGULARIZERS,
    STRENGTH,
    TOUR,
    WHILE_IT_RUNS,
    Layers,
    LiveTraining,
    Match,
    Setup,
    refusal,
    usual_strength,
)
from ganlab.lab.live.algorithm import GAMES, lines
from ganlab.lab.live.desk import Desk
from ganlab.lab.live.history import MOST, POINTS, Curves, History, Snapshot
from ganlab.lab.live.link import Link
from ganlab.lab.live.setup import CHOICES, options
from ganlab.lab.live.stage import experiment_of

SMALL = Setup(g_width=8, d_width=8, batch=16)
PENALTY = (("gradient_penalty", 0.1),)
TRACED = strokes.written([(x / 10, 0.5 * math.sin(x)) for x in range(-9, 10)])
# Each needs something that the others do not: an average, k, real points for G, extragradient.
VARIED = {
    "default": SMALL,
    "penalty-k-average": replace(
        SMALL, loss="wasserstein", regularizers=PENALTY, k=3, ema=0.9, latent="uniform"
    ),
    "drawn-extragradient": replace(
        SMALL,
        data="drawn",
        strokes=TRACED,
        loss="relativistic",
        g_optimizer="extra_adam",
        d_optimizer="extra_adam",
        latent_dim=1,
    ),
    "line-sgd": replace(
        SMALL, data="two_gaussians_1d", loss="minimax", g_optimizer="sgd", momentum=0.5, g_depth=0
    ),
}


@pytest.fixture(params=VARIED)
def setup(request) -> Setup:
    return VARIED[request.param]


def state_of(training: LiveTraining) -> dict[str, torch.Tensor]:
    return weights(training.gan)


# Setups -----------------------------------------------------------------------------------------


def numbers(name: str) -> st.SearchStrategy:
    known = RANGES[name]
    if known.whole:
        return st.integers(int(known.low), int(known.high))
    return st.floats(known.low, known.high)


VALUES = {
    **{name: st.sampled_from(choices) for name, choices in CHOICES.items()},
    **{name: numbers(name) for name in RANGES},
    "health": st.booleans(),
    "strokes": st.just(TRACED),
    "regularizers": st.lists(
        st.tuples(st.sampled_from(REGULARIZERS), st.floats(STRENGTH.low, STRENGTH.high)),
        unique_by=lambda pair: pair[0],
        max_size=3,
    ).map(tuple),
}


@given(st.fixed_dictionaries({}, optional=VALUES | {"strokes": st.just(TRACED)}))
def test_a_setup_is_a_query_and_back(chosen):
    setup = Setup(**{"strokes": TRACED, **chosen})
    assert Setup.from_query(setup.query()) == setup
    assert Setup.from_query(f"?{setup.query()}") == setup


def test_what_the_values_cover():
    assert VALUES.keys() == {one.name for one in fields(Setup)}


def test_links_keep_their_meaning():
    """A query names only what is not the default, so a default that changes would change links."""
    assert Setup.from_query("") == Setup(
        *("ring_2d", "", "nonsaturating", (), "adam", "adam", 1e-3, 2e-3, 0.0, 1),
        *(64, 2, 64, 2, "relu", "gaussian", 2, 128, 0.0, 0, True),
    )


@settings(max_examples=300)
@given(st.text(max_size=80) | st.from_regex(r"([a-z_]{1,12}=[^&]{0,12}&?){1,4}", fullmatch=True))
def test_any_query_is_a_setup_or_one_clear_error(text):
    problems = []
    try:
        Setup.from_query(text)
    except ConfigError as error:
        problems = error.problems
        assert problems
    assert all("\n" not in problem for problem in problems)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("loss=hing", "loss: expected hinge or .* got 'hing'; did you mean 'hinge'?"),
        ("los=hinge", "los: unknown; did you mean 'loss'?"),
        ("k=0", "k: expected a whole number from 1 to 20, got 0"),
        ("k=x", "k: expected a whole number from 1 to 20, got 'x'"),
        ("batch=4097", "batch: expected a whole number from 1 to 4096, got 4097"),
        ("g_width=513", "g_width: expected a whole number from 1 to 512, got 513"),
        ("d_depth=7", "d_depth: expected a whole number from 0 to 6, got 7"),
        ("g_rate=nan", "g_rate: expected a number from 0 to 10, got nan"),
        ("d_rate=-1", "d_rate: expected a number from 0 to 10, got -1"),
        ("seed=4294967296", "seed: expected a whole number from 0 to .*, got 4294967296"),
        ("health=maybe", "health: expected true or false, got 'maybe'"),
        ("k=1&k=2", "k: expected once, got it twice"),
        ("regularizers=r9:1", "regularizers: expected some of .* got 'r9'"),
        ("regularizers=r1:x", "regularizers: r1 expected a number from 0 to 1e.06, got 'x'"),
        ("regularizers=r1:1,r1:2", "regularizers: 'r1' is listed twice"),
        ("data=drawn", "strokes: expected at least one point, as data is 'drawn', got none"),
        ("strokes=abc", "strokes: expected four characters for each point, got 3 characters"),
        ("strokes=ab+d", "strokes: expected letters, digits, '-' and '_', got ' '"),
        (f"strokes={'abcd' * 2001}", "strokes: expected at most 2000 points, got 2001"),
    ],
)
def test_a_bad_value_names_what_is_expected(query, said):
    with pytest.raises(ConfigError, match=said):
        Setup.from_query(query)


def test_all_mistakes_are_said_at_once():
    with pytest.raises(ConfigError) as raised:
        Setup.from_query("loss=hing&k=0&foo=1")
    assert len(raised.value.problems) == 3


@given(st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1)), min_size=1, max_size=20))
def test_strokes_are_written_and_read(points):
    text = strokes.written(points)
    read = strokes.positions(text)
    assert np.allclose(read, points, atol=1 / strokes.STEPS)
    assert strokes.written(read) == text


def test_strokes_beyond_the_edge_are_moved_to_it():
    assert strokes.positions(strokes.written([(7.0, -7.0)])) == [(1.0, -1.0)]


@pytest.mark.parametrize("name", REGULARIZERS)
def test_a_regularizer_has_a_usual_strength(name):
    assert usual_strength(name) > 0


@pytest.mark.parametrize("data", sorted(DATA))
def test_every_data_can_be_trained_on(data):
    assert refusal(replace(SMALL, data=data, strokes=TRACED)) == []


def test_every_loss_of_logits_is_offered_and_trains():
    assert set(CHOICES["loss"]) == set(GAMES)
    assert set(options("loss")) == {*GAMES, "began", "ebgan"}
    assert not any(refusal(replace(SMALL, loss=loss)) for loss in CHOICES["loss"])


@pytest.mark.parametrize("optimizer", CHOICES["g_optimizer"])
def test_every_optimizer_trains(optimizer):
    training = LiveTraining(replace(SMALL, g_optimizer=optimizer, d_optimizer=optimizer))
    before = state_of(training)
    training.iterate(2)
    assert not same(before, state_of(training))


@pytest.mark.parametrize("name", REGULARIZERS)
def test_every_regularizer_trains_or_is_refused_with_the_reason(name):
    setup = replace(SMALL, regularizers=((name, 0.5),))
    if name == "consistency":
        assert "moves pixels" in refusal(setup)[0]
    else:
        assert LiveTraining(setup).iterate(2) == 2
        (built,) = experiment_of(setup).build().regularizers.values()
        assert 0.5 in vars(built).values()


# A real training --------------------------------------------------------------------------------


def test_it_is_the_training_of_ganlab_train(setup, tmp_path):
    """The same words give the same weights, bit for bit."""
    outcome = run_train(*setup.overrides(), "iterations=23", f"output_dir={tmp_path}")
    assert outcome.code == 0, outcome.err
    (run,) = runs_in(tmp_path)
    training = LiveTraining(setup)
    assert training.iterate(23) == 23
    theirs, mine = weights(load(run)), state_of(training)
    assert theirs.keys() & mine.keys() == theirs.keys()
    assert same(theirs, {name: mine[name] for name in theirs})
    assert training.interventions == 0


def test_nothing_is_written(setup, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = LiveTraining(setup)
    training.iterate(20)
    training.change(g_rate=1e-4)
    assert list(tmp_path.iterdir()) == []


def test_slow_motion_is_the_same_training(setup):
    fast, slow = LiveTraining(setup), LiveTraining(setup)
    fast.iterate(3)
    while slow.iterations < 3:
        slow.advance()
    assert same(state_of(fast), state_of(slow))
    fast.iterate(20)
    slow.iterate(20)
    assert same(state_of(fast), state_of(slow))


def test_slow_motion_that_is_left_is_finished(setup):
    fast, slow = LiveTraining(setup), LiveTraining(setup)
    fast.iterate(5)
    slow.advance()
    slow.advance()
    assert slow.iterate(5) == 5
    assert same(state_of(fast), state_of(slow))
    assert slow.line == slow.lines[0]


def test_the_lines_are_carried_out_in_their_order(setup):
    training = LiveTraining(setup)
    assert [training.advance() for _ in training.lines] == training.lines
    assert training.iterations == 1
    assert [line.kind for line in training.lines].count("d") == setup.k


def test_a_line_moves_the_player_that_it_names():
    training = LiveTraining(replace(SMALL, k=2))
    for line in training.lines:
        before = state_of(training)
        assert training.advance() == line
        moved = {
            name.partition(".")[0]
            for name, tensor in state_of(training).items()
            if not torch.equal(tensor, before[name])
        }
        wanted = {"d": {"discriminator"}, "g": {"generator"}}.get(line.kind, set())
        assert moved == wanted


def test_what_a_line_has_drawn_is_what_the_update_takes():
    training, other = LiveTraining(SMALL), LiveTraining(SMALL)
    assert training.drawn.noise is None
    training.advance()
    assert training.drawn.noise.shape == (16, 2)
    assert training.drawn.generated.shape == (16, 2)
    assert training.drawn.real is None
    training.advance()
    taken = []
    other.gan.d_step = lambda real: taken.append((real.images, other.gan.latents(real.labels)))
    for _ in range(3):
        other.advance()
    ((images, z),) = taken
    assert torch.equal(training.drawn.real, images)
    assert torch.equal(training.drawn.noise, z)


@pytest.mark.parametrize("loss", sorted(GAMES))
def test_the_lines_speak_of_the_loss(loss):
    texts = [line.text for line in lines(loss, 1, ahead=False, needs_real=False)]
    assert len(texts) == 5
    assert "Update the discriminator by" in texts[2]
    assert "Update the generator by" in texts[4]
    assert "stochastic gradient" in texts[4]


@pytest.mark.parametrize(
    ("player", "moved"), [("d", "discriminator"), ("g", "generator")], ids=["d", "g"]
)
def test_a_single_update_moves_one_player(setup, player, moved):
    training = LiveTraining(setup)
    training.iterate(1)
    before = state_of(training)
    getattr(training, f"{player}_update")()
    after = state_of(training)
    changed = {n.partition(".")[0] for n in before if not torch.equal(before[n], after[n])}
    assert changed == {moved}
    assert training.iterations == 1
    assert training.interventions == 1


def test_single_updates_differ_and_repeat():
    one, other = LiveTraining(SMALL), LiveTraining(SMALL)
    seen = []
    for _ in range(2):
        one.d_update()
        other.d_update()
        assert same(state_of(one), state_of(other))
        seen.append(one.gan.observations.latest_logits()[0])
    assert not torch.equal(*seen)


def test_a_single_update_leaves_the_noise_of_an_iteration_under_way():
    training, other = LiveTraining(SMALL), LiveTraining(SMALL)
    for one in (training, other):
        one.advance()
    drawn = training.drawn.noise
    training.g_update()
    training.advance()
    training.gan.d_step = lambda real: noted.append(training.gan.latents(real.labels))
    noted = []
    training.advance()
    assert torch.equal(noted[0], drawn)


# Changes ----------------------------------------------------------------------------------------


def test_a_change_takes_the_weights_along():
    training = LiveTraining(SMALL)
    training.iterate(7)
    before, moments = state_of(training), training.stage.optimizers[0].state_dict()["state"]
    training.change(loss="wasserstein", regularizers=PENALTY, k=3, g_rate=5e-4)
    assert same(before, state_of(training))
    after = training.stage.optimizers[0].state_dict()
    assert torch.equal(after["state"][0]["exp_avg"], moments[0]["exp_avg"])
    assert after["param_groups"][0]["lr"] == 5e-4
    assert training.iterations == 7
    assert training.setup.loss == "wasserstein"
    assert [line.kind for line in training.lines].count("d") == 3
    training.iterate(3)
    assert training.stage.optimizers[0].param_groups[0]["lr"] == 5e-4
    assert "penalty/gradient_penalty" in training.curves.all()


def test_a_changed_rate_counts_from_the_next_update():
    training = LiveTraining(SMALL)
    training.iterate(2)
    training.change(g_rate=0.0)
    before = state_of(training)
    training.iterate(3)
    after = state_of(training)
    still = [n for n in before if n.startswith("generator")]
    assert all(torch.equal(before[n], after[n]) for n in still)
    assert not same(before, after)


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"regularizers": (("weight_clip", 0.0),)}, "limit must be greater than 0"),
        ({"loss": "began"}, "loss: expected hinge or"),
        ({"loss": "hing"}, "did you mean 'hinge'"),
        ({"k": 0}, "k: expected a whole number"),
        ({"regularizers": (("consistency", 1.0),)}, "expected some of dragan"),
        ({"g_width": 16}, "g_width: cannot change while it runs; it needs a new training"),
        ({"data": "grid_2d"}, "data: cannot change while it runs"),
    ],
    ids=["combination", "energies", "name", "range", "points", "shape", "data"],
)
def test_a_refused_change_does_no_harm(choices, said):
    training, other = LiveTraining(SMALL), LiveTraining(SMALL)
    for one in (training, other):
        one.iterate(4)
        one.advance()
    with pytest.raises(ConfigError, match=said):
        training.change(**choices)
    for one in (training, other):
        one.iterate(4)
    assert same(state_of(training), state_of(other))
    assert training.setup == SMALL
    assert training.interventions == 0


@pytest.mark.parametrize("name", WHILE_IT_RUNS)
def test_what_may_change_does(name):
    values = {
        "loss": "hinge",
        "regularizers": (("r1", 0.1),),
        "g_optimizer": "sgd",
        "d_optimizer": "extra_adam",
        "g_rate": 0.1,
        "d_rate": 0.1,
        "momentum": 0.5,
        "k": 4,
        "batch": 8,
        "health": False,
    }
    training = LiveTraining(SMALL)
    training.iterate(3)
    training.change(**{name: values[name]})
    assert getattr(training.setup, name) == values[name]
    assert training.iterate(12) == 12
    assert training.interventions == 1


def test_a_change_to_the_same_is_none():
    training = LiveTraining(SMALL)
    training.change(loss=SMALL.loss)
    assert training.interventions == 0


# History ----------------------------------------------------------------------------------------


def test_going_back_and_on_repeats_it(setup):
    training = LiveTraining(setup)
    training.iterate(47)
    wanted, curves, verdicts = state_of(training), training.curves.all(), training.verdicts
    assert training.go_to(21) == 20
    assert training.iterate(27) == 27
    assert same(wanted, state_of(training))
    assert training.curves.all() == curves
    assert training.verdicts == verdicts


def test_the_future_stays_until_the_training_goes_on():
    training = LiveTraining(SMALL)
    training.iterate(40)
    wanted = state_of(training)
    assert training.go_to(10) == 10
    assert training.go_to(1000) == 40
    assert same(wanted, state_of(training))
    training.go_to(10)
    training.iterate(1)
    assert training.history.iterations == [0, 10]
    assert all(i <= 10 for curve in training.curves.all().values() for i, _ in curve)


def test_going_back_over_a_change_takes_its_choices_back():
    training = LiveTraining(SMALL)
    training.iterate(20)
    wanted = state_of(training)
    training.change(loss="hinge", k=2)
    training.iterate(20)
    hinge = state_of(training)
    assert training.go_to(10) == 10
    assert training.setup == SMALL
    assert training.gan.d_steps == 1
    assert training.interventions == 0
    assert training.go_to(40) == 40
    assert training.setup.loss == "hinge"
    assert same(hinge, state_of(training))
    training.go_to(10)
    training.iterate(10)
    assert same(wanted, state_of(training))


def test_a_change_in_the_past_makes_another_future():
    training = LiveTraining(SMALL)
    training.iterate(40)
    training.go_to(20)
    training.change(loss="hinge")
    assert training.history.iterations == [0, 10, 20]
    training.go_to(20)
    assert training.setup.loss == "hinge"


def snapshot(i: int, size: int = 1) -> Snapshot:
    return Snapshot(i, SMALL, {"gan": {"w": torch.zeros(size)}})


def test_history_is_thinned_where_it_is_old():
    history = History()
    for i in range(0, 50_000, 10):
        history.add(snapshot(i))
    kept = history.iterations
    assert len(kept) == MOST
    assert kept[0] == 0
    assert kept[-20:] == list(range(49_800, 50_000, 10))
    gaps = np.diff(kept)
    assert gaps.max() < 5_000
    assert gaps[: MOST // 2].mean() > 5 * gaps[MOST // 2 :].mean()


def test_history_is_bounded_in_memory(monkeypatch):
    monkeypatch.setattr("ganlab.lab.live.history.BYTES", 4000)
    history = History()
    for i in range(100):
        history.add(snapshot(i, size=100))  # 400 bytes each
    assert len(history.iterations) == 10
    assert history.iterations[-1] == 99


def test_curves_are_bounded_and_keep_their_ends():
    curves = Curves()
    for i in range(10 * POINTS):
        curves.add(i, {"loss/d": float(i)})
    (curve,) = curves.all().values()
    assert len(curve) <= POINTS
    assert curve[0] == (0, 0.0)
    assert curve[-1] == (10 * POINTS - 1, 10 * POINTS - 1.0)


def test_infinite_numbers_end_it_with_a_sentence_and_one_can_go_back():
    setup = replace(SMALL, loss="wasserstein", g_optimizer="sgd", d_optimizer="sgd", k=20)
    training = LiveTraining(replace(setup, g_rate=10.0, d_rate=10.0))
    assert training.iterate(500) < 500
    assert "is nan" in training.failure or "is inf" in training.failure
    assert training.verdicts[-1].ailment == "divergence"
    assert training.iterate(10) == 0
    training.advance()
    training.d_update()
    said, failed = training.failure, training.iterations
    training.go_to(0)
    assert training.failure is None
    training.go_to(failed)
    assert (training.failure, training.iterations) == (said, failed)
    assert training.verdicts[-1].ailment == "divergence"
    training.go_to(0)
    training.change(g_rate=1e-3, d_rate=1e-3, k=1)
    assert training.iterate(10) == 10
    assert all(t.isfinite().all() for t in state_of(training).values())


WILD = replace(SMALL, loss="wasserstein", g_optimizer="sgd", d_optimizer="sgd", k=20)
WILD = replace(WILD, g_rate=10.0, d_rate=10.0)


def test_beside_one_that_has_failed_the_history_is_as_it_was():
    desk = Desk(Link(SMALL, beside=WILD))
    for _ in range(60):
        desk.iterate()
    left, right = (side.training for side in desk.sides)
    failed = right.iterations
    assert right.failure is not None
    assert failed < 40 < left.iterations == 60
    desk.go_to(40)
    assert (left.iterations, right.iterations) == (40, failed)
    assert right.failure is not None
    desk.go_to(0)
    assert (left.iterations, right.iterations, right.failure) == (0, 0, None)


def test_slow_motion_of_what_cannot_go_on_pauses():
    desk = Desk(Link(WILD))
    desk.play()
    while desk.playing:
        desk.slice(0.05)
    assert desk.ended
    desk.slow()
    desk.slice(0.05)
    assert not desk.playing


# Layers -----------------------------------------------------------------------------------------


def affine(training: LiveTraining, scale: torch.Tensor, shift: torch.Tensor) -> None:
    """Makes G(z) = scale z + shift."""
    layer = next(m for m in training.gan.generator.modules() if isinstance(m, torch.nn.Linear))
    with torch.no_grad():
        layer.weight.copy_(scale)
        layer.bias.copy_(shift)


@pytest.mark.parametrize("data", sorted(DATA))
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_all_layers_of_all_data(data, latent_dim):
    training = LiveTraining(replace(SMALL, data=data, strokes=TRACED, latent_dim=latent_dim))
    layers = Layers(training, shown=50, cells=12)
    frame = layers.frame(LAYERS)
    flat = data.endswith("_1d")
    d = 1 if flat else 2
    assert frame.keys() == set(LAYERS) - (set() if flat else {"densities"})
    assert frame["real"].shape == frame["generated"].shape == (50, d)
    assert frame["gradients"].at.shape == frame["gradients"].force.shape == (50, d)
    for heat in (frame["heat"], frame["optimal"]):
        assert heat.values.shape == ((160,) if flat else (12, 12))
        known = heat.values[~np.isnan(heat.values)]
        assert len(known)
        assert ((known >= 0) & (known <= 1)).all()
    assert all(math.isfinite(value) for value in frame["measures"].values())
    assert ((frame["warp"].density > 0) & (frame["warp"].density <= 1)).all()
    low, high = layers.view
    assert ((frame["real"] >= low) & (frame["real"] <= high)).all()


def test_layers_do_not_change_the_training(setup):
    one, other = LiveTraining(setup), LiveTraining(setup)
    layers = Layers(one)
    for training in (one, other):
        for _ in range(3):
            training.iterate(7)
            if training is one:
                layers.frame(LAYERS)
    assert same(state_of(one), state_of(other))
    assert one.curves.all() == other.curves.all()


def test_layers_follow_a_change_and_a_way_back():
    training = LiveTraining(SMALL)
    layers = Layers(training)
    first = layers.frame(["generated"])["generated"].copy()
    training.iterate(20)
    training.change(loss="wasserstein", regularizers=PENALTY)
    training.iterate(20)
    assert layers.frame(["heat"])["heat"].name.startswith("critic")
    training.go_to(0)
    assert np.array_equal(layers.frame(["generated"])["generated"], first)
    assert layers.frame(["heat"])["heat"].name.startswith("D(x)")


def test_on_the_line_p_g_and_the_optimal_d_are_exact():
    training = LiveTraining(replace(SMALL, data="gaussian_1d", latent_dim=1, g_depth=0))
    affine(training, torch.tensor([[0.5]]), torch.tensor([0.5]))
    frame = Layers(training).frame(["densities", "optimal", "measures"])
    x = torch.from_numpy(frame["densities"].x).double()
    p = torch.distributions.Normal(1.5, 0.7).log_prob(x).exp()
    q = torch.distributions.Normal(0.5, 0.5).log_prob(x).exp()
    assert np.allclose(frame["densities"].data, p, atol=2e-3)
    assert np.allclose(frame["densities"].generated, q, atol=2e-3)
    seen = (p + q) > 1e-3
    assert np.allclose(frame["optimal"].values[seen], (p / (p + q))[seen], atol=0.01)
    assert np.array_equal(frame["densities"].optimal, frame["optimal"].values, equal_nan=True)
    quantiles = torch.linspace(0.0005, 0.9995, 1000, dtype=torch.float64)
    apart = (
        (
            torch.distributions.Normal(1.5, 0.7).icdf(quantiles)
            - torch.distributions.Normal(0.5, 0.5).icdf(quantiles)
        )
        .abs()
        .mean()
    )
    assert frame["measures"]["W1"] == pytest.approx(apart.item(), abs=0.01)
    assert frame["measures"]["C(G)"] == pytest.approx(
        -math.log(4) + 2 * frame["measures"]["JSD"], abs=1e-9
    )


@pytest.mark.parametrize("latent", ["gaussian", "uniform"])
def test_on_the_line_p_g_of_noise_in_the_plane_is_smooth(latent):
    """Counting 4,096 points in the cells would be wrong by a tenth."""
    choices = {"data": "gaussian_1d", "latent_dim": 2, "g_depth": 0, "latent": latent}
    training = LiveTraining(replace(SMALL, **choices))
    affine(training, torch.tensor([[0.5, 0.3]]), torch.tensor([0.5]))
    frame = Layers(training).frame(["densities", "measures"])
    x = torch.from_numpy(frame["densities"].x).double()
    if latent == "gaussian":
        known = torch.distributions.Normal(0.5, math.hypot(0.5, 0.3)).log_prob(x).exp()
    else:  # a trapezoid: uniform on [-0.5, 0.5] and on [-0.3, 0.3], added
        known = ((0.8 - (x - 0.5).abs()) / 0.6).clamp(0, 1)
    assert np.allclose(frame["densities"].generated, known, atol=0.02)
    assert "C(G)" in frame["measures"]
    training.change(loss="hinge")
    assert "C(G)" not in Layers(training).frame(["measures"])["measures"]  # of another game


def test_the_optimal_d_is_a_half_where_g_is_perfect():
    setup = replace(SMALL, data="gaussian_1d", latent_dim=1, g_depth=0, loss="minimax")
    training = LiveTraining(setup)
    affine(training, torch.tensor([[0.7]]), torch.tensor([1.5]))
    frame = Layers(training).frame(["optimal", "measures"])
    assert np.nanmax(np.abs(frame["optimal"].values[20:140] - 0.5)) < 0.01
    assert frame["measures"]["JSD"] < 1e-5
    assert frame["measures"]["W1"] < 1e-2


def test_in_the_plane_masses_of_g_are_those_of_its_cells():
    training = LiveTraining(replace(SMALL, g_depth=0))
    matrix, shift = torch.tensor([[0.5, 0.2], [0.0, 0.4]]), torch.tensor([0.1, -0.2])
    affine(training, matrix, shift)
    layers = Layers(training, cells=8)
    measured = layers.frame(["warp", "optimal"])
    known = torch.distributions.MultivariateNormal(shift, matrix @ matrix.T)
    points = known.sample((200_000,)).double()
    counts, _, _ = np.histogram2d(
        points[:, 1].numpy(), points[:, 0].numpy(), bins=[layers.edges.numpy()] * 2
    )
    of_g = counts / 200_000
    of_data = layers.masses.numpy().reshape(8, 8)
    sure = of_data + of_g > 0.01
    expected = of_data[sure] / (of_data + of_g)[sure]
    assert np.abs(measured["optimal"].values[sure] - expected).max() < 0.05
    warp = measured["warp"]  # an affine map stretches all cells of z alike
    z = torch.from_numpy(warp.z)
    assert np.allclose(warp.x, (z @ matrix.T + shift).numpy(), atol=1e-5)
    own = (z[1:, 1:, 0] - z[1:, :-1, 0]) * (z[1:, 1:, 1] - z[:-1, 1:, 1])
    shown = torch.from_numpy(warp.density) * own
    free = warp.density < 1
    assert np.ptp(shown[torch.from_numpy(free)].numpy()) < 1e-4 * shown.max().item()


@pytest.mark.parametrize(
    ("loss", "regularizers"),
    [
        *((loss, ()) for loss in sorted(GAMES)),
        ("nonsaturating", (("feature_matching", 1.0),)),
        ("nonsaturating", (("pull_away", 1.0),)),
    ],
)
def test_arrows_are_the_gradient_of_the_loss_of_g(loss, regularizers):
    """A small step of one point along its arrow lowers G's loss by the arrow's length squared."""
    training = LiveTraining(replace(SMALL, loss=loss, regularizers=regularizers))
    training.iterate(30)
    layers = Layers(training, shown=20)
    arrows = layers.frame(["gradients"])["gradients"]
    gan, i, step = training.gan.double(), 3, 1e-4
    force = torch.from_numpy(arrows.force).double()

    def loss_at(fake: torch.Tensor) -> float:
        from ganlab.training.batch import Batch

        real = Batch(layers.points.double(), torch.zeros(20, dtype=torch.long))
        return gan.g_loss(fake, real, layers.noise.double()).item()

    at = torch.from_numpy(arrows.at).double()
    moved, back = at.clone(), at.clone()
    moved[i] += step * force[i]
    back[i] -= step * force[i]
    slope = (loss_at(moved) - loss_at(back)) / (2 * step)
    assert slope == pytest.approx(-force[i].square().sum().item() / 20, rel=0.02, abs=1e-7)


def test_modes_are_counted():
    training = LiveTraining(replace(SMALL, data="two_gaussians_1d", latent_dim=1, g_depth=0))
    affine(training, torch.tensor([[0.01]]), torch.tensor([1.5]))
    found = Layers(training).frame(["measures"])["measures"]
    assert (found["modes"], found["near modes"]) == (1, 1.0)


# Two side by side -------------------------------------------------------------------------------


def test_a_match_starts_from_the_same_and_stays_together():
    right = replace(SMALL, loss="wasserstein", regularizers=PENALTY, seed=7)
    match = Match(SMALL, right)
    assert same(state_of(match.left), state_of(match.right))
    match.iterate(20)
    assert not same(state_of(match.left), state_of(match.right))
    assert match.left.iterations == match.right.iterations == 20
    alone = LiveTraining(replace(right, seed=0))
    alone.iterate(20)
    assert same(state_of(alone), state_of(match.right))
    assert match.go_to(11) == 10
    assert [one.iterations for one in match] == [10, 10]


# The tour ---------------------------------------------------------------------------------------


STOPS = {stop.name: stop for stop in TOUR}
SEEDS = (0, 1, 2)


def toured(name: str, seed: int) -> tuple[LiveTraining, Layers]:
    """A training of a stop, at its start, and its layers."""
    training = LiveTraining(replace(STOPS[name].setup, seed=seed))
    return training, Layers(training)


def modes(layers: Layers) -> float:
    return layers.frame(["measures"])["measures"]["modes"]


def force(layers: Layers) -> float:
    """Mean length of the arrows."""
    return np.linalg.norm(layers.frame(["gradients"])["gradients"].force, axis=1).mean()


@pytest.mark.parametrize("name", STOPS)
def test_a_stop_says_three_sentences_and_can_be_linked(name):
    stop = STOPS[name]
    assert len(stop.sentences) == 3
    assert all(text.endswith(".") and "  " not in text for text in stop.sentences)
    assert Setup.from_query(stop.setup.query()) == stop.setup
    assert set(stop.layers) <= set(LAYERS)
    assert stop.change.keys() <= set(WHILE_IT_RUNS)
    assert refusal(replace(stop.setup, **stop.change)) == []
    assert stop.beside is None or refusal(stop.beside) == []


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_the_gradient_vanishes_and_the_other_loss_has_one(seed):
    training, layers = toured("vanishing-gradient", seed)
    before = layers.frame(["generated"])["generated"].copy()
    training.iterate(STOPS["vanishing-gradient"].iterations)
    assert force(layers) < 2e-3
    assert np.abs(layers.frame(["generated"])["generated"] - before).max() < 0.2
    training.change(**STOPS["vanishing-gradient"].change)
    assert force(layers) > 1


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_modes_collapse_and_come_back(seed):
    training, layers = toured("mode-collapse", seed)
    seen = []
    for _ in range(STOPS["mode-collapse"].iterations // 50):
        training.iterate(50)
        seen.append(modes(layers))
    assert sum(count <= 1 for count in seen) > 0.75 * len(seen)  # none while it jumps
    training.change(**STOPS["mode-collapse"].change)
    training.iterate(STOPS["mode-collapse"].then)
    assert modes(layers) == 2


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_it_oscillates_and_comes_to_rest(seed):
    training, layers = toured("oscillation", seed)
    training.iterate(STOPS["oscillation"].iterations)
    assert training.ailing == ["oscillation"]
    assert modes(layers) <= 3
    training.change(**STOPS["oscillation"].change)
    training.iterate(STOPS["oscillation"].then)
    assert training.ailing == []
    assert modes(layers) == 8


@pytest.mark.parametrize("seed", SEEDS)
def test_players_circle_around_the_saddle_point_until_they_are_damped(seed):
    training, layers = toured("saddle-point", seed)

    def swing(iterations: int) -> float:
        """The range over which the mean of G's points moves."""
        means = []
        for _ in range(iterations // 10):
            training.iterate(10)
            means.append(layers.frame(["generated"])["generated"].mean())
        return np.ptp(means)

    first, second = swing(150), swing(150)
    assert first > 1
    assert second > 0.9 * first
    training.change(**STOPS["saddle-point"].change)
    training.iterate(STOPS["saddle-point"].then - 60)
    assert swing(60) < 0.3


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_wasserstein_moves_where_minimax_stalls(seed):
    stop = STOPS["wgan"]
    match = Match(replace(stop.setup, seed=seed), stop.beside)
    match.iterate(stop.iterations)
    left, right = (Layers(one).frame(["measures"])["measures"]["sliced W1"] for one in match)
    assert right < 0.6 * left
    assert left > 0.4


@pytest.mark.long
@pytest.mark.parametrize("seed", SEEDS)
def test_the_default_finds_all_modes(seed):
    training = LiveTraining(Setup(seed=seed))
    layers = Layers(training)
    training.iterate(1000)
    found = layers.frame(["measures"])["measures"]
    assert found["modes"] == 8
    assert found["near modes"] > 0.6
    assert training.verdicts == []
