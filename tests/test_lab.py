"""The laboratory: its command line, what its measures say, and that its pictures are drawn."""

import itertools
import json
import math

import pytest
import torch

from commands import run_main
from ganlab.config.targets import parameters
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.lab import LABS, called, located, theory
from ganlab.lab.__main__ import main
from ganlab.lab.drawing import Frame
from ganlab.lab.figure_1 import moments, typical
from ganlab.lab.line import Line, State, stretches
from ganlab.lab.training import planned, trained
from ganlab.lab.vanishing_gradient import GeneratorGradient, at_the_optimal, closed_forms
from ganlab.latent import Gaussian, Uniform
from ganlab.runs.folder import Run
from ganlab.sweeps.record import Sweep, distinct

SMALL = (
    *("trainer=smoke", "data.n=256", "model.generator.hidden=[4]"),
    *("model.discriminator.hidden=[4]", "log_every=10", "sample_every=10"),
)


def lab(*words: str):
    return run_main(main, *words)


def affine(scale: float, shift: float, *overrides: str) -> tuple[Line, State]:
    """G(z) = scale z + shift of Gaussian z, so that p_g is known."""
    from commands import completed

    config = completed("experiment=figure_1", "model.generator.hidden=[]", *overrides)
    line = Line(Experiment(**config))
    weights = line.gan.state_dict()
    (weight,) = (n for n in weights if n.startswith("generator") and n.endswith("weight"))
    weights = {**weights, weight: torch.full((1, 1), scale)}
    weights[weight.replace("weight", "bias")] = torch.full((1,), shift)
    return line, line.state(weights)


def test_without_a_name_there_is_a_list():
    outcome = lab()
    assert outcome.code == 0
    assert all(name in outcome.out and about in outcome.out for name, (_, about) in LABS.items())
    assert lab("--help").out == outcome.out


def test_a_wrong_name_gets_the_nearest():
    outcome = lab("figure1")
    assert outcome.code == 2
    assert "there is no 'figure1'; did you mean 'figure-1'?" in outcome.err


