"""Which points a study tries, what it makes of their scores, and what a budget is worth."""

import itertools
import math
import statistics

import pytest
import torch
from omegaconf import OmegaConf

from commands import completed, composer
from ganlab.config.completion import flattened
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
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
        {
            "wide": {
                "regularizer.weight_clip.limit": "tag(log,interval(1e-3,1.0))",
                "d_steps": "choice(5)",
            }
        },
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


def test_a_method_s_own_space_replaces_what_is_searched_for_all_in_the_same_stage():
    trials = [t for t in made(wide=20, narrow=20).trials([]) if t.method == "clip"]
    wide = [values(t) for t in trials if t.stage == "wide"][1:]
    assert {point["d_steps"] for point in wide} == {"5"}
    assert all(
        {"regularizer.weight_clip.limit", "g_optimizer.lr"} <= point.keys() for point in wide
    )
    narrow = [values(t) for t in trials if t.stage == "narrow"]
    assert all(point.keys() == {"loss", "regularizer", "g_optimizer.lr"} for point in narrow)


def test_what_the_command_line_says_is_not_searched():
    for trial in made(wide=20).trials(["d_steps=2", "+g_optimizer.lr=0.1"]):
        assert [w for w in trial.overrides if "d_steps" in w] == ["d_steps=2"]
        assert [w for w in trial.overrides if ".lr=" in w] == ["+g_optimizer.lr=0.1"]


def test_a_point_says_each_key_once():
    space = {"model.discriminator.norm": "choice(layer,none)"}
    methods = {"gp": Method(["model.discriminator.norm=none"], {"wide": space, "narrow": space})}
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
            {"spaces": {"wid": {"seed": "range(1,5)"}}},
            "hydra.sweeper: spaces.wid: budget has no such stage; did you mean 'wide'?",
        ),
        (
            {"methods": {"hinge": {"choose": ["loss=hinge"], "spaces": {"narow": {}}}}},
            "hydra.sweeper: methods.hinge.spaces.narow: budget has no such stage",
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


# google/compare_gan, params.py of February 2018: defaults, then the ranges of both stages.  A pair
# is an interval, a set lists all values.  Here `layer` stands for BatchNorm under a penalty.
RATES = {"g_optimizer.lr": ((1e-5, 1e-2), (1e-4, 1e-3))}
BOTH = {**RATES, "g_optimizer.betas.0": ((0.0, 1.0), {0.5}), "d_steps": ({1, 5}, {1})}
NORM, CLIP = "model.discriminator.norm", "regularizer.weight_clip.limit"
PENALTY, DRAGAN = "regularizer.gradient_penalty.weight", "regularizer.dragan.weight"
NORMS = ({"batch", "none"}, {"batch", "none"})
PENALISED, LAMBDA = ({"layer", "none"}, {"none"}), ((0.1, 100.0), (0.1, 10.0))
THEIRS = {  # method -> default (lr, beta1, k, norm), what else it has, its ranges
    "minimax": ((5e-5, 0.0, 1, "batch"), {}, {NORM: NORMS}),
    "nonsaturating": ((5e-5, 0.0, 1, "batch"), {}, {NORM: NORMS}),
    "least_squares": ((2e-4, 0.5, 1, "batch"), {}, {NORM: NORMS}),
    "wasserstein": (
        (5e-5, 0.5, 5, "batch"),
        {CLIP: 0.01},
        {NORM: NORMS, CLIP: ((1e-3, 1.0), (1e-2, 1.0))},
    ),
    "wasserstein_gp": (
        (1e-4, 0.5, 5, "none"),
        {PENALTY: 10.0},
        {NORM: PENALISED, PENALTY: LAMBDA},
    ),
    "dragan": ((1e-4, 0.5, 1, "layer"), {DRAGAN: 10.0}, {NORM: PENALISED, DRAGAN: LAMBDA}),
    "began": (
        (1e-4, 0.5, 5, "none"),
        {"loss.gamma": 0.75, "loss.rate": 1e-3},
        {
            NORM: NORMS,
            "loss.gamma": ((0.0, 1.0), (0.6, 0.9)),
            "loss.rate": ((1e-4, 1e-2), {1e-3}),
        },
    ),
}


@pytest.fixture(scope="module")
def lucic() -> Study:
    return study.read(composer().base(["sweep=lucic"]).hydra.sweeper)


def test_the_study_of_lucic_has_the_paper_s_budget(lucic):
    assert lucic.budget == {"wide": 100, "narrow": 50}
    assert lucic.methods.keys() == THEIRS.keys()
    assert len(lucic.trials([])) == 7 * 150


@pytest.mark.parametrize("method", THEIRS)
def test_a_method_of_lucic_s_begins_with_the_authors_defaults(lucic, method):
    config = dict(flattened(completed("sweep=lucic", *lucic.methods[method].choose)))
    (lr, beta, k, norm), others, _ = THEIRS[method]
    wanted = {"d_steps": k, NORM: norm, "batch_size": 64, "ema": None, **others}
    for player in "gd":
        wanted |= {f"{player}_optimizer.lr": lr, f"{player}_optimizer.betas": [beta, 0.999]}
    z = {"_target_": "ganlab.latent.Uniform", "dim": 64, "low": -1.0, "high": 1.0}
    wanted |= {f"latent.{key}": value for key, value in z.items()}
    assert {key: config.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("stage", [0, 1], ids=["wide", "narrow"])
@pytest.mark.parametrize("method", THEIRS)
def test_the_points_of_lucic_s_study_fill_the_authors_ranges_and_no_more(lucic, method, stage):
    name, ranges = list(lucic.budget)[stage], {**BOTH, **THEIRS[method][2]}
    trials = [t for t in lucic.trials([]) if (t.method, t.stage) == (method, name)]
    drawn = [values(t) for t in trials[1 - stage :]]
    assert len(drawn) == (99, 50)[stage]
    for key, both in ranges.items():
        found, wanted = [point[key] for point in drawn], both[stage]
        if isinstance(wanted, set):
            assert set(found) == {str(value) for value in wanted}
        else:
            numbers = [float(number) for number in found]
            low, high = wanted
            assert low <= min(numbers) < max(numbers) <= high
            assert max(numbers) - min(numbers) > 0.5 * (high - low)
    others = set(drawn[0]) - set(ranges)
    assert others == {word.lstrip("+").partition("=")[0] for word in trials[0].overrides} - set(
        ranges
    )


def test_the_autoencoder_of_lucic_s_began_has_the_authors_sizes(lucic):
    config = completed("sweep=lucic", *lucic.methods["began"].choose)
    with torch.device("meta"):
        d = Experiment(**config).build().discriminator
    convolutions = [*(1 * 64, 64 * 128), *(128 * 64, 64 * 1)]
    sizes = [16 * pair for pair in convolutions] + [128 * 49 * 64] * 2
    biases = [64, 128, 64, 128 * 49, 64, 1]
    assert sum(p.numel() for p in d.parameters()) == sum(sizes) + sum(biases) == 1_073_601
    default = "model.discriminator._target_=ganlab.networks.AutoencoderDiscriminator"
    with torch.device("meta"):
        d = Experiment(**completed("sweep=lucic", "loss=began", default)).build().discriminator
    assert sum(p.numel() for p in d.parameters()) < 900_000, "as it was"
