"""The whole table of model x loss x regularizer x conditioning: each cell steps or says why not."""

import functools
import itertools
import sys
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
import yaml
from hydra.utils import instantiate
from torch import Tensor, nn

from conftest import adam
from ganlab.conditioning import Conditioning, Projection, SemiSupervised
from ganlab.config.checks import conf_dir
from ganlab.config.targets import locate, parameters
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import Hinge, Loss
from ganlab.networks import VanillaDiscriminator
from ganlab.regularizers import Regularizer
from ganlab.spec import ImageSpec
from ganlab.training.batch import Batch
from ganlab.training.streams import stream
from ganlab.training.updates import UpdateRule, global_norm
from small import latents_of

STEPS = "steps"
NOISE, BATCH = 4, 4
RULE = UpdateRule(adam())  # no cell uses it: gradients are enough
SIZES = {
    "dcgan": 16,
    "tutorial": 28,
}  # others: 8 pixels, where dcgan's D is one convolution without BatchNorm
TINY = {
    "width": 4,
    "hidden": (8,),
    "code": 4,
    "embedding": 4,
    "most": 4,
    "w_dim": 4,
}  # where a signature has them


class Bare(nn.Module):
    """A discriminator from elsewhere: images to logits, no features to look at."""

    def __init__(self, spec: ImageSpec) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(spec.channels * spec.size**2, 1))

    def forward(self, images):
        return self.layers(images).flatten()


class Energies(VanillaDiscriminator):
    """Never negative, low for real images: what losses of energies ask for."""

    energy: ClassVar[bool] = True

    def logits_and_features(self, x):
        logits, features = super().logits_and_features(x)
        return logits.square(), features


STAND_INS = {"bare": Bare, "energies": Energies}  # forms of D that no shipped model need have


def conf(group: str) -> dict[str, dict]:
    """The choices of a group, by name."""
    files = sorted((conf_dir() / group).glob("*.yaml"))
    return {file.stem: yaml.safe_load(file.read_text()) for file in files}


def stand_in(discriminator: type) -> dict[str, dict]:
    generator = {"_target_": "ganlab.networks.VanillaGenerator"}
    return {"generator": generator, "discriminator": {"_target_": discriminator}}


GANS = {name: node for name, node in conf("model").items() if "discriminator" in node}
MODELS = {**GANS, **{name: stand_in(d) for name, d in STAND_INS.items()}}
LOSSES, CONDITIONINGS = conf("loss"), conf("conditioning")
REGULARIZERS = {"none": {}, **conf("regularizer")}


def spec_of(model: str) -> ImageSpec:
    return ImageSpec(1, SIZES.get(model, 8), classes=3)


def target(node: dict):
    """The class of a network: a stand-in's own, or the one at a dotted path."""
    return node["_target_"] if callable(node["_target_"]) else locate(node["_target_"])


def network(node: dict, **given) -> nn.Module:
    """What a model's YAML asks for, as narrow as its signature lets it be."""
    callee = target(node)
    options = {**node, **TINY, **given}
    return callee(**{name: options[name] for name in parameters(callee) if name in options})


def builder(node: dict):
    """Hydra reads a node once; each call makes a new part."""
    return instantiate({**node, "_partial_": True}, _convert_="all")


@dataclass
class Stage:
    """Both networks under one conditioning and a minibatch; no cell changes a weight of them."""

    discriminator: nn.Module
    generator: nn.Module
    real: Batch
    fake: Tensor  # images of the generator
    code: Tensor

    def gan(self, loss, regularizers, conditioning) -> GAN:
        return GAN(
            self.generator,
            self.discriminator,
            loss,
            spec=conditioning.spec,
            latent=Gaussian(NOISE),
            g_rule=RULE,
            d_rule=RULE,
            conditioning=conditioning,
            regularizers=regularizers,
        )


def staged(model: dict, conditioning) -> Stage:
    """Cells share the generator's images: that its gradient is sound is checked here, once."""
    spec, code_dim = conditioning.spec, conditioning.code_dim
    torch.manual_seed(0)
    told = {"latent_dim": NOISE + code_dim, "code_dim": code_dim}
    generator = network(model["generator"], spec=spec, **told)
    discriminator = network(model["discriminator"], spec=conditioning.shown)
    images = torch.rand(2, BATCH, *spec.shape, generator=stream("cpu", 1)) * 2 - 1
    labels = torch.tensor([0, 2, 1, 1])
    labeled = Batch(images[1], labels.roll(1)) if isinstance(conditioning, SemiSupervised) else None
    noise, code = torch.randn(BATCH, NOISE), conditioning.code(labels, stream("cpu", 2))
    fake = generator(torch.cat([noise, code], dim=1))
    weights = dict(generator.named_parameters())
    missed = weights.keys() - reached((fake * images[0]).sum(), weights)
    assert not missed, f"the gradient at G's images does not reach {sorted(missed)}"
    return Stage(discriminator, generator, Batch(images[0], labels, labeled), fake.detach(), code)


