"""Golden runs: each variant ends where it did, and no two of them end within ten tolerances.

`python tests/test_golden.py` writes golden.json anew, for a change that is meant.
"""

import itertools
import json
from pathlib import Path

import pytest
import torch

from conftest import fit, small_gan
from ganlab import conditioning, losses, regularizers
from ganlab.augment import DiffAugment, InstanceNoise
from ganlab.data import Digits, LabelBudget
from ganlab.latent import Uniform
from ganlab.networks import AutoencoderDiscriminator, VanillaDiscriminator, VanillaGenerator
from ganlab.training.updates import UpdateRule

FILE = Path(__file__).with_name("golden.json")
TOLERANCE = 1e-4  # of pixels in [-1, 1]: other processors and versions round differently
SPEC = Digits().spec
GAME = losses.NonSaturating


def term(regularizer, loss=losses.Hinge):
    return {"loss": loss(), "regularizers": {"it": regularizer}}


def energies(loss, **options):
    return {"loss": loss, "d": AutoencoderDiscriminator, "width": 4, "code": 8, **options}


def told(kind, **options):
    return {"loss": GAME(), "conditioning": kind(SPEC, **options)}


def variants():
    return {
        "minimax": {"loss": losses.Minimax()},
        "nonsaturating": {"loss": GAME()},
        "least_squares": {"loss": losses.LeastSquares()},
        "wasserstein": {"loss": losses.Wasserstein()},
        "hinge": {"loss": losses.Hinge()},
        "relativistic": {"loss": losses.Relativistic()},
        "relativistic_average": {"loss": losses.RelativisticAverage()},
        "smoothed": {"loss": losses.NonSaturating(smoothing=0.1)},
        "ebgan": energies(losses.EBGAN()),
        "ebgan, pull-away": energies(
            losses.EBGAN(), regularizers={"it": regularizers.PullAway(10.0)}
        ),
        "began": energies(losses.BEGAN(rate=0.1)),
        "began, squared errors": energies(losses.BEGAN(rate=0.1), error="l2"),
        "wasserstein, clipped": term(regularizers.WeightClip(), losses.Wasserstein),
        "wasserstein, penalty": term(regularizers.GradientPenalty(0.1), losses.Wasserstein),
        "dragan": term(regularizers.DRAGAN(1.0)),
        "r1": term(regularizers.R1(1.0)),
        "r2": term(regularizers.R2(1.0)),
        "lecam": term(regularizers.LeCam()),
        "consistency": term(regularizers.Consistency(1.0)),
        "balanced consistency": term(regularizers.Consistency(1.0, fake_weight=1.0)),
        "pull-away": term(regularizers.PullAway(1.0)),
        "feature matching": term(regularizers.FeatureMatching()),
        "feature matching beside": term(regularizers.FeatureMatching(alone=False)),
        "diffaugment": {"loss": losses.Hinge(), "augment": DiffAugment()},
        "instance noise": {"loss": losses.Hinge(), "augment": InstanceNoise(0.5)},
        "minibatch std": {"loss": losses.Hinge(), "minibatch": "std"},
        "minibatch discrimination": {"loss": losses.Hinge(), "minibatch": "discrimination"},
        "concat": told(conditioning.Concat),
        "projection": told(conditioning.Projection),
        "acgan": told(conditioning.ACGAN),
        "acgan, weight 2": told(conditioning.ACGAN, weight=2.0),
        "infogan": told(conditioning.InfoGAN),
        "infogan, categories": told(conditioning.InfoGAN, continuous=0),
        "semisupervised": told(conditioning.SemiSupervised),
        "uniform": {"loss": GAME(), "latent": Uniform(8)},
        "k = 2": {"loss": GAME(), "d_steps": 2},
    }


def ending(**options) -> list[float]:
    """20 pixels of generated images after 5 iterations at a rate that tells variants apart."""
    told = options.get("conditioning") or conditioning.Conditioning(SPEC)
    kind, knobs = options.pop("d", VanillaDiscriminator), {"hidden": (32,), "dropout": 0.0}
    if kind is AutoencoderDiscriminator:
        knobs = {"norm": "none"}
    knobs |= {k: options.pop(k) for k in ("width", "code", "error", "minibatch") if k in options}
    torch.manual_seed(1)
    sgd = UpdateRule(lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    gan = small_gan(
        iterations=5,
        generator=VanillaGenerator(SPEC, 8 + told.code_dim, (32,)),
        discriminator=kind(told.shown, **knobs),
        g_rule=sgd,
        d_rule=sgd,
        **options,
    )
    semi = isinstance(told, conditioning.SemiSupervised)
    fit(gan, labels=LabelBudget(2, 0) if semi else None)
    return [round(pixel, 6) for pixel in gan.sample(5).flatten()[::64].tolist()]


@pytest.mark.parametrize("name", variants())
def test_a_golden_run_ends_where_it_did(name):
    assert ending(**variants()[name]) == pytest.approx(
        json.loads(FILE.read_text())[name], abs=TOLERANCE
    )


def test_no_two_golden_runs_could_be_taken_for_each_other():
    golden = json.loads(FILE.read_text())
    assert golden.keys() == variants().keys()
    for a, b in itertools.combinations(golden, 2):
        apart = max(abs(x - y) for x, y in zip(golden[a], golden[b], strict=True))
        assert apart > 10 * TOLERANCE, (a, b, apart)


if __name__ == "__main__":
    lines = [f"{json.dumps(name)}: {ending(**options)}" for name, options in variants().items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
