"""Data of which the truth is known: densities, draws, coverage, and what points are refused."""

import copy
import math

import pytest
import torch
from torch import nn

from commands import completed, rows, run_evaluate, run_sample, run_train, runs_in
from conftest import same, weights
from ganlab import load
from ganlab.augment import DiffAugment
from ganlab.conditioning import Concat
from ganlab.data import Gaussian1D, Grid2D, ImageData, Ring2D, SwissRoll2D
from ganlab.data.distributions import Mixture, SwissRoll, grid, ring
from ganlab.data.images import normalised
from ganlab.data.points import distribution_of
from ganlab.data.strokes import Strokes
from ganlab.errors import CombinationError, ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.experiments.session import quiet_lightning
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import NonSaturating
from ganlab.networks import ToyDiscriminator, ToyGenerator
from ganlab.plots.cloud import Cloud
from ganlab.regularizers import Consistency
from ganlab.spec import ImageSpec, PointSpec, spec_of
from ganlab.training.streams import stream
from ganlab.training.updates import UpdateRule

DRAWN = [(-0.5, -0.5), (0.0, 0.25), (0.1, 0.3), (0.7, -0.2)]
MIXTURE = Mixture([[-1.0], [2.0]], [0.5, 0.25], [3, 1])


def plane(low: float, high: float, n: int) -> tuple[torch.Tensor, float]:
    """Midpoints (n^2, 2) of the cells of a square, and a cell's area."""
    step = (high - low) / n
    x = low + step * (torch.arange(n, dtype=torch.float64) + 0.5)
    return torch.cartesian_prod(x, x), step**2


def test_masses_of_cells_are_integrals_of_the_density():
    known = Mixture([[0.0, 0.5], [1.0, -1.0]], [0.3, 0.5], [2, 1])
    x, y = torch.linspace(-3, 4, 8), torch.linspace(-3, 3, 7)
    masses = known.masses(x, y)
    assert masses.shape == (6, 7)  # a row for each y
    points, area = plane(-3, 4, 700)
    inside = points[:, 1] < 3
    column, row = (points[inside] + 3).long().unbind(1)
    fine = torch.zeros(6, 7, dtype=torch.float64)
    fine.index_put_((row, column), known.density(points[inside]) * area, accumulate=True)
    assert torch.allclose(masses, fine, atol=1e-5)
    with pytest.raises(ValueError, match="dimension 2, got 1"):
        MIXTURE.masses(x, y)


def test_a_mixture_of_one_is_the_normal_distribution():
    x = torch.linspace(-3, 3, 7, dtype=torch.float64)
    normal = torch.distributions.Normal(torch.tensor(0.5).double(), torch.tensor(2.0).double())
    mixture = Mixture([[0.5]], [2.0])
    assert torch.allclose(mixture.log_density(x[:, None]), normal.log_prob(x), atol=1e-12)
    assert torch.allclose(mixture.cdf(x), normal.cdf(x), atol=1e-12)


def test_the_cdf_is_the_integral_of_the_density():
    x = torch.linspace(-8, 8, 8001, dtype=torch.float64)
    integral = torch.cumulative_trapezoid(MIXTURE.density(x[:, None]), x)
    assert torch.allclose(MIXTURE.cdf(x)[1:], integral, atol=1e-6)
    wrong = Mixture([[-1.0], [2.0]], [0.5, 0.25])  # without the weights
    assert not torch.allclose(wrong.cdf(x)[1:], integral, atol=1e-2)


@pytest.mark.long
@pytest.mark.parametrize(
    ("distribution", "wrong", "low", "high"),
    [
        (ring(std=0.1), ring(std=0.15), -2, 2),
        (grid(3, std=0.2), grid(3, 1.9, std=0.2), -4, 4),
        (SwissRoll(), SwissRoll(1.4), -2.5, 2.5),
        (Strokes(DRAWN, 0.1), Strokes(DRAWN[1:], 0.1), -2, 2),
    ],
    ids=["ring", "grid", "roll", "strokes"],
)
def test_a_density_is_that_of_the_draws(distribution, wrong, low, high):
    """It integrates to 1, and gives a coarse cell the share of the draws that fall into it."""
    points, _ = distribution.sample(100_000, stream("cpu", 0))
    where = ((points - low) / (high - low) * 8).long()
    counts = (where[:, 0] * 8 + where[:, 1]).bincount(minlength=64)
    cells, area = plane(low, high, 240)

    def deviation(claimed) -> float:
        mass = claimed.log_density(cells).exp().view(8, 30, 8, 30).sum(dim=(1, 3)).flatten() * area
        assert mass.sum().item() == pytest.approx(1, abs=1e-4)
        expected = 100_000 * mass
        return ((counts - expected).abs() / (expected.sqrt() + 1)).max().item()

    assert deviation(distribution) < 4.5
    assert deviation(wrong) > 9