def reached(loss: Tensor, targets: dict[str, Tensor]) -> set[str]:
    """Names of what the gradient of a loss reaches: finite there, and not zero everywhere."""
    assert loss.isfinite(), f"the loss is {loss.item()}"
    assert loss.requires_grad, "the loss is constant"
    found = torch.autograd.grad(loss, list(targets.values()), allow_unused=True)
    there = {name: g for name, g in zip(targets, found, strict=True) if g is not None}
    assert there, "no gradient gets there"
    norm = global_norm(list(there.values()))
    assert norm.isfinite(), "a gradient is not finite"
    assert norm > 0, "all gradients are 0"
    return set(there)


def step(gan: GAN, stage: Stage) -> None:
    """Both players' losses on one minibatch reach their player, G by way of its images.

    Raises:
        AssertionError: a loss or gradient is amiss, or does not reach a parameter of D.
    """
    weights = dict(gan.discriminator.named_parameters(prefix="network"))
    weights |= dict(gan.conditioning.named_parameters(prefix="conditioning"))
    found = reached(gan.d_loss(stage.real, stage.fake, stage.code), weights)
    missed = {name for name in weights.keys() - found if not is_replaced(name, gan)}
    assert not missed, f"D's loss does not reach {sorted(missed)}"
    fake = stage.fake.clone().requires_grad_()
    reached(gan.g_loss(fake, stage.real, latents_of(gan, stage.code)), {"images": fake})
    for regularizer in gan.regularizers.values():
        if type(regularizer).project is not Regularizer.project:
            projected = [p.detach().clone() for p in weights.values()]
            regularizer.project(projected)
            assert global_norm(projected).isfinite(), "a projected weight is not finite"


def is_replaced(name: str, gan: GAN) -> bool:
    """K + 1 classes take the place of D's own head, and of the comparison that it alone sees."""
    own = name.startswith(("network.head.", "network.compare."))
    return own and isinstance(gan.conditioning, SemiSupervised)


def outcome(stage: Stage, loss, regularizers, conditioning) -> str:
    """STEPS, or the reason why GAN refuses these parts."""
    try:
        gan = stage.gan(loss, regularizers, conditioning)
    except ValueError as error:
        return str(error)
    step(gan, stage)
    return STEPS


@functools.cache
def rows(model: str) -> dict[tuple[str, str, str], str]:
    """(loss, regularizer, conditioning) -> STEPS or a reason, for one model.

    Raises:
        AssertionError: a cell neither steps nor is refused; names it.
    """
    found, spec = {}, spec_of(model)
    losses = {name: builder(node) for name, node in LOSSES.items()}
    regularizers = {
        name: {key: builder(part) for key, part in node.items()}
        for name, node in REGULARIZERS.items()
    }
    for told, node in CONDITIONINGS.items():
        conditioning = builder(node)
        stage = staged(MODELS[model], conditioning(spec=spec))
        for loss, regularizer in itertools.product(losses, regularizers):
            parts = (
                losses[loss](),
                {name: made() for name, made in regularizers[regularizer].items()},
                conditioning(spec=spec),
            )
            try:
                found[loss, regularizer, told] = outcome(stage, *parts)
            except Exception as error:
                cell = f"model={model} loss={loss} regularizer={regularizer} conditioning={told}"
                raise AssertionError(f"{cell}: {error!r}") from error
    return found


def table(models=tuple(MODELS)) -> dict[tuple[str, str, str, str], str]:
    """(model, loss, regularizer, conditioning) -> "steps" or the reason why not."""
    return {(model, *cell): said for model in models for cell, said in rows(model).items()}


# What must be refused, written down apart from ganlab.compatibility -------------------------------

