"""Which points a study tries, what it makes of their scores, and what a budget is worth."""

import itertools
import math
import statistics

import pytest
from omegaconf import OmegaConf

from commands import composer
from ganlab.errors import ConfigError
from ganlab.sweeps import study
from ganlab.sweeps.scores import best_of
from ganlab.sweeps.study import AGAIN, SWEEPER, Method, Point, Study

SPACE = {
    "g_optimizer.lr": "tag(log,interval(1e-5,1e-2))",
    "g_optimizer.betas.0": "interval(0.0,1.0)",
    "d_steps": "choice(1,5)",
    "model.generator.width": "int(interval(8,16))",
}
METHODS = {
    "hinge": Method(["loss=hinge"]),
    "clip": Method(
        ["loss=wasserstein", "regularizer=[weight_clip]"],
        {"regularizer.weight_clip.limit": "tag(log,interval(1e-3,1.0))", "d_steps": "choice(5)"},
    ),
}


def made(wide: int = 4, narrow: int = 2, **options) -> Study:
    spaces = {"wide": SPACE, "narrow": {"g_optimizer.lr": "interval(1e-4,1e-3)"}}
    budget = {"wide": wide, "narrow": narrow}
    return Study(**{"budget": budget, "spaces": spaces, "methods": METHODS, **options})


def values(trial: Point) -> dict[str, str]:
    return dict(word.lstrip("+").split("=", 1) for word in trial.overrides)


def test_every_method_gets_every_stage_s_budget():
    trials = made().trials(["seed=3"])
    counts = {(t.method, t.stage): 0 for t in trials}
    for trial in trials:
        counts[trial.method, trial.stage] += 1
        assert values(trial)["seed"] == "3"
    assert counts == {
        ("hinge", "wide"): 4,
        ("clip", "wide"): 4,
        ("hinge", "narrow"): 2,
        ("clip", "narrow"): 2,
    }


def test_the_first_point_of_a_method_is_the_method_as_it_is():
    first = {}
    for trial in made().trials([]):
        first.setdefault(trial.method, trial.overrides)
    assert first == {name: method.choose for name, method in METHODS.items()}


def test_fewer_points_are_the_first_of_more_and_other_seeds_give_others():
    few, many = made(wide=3).trials([]), made(wide=9, narrow=5).trials([])
    assert all(trial in many for trial in few)
    assert made().trials([]) == made().trials([])
    others = made(seed=1).trials([])
    assert [t for t in others if t in many] == [t for t in few if t.overrides[-1][:2] != "++"]


def test_points_lie_in_their_space():
    drawn = [values(t) for t in made(wide=400, narrow=0).trials([]) if t.method == "hinge"][1:]
    rates = [float(point["g_optimizer.lr"]) for point in drawn]
    assert 1e-5 <= min(rates) < 3e-5
    assert 3e-3 < max(rates) <= 1e-2
    # Half of the points below 10^-3.5, the middle of the exponents; uniform would have 3%.
    assert 0.4 < statistics.mean(rate < 10**-3.5 for rate in rates) < 0.6
    betas = [float(point["g_optimizer.betas.0"]) for point in drawn]
    assert (min(betas), max(betas)) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert {point["d_steps"] for point in drawn} == {"1", "5"}
    assert {point["model.generator.width"] for point in drawn} == {str(n) for n in range(8, 17)}


def test_a_method_s_own_space_replaces_what_is_searched_for_all():
    drawn = [values(t) for t in made(wide=20).trials([]) if t.method == "clip"]
    searched = [point for point in drawn if "g_optimizer.lr" in point]
    assert {point["d_steps"] for point in searched} == {"5"}
    assert all("regularizer.weight_clip.limit" in point for point in searched)


def test_what_the_command_line_says_is_not_searched():
    for trial in made(wide=20).trials(["d_steps=2", "+g_optimizer.lr=0.1"]):
        assert [w for w in trial.overrides if "d_steps" in w] == ["d_steps=2"]
        assert [w for w in trial.overrides if ".lr=" in w] == ["+g_optimizer.lr=0.1"]


def test_a_point_says_each_key_once():
    space = {"model.discriminator.norm": "choice(layer,none)"}
    methods = {"gp": Method(["model.discriminator.norm=none"], space)}
    for trial in made(wide=9, methods=methods).trials([]):
        keys = [word.lstrip("+").partition("=")[0] for word in trial.overrides]
        assert len(keys) == len(set(keys))