def test_the_integral_along_the_roll_is_exact_enough():
    roll = SwissRoll()
    t = torch.linspace(roll.start, roll.end, 40_001, dtype=torch.float64)
    x = roll.curve(torch.tensor([roll.start, 8.0, 12.0, roll.end], dtype=torch.float64)) + 0.03
    squares = (roll.curve(t)[None] - x[:, None]).square().sum(dim=2)
    integrand = (-squares / (2 * roll.std**2)).exp() / (2 * math.pi * roll.std**2)
    exact = torch.trapezoid(integrand, t) / (roll.end - roll.start)
    assert torch.allclose(roll.density(x), exact, rtol=2e-3)


def test_coverage_by_hand():
    mixture = Mixture([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], [1.0, 1.0, 1.0])
    points = torch.tensor([[0.0, 2.9], [0.0, 0.0], [10.0, 3.1], [math.nan, 0.0]])
    found = mixture.coverage(points)
    assert (found.modes, found.high_quality) == (1, 0.5)  # 3.1 is far, and nan is nowhere
    p = torch.tensor([2 / 3, 1 / 3])
    assert found.kl == pytest.approx((p * (3 * p).log()).sum().item(), abs=1e-6)
    assert math.isnan(mixture.coverage(torch.full((3, 2), math.inf)).kl)


def test_the_data_covers_itself():
    found = grid().coverage(grid().sample(2500, stream("cpu", 0))[0])
    within = 1 - math.exp(-4.5)  # of a round Gaussian in the plane, within 3 standard deviations
    assert found.modes == 25
    assert found.high_quality == pytest.approx(within, abs=0.006)
    assert found.kl < 0.02  # (K - 1) / 2n = 0.005 by chance
    half = grid().coverage(grid().sample(2500, stream("cpu", 0))[0].abs())
    assert half.modes < 25
    assert half.kl > 0.5


def test_distributions_out_of_range_are_refused():
    for make in (
        lambda: Mixture([], []),
        lambda: Mixture([[0.0], [1.0]], [1.0, 1.0, 1.0]),
        lambda: Mixture([[0.0]], [0.0]),
        lambda: Mixture([[0.0], [1.0]], [1.0], [1.0]),
        lambda: ring(0),
        lambda: SwissRoll(std=0),
        lambda: ring().cdf(torch.zeros(2)),
    ):
        with pytest.raises(ValueError, match=r"must |dimension 1"):
            make()


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        (Gaussian1D(n=50), PointSpec(1)),
        (Gaussian1D(means=(0.0, 1.0), n=50), PointSpec(1, 2)),
        (Ring2D(n=50), PointSpec(2, 8)),
        (Grid2D(n=50), PointSpec(2, 25)),
        (SwissRoll2D(n=50), PointSpec(2)),
    ],
)
def test_a_source_draws_once_and_holds_out_others(source, spec):
    first, again, unseen = source.read(), source.read(), source.test().read()
    assert source.spec == spec
    assert first.images.shape == (50, *spec.shape)
    assert first.images.dtype == torch.float32
    assert torch.equal(first.images, again.images)
    assert first.labels.max() < max(spec.classes, 1)
    assert len(unseen.images) == 5
    assert not torch.isin(unseen.images, first.images).any()
    assert source.test().test() is None
    assert normalised(first.images) is first.images


def test_a_spec_comes_back_from_a_checkpoint():
    assert spec_of({"dim": 2, "classes": 8}) == PointSpec(2, 8)
    assert spec_of({"channels": 1, "size": 16, "classes": 10}) == ImageSpec(1, 16, 10)


TOY = ("model=toy", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]", "latent.dim=2")