ENERGY_LOSSES = {"began", "ebgan"}
LOGIT_LOSSES = {
    *("hinge", "least_squares", "minimax", "nonsaturating"),
    *("relativistic", "relativistic_average", "wasserstein"),
}
PER_SAMPLE = {"dragan", "gradient_penalty", "r1", "r2"}
OF_FEATURES = {"feature_matching", "pull_away", "projection", "acgan", "infogan", "semisupervised"}
OF_LOGITS = {"projection", "semisupervised"}
FREE = {"none", "consistency", "lecam", "weight_clip", "concat"}


def refused_parts(model: str, loss: str, regularizer: str, conditioning: str) -> set[str]:
    """The parts of a cell that a reason must name."""
    node = MODELS[model]["discriminator"]
    energy = getattr(target(node), "energy", False)
    parts = {
        "loss": energy != (loss in ENERGY_LOSSES),
        "regularizer": (model == "bare" and regularizer in OF_FEATURES)
        or (node.get("norm") == "batch" and regularizer in PER_SAMPLE),
        "conditioning": (model == "bare" and conditioning in OF_FEATURES)
        or (energy and conditioning in OF_LOGITS),
    }
    return {part for part, refused in parts.items() if refused}


def named_parts(said: str, regularizer: str) -> set[str]:
    """The parts that begin a sentence of a reason."""
    begins = {
        "loss": "loss: ",
        "regularizer": f"regularizer.{regularizer} ",
        "conditioning": "cond",
    }
    return {part for part, begin in begins.items() if f"; {begin}" in f"; {said}"}


@pytest.mark.long
@pytest.mark.parametrize("model", MODELS)
def test_each_cell_steps_or_says_why_it_cannot(model):
    found = table((model,))
    assert len(found) == len(LOSSES) * len(REGULARIZERS) * len(CONDITIONINGS)
    assert STEPS in found.values()
    known = [LOGIT_LOSSES | ENERGY_LOSSES, PER_SAMPLE | OF_FEATURES | FREE, OF_FEATURES | FREE]
    for cell, said in found.items():
        named = named_parts(said, cell[2])
        assert (said == STEPS) == (not named), (cell, said)
        if all(name in names for name, names in zip(cell[1:], known, strict=True)):
            assert named == refused_parts(*cell), (cell, said)


def test_the_table_is_that_of_all_shipped_choices():
    assert {"dcgan", "infogan", "resnet", "sndcgan", "vanilla"} <= MODELS.keys()
    assert LOSSES.keys() >= LOGIT_LOSSES | ENERGY_LOSSES
    assert REGULARIZERS.keys() > PER_SAMPLE
    assert CONDITIONINGS.keys() > OF_LOGITS
    assert all(len(node) == 1 for name, node in REGULARIZERS.items() if name != "none")


def reason(model: str, loss="nonsaturating", regularizer="none", conditioning="none") -> str:
    """Why one cell is refused."""
    spec = spec_of(model)
    regularizers = {key: builder(node)() for key, node in REGULARIZERS[regularizer].items()}
    told = builder(CONDITIONINGS[conditioning])(spec=spec)
    stage = staged(MODELS[model], told)
    with pytest.raises(ValueError) as caught:
        stage.gan(builder(LOSSES[loss])(), regularizers, told)
    return str(caught.value)


def test_reasons_are_sentences_with_advice():
    assert reason("vanilla", "ebgan") == (
        "loss: EBGAN takes energies, the errors of an autoencoder, and VanillaDiscriminator gives "
        "logits; set model=autoencoder"
    )
    assert reason("energies", "hinge") == (
        "loss: Hinge takes logits, and Energies gives energies, the errors of an autoencoder; set "
        "loss=ebgan or loss=began, or another model"
    )
    assert reason("energies", "began", conditioning="projection") == (
        "conditioning: Projection makes or changes a logit, and Energies gives energies; set "
        "conditioning=concat, acgan or infogan, or another model"
    )
    assert reason("bare", regularizer="pull_away") == (
        "regularizer.pull_away needs D's features, which Bare does not return; derive it from "
        "ganlab.networks.Discriminator"
    )
    assert reason("dcgan", regularizer="r1") == (
        "regularizer.r1 looks at the gradient of each image by itself, which BatchNorm mixes with "
        "the others' (Gulrajani et al. 2017, section 4); set model.discriminator.norm=layer or none"
    )


def test_all_reasons_come_at_once():
    said = reason("bare", "ebgan", "feature_matching", "semisupervised")
    assert named_parts(said, "feature_matching") == {"loss", "regularizer", "conditioning"}