@pytest.mark.parametrize("name", sorted(LABS))
def test_every_laboratory_explains_itself(name):
    outcome = lab(*name.split(), "--help")
    assert outcome.code == 0
    assert "Args:" in outcome.out
    takes = parameters(located(name))
    assert "output_dir" not in takes or "output_dir: where results go" in outcome.out
    elsewhere = takes.keys() & {"output_dir", "overrides", "to"}
    assert elsewhere or name == "live", "results can go elsewhere"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["figure-1", "frames=many"], "frames: expected int, got 'many'"),
        (["figure-1", "frames=1"], "frames must be at least 2, got 1"),
        (["figure-1", "g_optimiser.lr=1"], "g_optimiser: unknown; did you mean 'g_optimizer'"),
        (["figure-1", "data=ring_2d"], "data.means"),
        (["figure-1", "latent.dim=2"], "needs 1-d noise; set latent.dim=1"),
        (["figure-1", "seed=1,2"], "a laboratory takes one value, not a sweep"),
        (["figure-1", "panels=[9999]"], "panels must be from 0 to 1500, got 9999"),
        (["grid", "losses=[hinges]"], "loss: there is no 'hinges'; did you mean 'hinge'"),
        (["grid", "seeds=0"], "seeds must be at least 1"),
        (["proposition-1", "loss=wasserstein", "nonsense"], "'nonsense'"),
    ],
)
def test_mistakes_are_said_before_anything_is_started(words, said, tmp_path):
    outcome = lab(*words, f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert said in outcome.err
    assert not list(tmp_path.iterdir())


def test_words_that_a_laboratory_knows_are_its_own_and_the_others_are_the_trainings():
    def made(overrides=(), frames: int = 3):
        return list(overrides), frames

    assert called(made, ["frames=5", "seed=1", "data.n=7"]) == (["seed=1", "data.n=7"], 5)


def test_p_g_is_exact_where_g_is_affine():
    """N(1.5, 0.7^2) both: the value at D* is -log 4; moved and wider it is what theory says."""
    _, same = affine(0.7, 1.5)
    assert same.jsd == pytest.approx(0, abs=1e-6)
    assert same.criterion == pytest.approx(theory.BOUND, abs=1e-6)
    _, moved = affine(0.7, 1.5 + 1.4)
    assert moved.jsd == pytest.approx(theory.gaussians_jsd(2.0), abs=1e-5)
    _, folded = affine(-0.7, 1.5)
    assert folded.jsd == pytest.approx(0, abs=1e-6)
    assert theory.wasserstein(moved.data, moved.generated, moved.width) == pytest.approx(
        1.4, abs=1e-4
    )


def test_the_deviation_is_that_from_the_optimal_d_on_the_support_alone():
    _, moved = affine(0.7, 1.5 + 1.4)
    exact = moved.data.log() - moved.generated.log()
    right = moved._replace(logits=exact.nan_to_num(0, 0, 0))
    assert right.deviation().nan_to_num(0).max() < 1e-6
    assert right.value == pytest.approx(moved.criterion, abs=1e-4)
    wrong = moved._replace(logits=exact.nan_to_num(0, 0, 0) + 0.5)
    assert wrong.deviation().nan_to_num(0).max() > 0.1
    both = moved.data + moved.generated
    assert (both[moved.support()] > 0.01 * both.max()).all()
    assert moved.support().sum() < len(both)


def test_mass_beyond_the_data_is_not_lost():
    _, far = affine(0.7, 1.5 + 6)
    assert far.generated.sum().item() == pytest.approx(1, abs=1e-6)
    assert far.jsd == pytest.approx(theory.gaussians_jsd(6 / 0.7), abs=1e-4)
    _, beyond = affine(0.7, 1.5 + 60)  # all that is drawn
    assert beyond.generated.sum().item() == pytest.approx(1, abs=1e-6)
    assert beyond.jsd == pytest.approx(math.log(2), abs=1e-6)
    assert beyond.criterion == pytest.approx(0, abs=1e-6)


def test_the_stretches_of_a_prior_hold_its_mass():
    for prior in (Uniform(1), Gaussian(1)):
        z, masses = stretches(prior, 100)
        assert masses.sum().item() == pytest.approx(1)
        assert len(z) == len(masses) + 1
    middle = stretches(Gaussian(1), 1200)[1][500:700].sum().item()
    assert middle == pytest.approx(math.erf(1 / math.sqrt(2)), abs=1e-6)


def test_moments_begin_at_0_and_end_at_the_end():
    found = sorted(moments(1000, 10))
    assert (found[0], found[1], found[-1]) == (0, 1, 1000)
    gaps = [b - a for a, b in itertools.pairwise(found)]
    assert gaps == sorted(gaps)


@pytest.mark.long
def test_figure_1_draws_all_that_it_says_and_goes_on(tmp_path):
    words = ["figure-1", *SMALL, "iterations=4", "frames=3", f"output_dir={tmp_path}"]
    outcome = lab(*words)
    assert (outcome.code, outcome.err) == (0, "")
    paths = [line for line in outcome.out.splitlines() if line.startswith(str(tmp_path))]
    assert {path.rpartition("/")[2] for path in paths[-4:]} == {
        *("figure-1.png", "figure-1.gif", "value.png", "results.json")
    }
    (results,) = tmp_path.glob("lab/figure-1/*/*/results.json")
    told = json.loads(results.read_text())
    assert told["bound"] == pytest.approx(-1.3862944)
    assert told["last"]["iteration"] == 4
    assert told["last"]["criterion"] >= max(told["bound"], told["last"]["value"]) - 1e-6
    again = lab(*words)
    assert "finished already" in again.out
    assert json.loads(results.read_text()) == told
    missing = lab(*words, "panels=[3]")
    assert missing.code == 2
    assert "has no iteration 3; set resume=never to train again" in missing.err


def test_proposition_1_leaves_g_where_it_is(tmp_path):
    words = [*SMALL, "model.generator.hidden=[]", "iterations=4", f"output_dir={tmp_path}"]
    outcome = lab("proposition-1", *words, "g_iterations=2", "frames=3")
    assert (outcome.code, outcome.err) == (0, "")
    (results,) = tmp_path.glob("lab/proposition-1/*/*/results.json")
    snapshots = sorted(results.parent.glob("snapshots/*.pt"))
    first, last = (torch.load(snapshots[i], weights_only=True) for i in (0, -1))
    (before,) = tmp_path.glob("lab/proposition-1/*/*/snapshots/iteration-0000002.pt")
    given = torch.load(before, weights_only=True)
    for name in (name for name in given if name.startswith("generator")):
        assert torch.equal(first[name], last[name])
    assert any(not torch.equal(first[n], last[n]) for n in first if n.startswith("discriminator"))


def test_panels_are_where_d_is_best_and_where_p_g_is_near():
    states = [affine(0.7, 1.5 + shift)[1] for shift in (4.0, 3.0, 1.0, 0.5, 0.0)]
    optimal = [s.data.log() - s.generated.log() for s in states]
    trained = [0, 0, 1, 0, 1]  # how much of D* D has learnt
    film = [
        Frame(i, s._replace(logits=(share * best).nan_to_num(0, 0, 0)), ())
        for i, (s, share, best) in enumerate(zip(states, trained, optimal, strict=True))
    ]
    assert [frame.iteration for frame in typical(film)] == [0, 2, 3, 4]


class Affine(torch.nn.Module):
    """A discriminator of points of one number, logit a - b x."""

    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = torch.nn.Parameter(torch.tensor(a)), b

    def forward(self, x):
        return self.a - self.b * x[:, 0]


@pytest.mark.parametrize("loss", ["minimax", "nonsaturating"])
def test_the_gradient_that_is_read_is_that_of_the_mean_and_theory_s_at_the_optimal_d(
    tmp_path, loss
):
    """p_g = N(0, 1), data N(-2, 1): log p_data / p_g = -2 - 2x.  4,096 samples: to 5%."""
    words = ["experiment=vanishing_gradient", "data.means=[-2]", f"loss={loss}"]
    gan = planned([*words, "logger=csv"]).experiment.build()
    gan.discriminator, gan.iterations = Affine(-2.0, 2.0), 1
    noted = GeneratorGradient(tmp_path / "gradient.json", [1])
    noted.on_train_start(None, gan)
    noted.on_train_batch_end(None, gan)
    ((_, slope),) = noted.read()
    name = {"minimax": "saturating"}.get(loss, loss)
    assert slope == pytest.approx(theory.generator_gradients(-2.0)[name], rel=0.05)


def test_the_optimal_gradients_are_drawn_where_they_are_known():
    def known(*words):
        return at_the_optimal(planned(["experiment=vanishing_gradient", *words]).experiment)

    assert known() == theory.generator_gradients(10.0)
    assert known("data.stds=[2]") is known("data.means=[1,2]") is None


def test_vanishing_gradients_are_read_of_an_affine_g_alone(tmp_path):
    outcome = lab("vanishing-gradient", "model.generator.hidden=[4]", f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert "model.generator.hidden: this laboratory needs an affine G; keep it []" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_the_generators_gradient_is_read_and_changes_nothing(tmp_path):
    affine_g = "model.generator.hidden=[]"
    words = ["experiment=vanishing_gradient", *SMALL, affine_g, "logger=csv", "iterations=3"]
    plain = planned([*words, f"output_dir={tmp_path / 'a'}"])
    watched = planned([*words, f"output_dir={tmp_path / 'b'}"])
    plain_too = GeneratorGradient(tmp_path / "never.json", [])
    noted = GeneratorGradient(tmp_path / "gradient.json", [1, 3])
    trained(plain, [plain_too])
    trained(watched, [noted])
    assert [iteration for iteration, _ in noted.read()] == [1, 3]
    assert all(norm > 0 for _, norm in noted.read())
    a, b = (
        torch.load(plan.run.last_checkpoint(), weights_only=True)["state_dict"]
        for plan in (plain, watched)
    )
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_closed_forms_say_what_vanishes():
    known = closed_forms()
    jsd, w1 = known["parallel lines"]
    assert set(jsd[1:]) == {math.log(2)}
    assert w1[-1] == 10
    assert known["gradients"]["saturating"][-1] < 1e-5
    assert known["gradients"]["nonsaturating"][-1] > 9


def test_the_grid_makes_a_table_and_a_picture(tmp_path):
    words = [*SMALL, "iterations=2", "losses=[hinge,wasserstein]", "seeds=1"]
    outcome = lab("grid", *words, f"output_dir={tmp_path}")
    assert (outcome.code, outcome.err) == (0, "")
    folder = tmp_path / "lab" / "grid"
    table = (folder / "table.md").read_text()
    assert table.count("\n") == 4
    assert "| wasserstein " in table
    found = json.loads((folder / "results.json").read_text())
    assert [len(found[loss]) for loss in ("hinge", "wasserstein")] == [1, 1]
    assert (folder / "grid.png").exists()
    jobs = Sweep(folder).jobs()
    assert [distinct(jobs)[job] for job in jobs] == [["loss=hinge"], ["loss=wasserstein"]]
    for job in jobs:
        assert planned(job.overrides).run.path.resolve() == job.run.path.resolve()


def test_the_grid_with_r1_has_it_for_every_loss_and_a_place_of_its_own(tmp_path):
    words = [*SMALL, "iterations=2", "losses=[hinge,wasserstein]", "seeds=1", "r1=0.5"]
    outcome = lab("grid", *words, f"output_dir={tmp_path}")
    assert (outcome.code, outcome.err) == (0, "")
    folder = tmp_path / "lab" / "grid-r1-0.5"
    jobs = json.loads((folder / "sweep.json").read_text())["jobs"]
    penalties = [Run(folder / job["run"]).config()["regularizer"] for job in jobs]
    assert [list(chosen) for chosen in penalties] == [["r1"], ["r1"]]
    assert [chosen["r1"]["gamma"] for chosen in penalties] == [0.5, 0.5]
    assert lab("grid", "r1=-1").err.count("r1 must be at least 0") == 1


def test_a_line_is_of_one_number():
    from commands import completed

    with pytest.raises(ConfigError, match="set data=gaussian_1d"):
        Line(Experiment(**completed("data=ring_2d", "model=toy", "latent.dim=1")))