TRIALS = [Point([f"a={i}"], method, "wide") for i in range(3) for method in ("one", "two")]


@pytest.mark.parametrize(
    ("by", "expected"),
    [("frechet", {"one": "a=2", "two": "a=0"}), ("is", {"one": "a=0", "two": "a=2"})],
)
def test_the_best_point_is_each_method_s_own_and_never_one_that_failed(by, expected):
    scores = [9.0, 1.0, None, None, 3.0, 2.0]
    chosen = study.best(TRIALS, scores, by)
    assert {trial.method: trial.overrides[0] for trial in chosen} == expected
    assert study.best(TRIALS, [None] * 6, by) == []


def test_the_best_is_trained_again_with_seeds_that_have_not_chosen_it():
    again = made(seeds=3).again(Point(["a=1", "seed=4", "b=2"], "hinge", "wide"), 4)
    assert [trial.overrides for trial in again] == [
        ["a=1", "b=2", f"seed={seed}"] for seed in (5, 6, 7)
    ]
    assert {(trial.method, trial.stage) for trial in again} == {("hinge", AGAIN)}


def node(**changes):
    methods = {"hinge": {"choose": ["loss=hinge"]}}
    good = {"budget": {"wide": 2}, "spaces": {"wide": {"seed": "range(1,5)"}}, "methods": methods}
    return OmegaConf.create({"_target_": SWEEPER, **good, **changes})


def test_a_study_is_read_from_its_config():
    read = study.read(node(seeds=2))
    assert (read.seeds, read.seed, read.methods["hinge"].choose) == (2, 0, ["loss=hinge"])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"budgt": {}}, "hydra.sweeper.budgt: Study takes no 'budgt'; did you mean 'budget'?"),
        ({"seeds": "two"}, "hydra.sweeper.seeds: expected int, got 'two'"),
        ({"seeds": -1}, "hydra.sweeper: seeds must be at least 0, got -1"),
        ({"budget": {"wide": -1}}, "hydra.sweeper: budget.wide must be at least 0, got -1"),
        (
            {"methods": {"hinge": {"chose": ["loss=hinge"]}}},
            "hydra.sweeper.methods.hinge.chose: Method takes no 'chose'; did you mean 'choose'?",
        ),
        (
            {"spaces": {"wide": {"a": "interval(0,)"}}},
            "hydra.sweeper: 'a=interval(0,)': expected values such as choice(1,5) or interval(0,1)",
        ),
    ],
)
def test_a_mistake_in_a_study_is_named(changes, sentence):
    with pytest.raises(ConfigError) as caught:
        study.read(node(**changes))
    assert sentence in caught.value.problems


def brute_force(numbers: list[float], k: int, better) -> float:
    """The mean of the best over all ways to draw k of them."""
    return statistics.fmean(map(better, itertools.combinations(numbers, k)))


@pytest.mark.parametrize("k", range(1, 7))
@pytest.mark.parametrize("smaller", [True, False])
def test_what_a_budget_is_worth_is_the_mean_over_all_ways_to_spend_it(k, smaller):
    numbers = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    expected = brute_force(numbers, k, min if smaller else max)
    assert best_of(numbers, k, smaller=smaller) == pytest.approx(expected, abs=1e-12)
    # Drawing with repetition, as a bootstrap does, is another number.
    n = len(numbers)
    ordered = sorted(numbers, reverse=not smaller)
    chances = [((n - i) / n) ** k - ((n - i - 1) / n) ** k for i in range(n)]
    bootstrap = math.fsum(p * v for p, v in zip(chances, ordered, strict=True))
    assert k == 1 or abs(bootstrap - expected) > 0.01


def test_the_study_of_lucic_searches_what_the_paper_searches():
    base = composer().base(["sweep=lucic"])
    read = study.read(base.hydra.sweeper)
    assert (read.budget, len(read.methods)) == ({"wide": 100, "narrow": 50}, 7)
    trials = read.trials([])
    assert len(trials) == 7 * 150
    wide = {key for t in trials if t.stage == "wide" for key in values(t)}
    assert {"g_optimizer.lr", "g_optimizer.betas.0", "d_steps", "loss.gamma", "loss.rate"} <= wide
    assert {"model.discriminator.norm", "regularizer.weight_clip.limit"} <= wide
    assert {"regularizer.dragan.weight", "regularizer.gradient_penalty.weight"} <= wide