@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize(
    "model", [name for name, m in MODELS.items() if "norm" in m["discriminator"]]
)
def test_the_advice_against_batchnorm_helps(model, norm):
    """With the norm that the refusal asks for, every penalty steps under every conditioning."""
    networks = {**MODELS[model]}
    networks["discriminator"] = {**networks["discriminator"], "norm": norm}
    energy = getattr(target(networks["discriminator"]), "energy", False)
    for name, node in CONDITIONINGS.items():
        if energy and name in OF_LOGITS:
            continue
        conditioning = builder(node)(spec=spec_of(model))
        penalties = {n: builder(REGULARIZERS[n][n])() for n in sorted(PER_SAMPLE)}
        loss = builder(LOSSES["ebgan" if energy else "nonsaturating"])()
        assert outcome(staged(networks, conditioning), loss, penalties, conditioning) == STEPS


# The checks can fail -----------------------------------------------------------------------------


class Constant(Loss):
    """Says the same whatever D says."""

    def d_loss(self, real, fake):
        return real.detach().mean()

    def g_loss(self, fake, real=None):
        return fake.mean()


class Saturated(Hinge):
    """A G loss that is flat wherever D is."""

    def g_loss(self, fake, real=None):
        return (fake - 1000).relu().mean()


class Undefined(Regularizer):
    """0 / 0 in D's loss."""

    def d_term(self, seen):
        return seen.real.logits.mean() * 0 / 0


class Steep(Regularizer):
    """A finite term whose slope is infinite."""

    def d_term(self, seen):
        return (seen.real.logits * 0).abs().sqrt().mean()


class Late(Regularizer):
    """Finds out too late that it cannot work."""

    def d_term(self, seen):
        raise ValueError("cannot work")


class Exploding(Regularizer):
    """Divides weights by zero."""

    @torch.no_grad()
    def project(self, parameters):
        for parameter in parameters:
            parameter.div_(0)


class Blind(Projection):
    """A head that nothing is asked."""

    def discriminate(self, discriminator, images, code):
        return Conditioning.discriminate(self, discriminator, images, code)


BROKEN = {
    "constant": ({"loss": Constant}, "the loss is constant"),
    "saturated": ({"loss": Saturated}, "all gradients are 0"),
    "undefined": ({"term": Undefined}, "the loss is nan"),
    "steep": ({"term": Steep}, "a gradient is not finite"),
    "late": ({"term": Late}, "cannot work"),
    "exploding": ({"term": Exploding}, "a projected weight is not finite"),
    "blind": (
        {"conditioning": Blind},
        r"D's loss does not reach \['conditioning\.embed\.weight'\]",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_check_sees_a_cell_that_neither_steps_nor_is_refused(name, monkeypatch):
    parts, complaint = BROKEN[name]
    paths = {part: {"_target_": f"{__name__}.{kind.__name__}"} for part, kind in parts.items()}
    hinge, none = {"_target_": "ganlab.losses.Hinge"}, CONDITIONINGS["none"]
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "LOSSES", {"it": paths.get("loss", hinge)})
    terms = {"term": paths["term"]} if "term" in paths else {}
    monkeypatch.setattr(here, "REGULARIZERS", {"it": terms})
    monkeypatch.setattr(here, "CONDITIONINGS", {"it": paths.get("conditioning", none)})
    cell = "model=vanilla loss=it regularizer=it conditioning=it"
    with pytest.raises(AssertionError, match=f"^{cell}: .*{complaint}"):
        rows.__wrapped__("vanilla")
    for group in ("LOSSES", "REGULARIZERS", "CONDITIONINGS"):
        whole = {"LOSSES": hinge, "REGULARIZERS": {}, "CONDITIONINGS": none}[group]
        monkeypatch.setattr(here, group, {"it": whole})
    assert rows.__wrapped__("vanilla") == {("it", "it", "it"): STEPS}


def test_the_check_sees_a_generator_that_leaves_a_weight_out(monkeypatch):
    class Idle(nn.Module):
        def __init__(self, spec, latent_dim):
            super().__init__()
            self.used, self.idle = nn.Linear(latent_dim, spec.size**2), nn.Linear(1, 1)
            self.shape = spec.shape

        def forward(self, z):
            return self.used(z).unflatten(1, self.shape)

    networks = {"generator": {"_target_": Idle}, "discriminator": {"_target_": Bare}}
    with pytest.raises(AssertionError, match=r"does not reach \['idle\.bias', 'idle\.weight'\]"):
        staged(networks, Conditioning(ImageSpec(1, 8, 3)))