def command(folder, *overrides: str) -> list[str]:
    return ["trainer=smoke", "logger=csv", *TOY, f"output_dir={folder}", *overrides]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on the ring, all of it."""
    folder = tmp_path_factory.mktemp("points")
    outcome = run_train(*command(folder, "data=ring_2d", "data.n=400"))
    assert (outcome.code, outcome.err) == (0, "")
    assert "400 points of 2 numbers in 8 modes" in outcome.out
    (found,) = runs_in(folder)
    return found


def test_a_run_of_points_has_all_that_one_of_images_has(run):
    for name in ("curves.png", "samples.gif", "samples/iteration-0000003.png"):
        assert (run / name).exists() or (run / "samples" / name).exists()
    last = rows(run)[-1]
    assert 0 <= float(last["high_quality"]) <= 1
    assert 0 <= float(last["modes_covered"]) <= 8
    assert float(last["kl_modes"]) >= 0


def test_a_run_of_points_is_loaded_and_sampled(run):
    gan = load(run)
    assert gan.spec == PointSpec(2, 8)
    assert gan.sample(5).shape == (5, 2)
    outcome = run_sample(f"run={run}")
    assert outcome.code == 0
    assert outcome.out.strip().endswith("n-2500.png")
    outcome = run_sample(f"run={run}", "interpolate=2", "sheets=true")
    assert outcome.code == 2
    assert "interpolate, sheets: for images, and this run makes points" in outcome.err


def test_points_are_not_scored_by_features(run):
    outcome = run_evaluate(f"run={run}")
    assert outcome.code == 2
    assert "this data is points, whose modes are counted anyway; set metrics=none" in outcome.err


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["model=dcgan"], "model.generator: DCGANGenerator is for images, the data is points of"),
        (["model=vanilla"], "VanillaDiscriminator is for images, .* set model=toy"),
        ([*TOY, "mirror=true"], "mirror: points have no left and right"),
        ([*TOY, "metrics=inception"], "set metrics=none"),
        ([*TOY, "augment=diffaugment"], "augment moves pixels of images"),
        ([*TOY, "regularizer=consistency"], "regularizer.consistency moves pixels of images"),
        ([*TOY, "loss=ebgan"], "EBGAN takes energies"),
    ],
)
def test_what_is_for_images_is_refused_with_the_way_out(overrides, reason):
    with pytest.raises(ConfigError, match=reason):
        Experiment(**completed("data=ring_2d", *overrides)).rehearse()


def test_the_gan_itself_refuses_what_moves_pixels():
    parts = {"spec": PointSpec(2), "latent": Gaussian(2)}
    rule = UpdateRule(lambda p: torch.optim.SGD(p, 0.1))
    made = ToyGenerator(PointSpec(2), 2), ToyDiscriminator(PointSpec(2)), NonSaturating()
    with pytest.raises(CombinationError, match=r"a moves pixels .* augment moves pixels"):
        GAN(
            *made,
            **parts,
            g_rule=rule,
            d_rule=rule,
            regularizers={"a": Consistency()},
            augment=DiffAugment(),
        )


@pytest.mark.parametrize("conditioning", ["concat", "projection", "acgan", "infogan"])
@pytest.mark.parametrize(
    "regularizer", ["[gradient_penalty,r1,r2]", "[dragan,weight_clip,lecam]", "[pull_away]"]
)
def test_toys_take_conditioning_and_regularizers(conditioning, regularizer):
    config = completed(
        *("trainer=smoke", "iterations=1", "data=ring_2d", "data.n=64", *TOY),
        *(f"conditioning={conditioning}", f"regularizer={regularizer}"),
    )
    quiet_lightning()
    experiment = Experiment(**config)
    gan = experiment.build()
    before = weights(gan)
    experiment.trainer_with([], []).fit(gan, experiment.image_data(gan))
    after = weights(gan)
    assert not same(before, after)
    assert all(torch.isfinite(tensor).all() for tensor in after.values())


def test_concat_gives_d_the_class_as_numbers_beside_the_point():
    spec = PointSpec(2, 3)
    told = Concat(spec)
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x)
            return x.sum(dim=1)

    told.discriminate(Watch(), torch.ones(1, 2), torch.tensor([[0.0, 1.0, 0.0]]))
    assert told.shown == PointSpec(5, 3)
    assert seen[0].tolist() == [[1, 1, 0, 1, 0]]


def test_minibatches_are_the_points_themselves():
    data = ImageData(Ring2D(n=16), 4, minibatches=1, iterations=1)
    data.setup()
    assert torch.equal(data.images.images, Ring2D(n=16).read().images)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_cloud_is_drawn_and_says_what_lies_outside(dim):
    real = torch.randn(100, dim, generator=stream("cpu", 0))
    cloud = Cloud(real, Mixture([[0.0]], [1.0]).density if dim == 1 else None)
    near, far = cloud(real), cloud(real + 100)
    assert near.shape == far.shape
    assert (near != far).any()
    assert (cloud(real) == near).all()


def test_only_points_have_a_known_distribution():
    assert distribution_of(Ring2D()).dim == 2
    assert distribution_of(copy) is None
