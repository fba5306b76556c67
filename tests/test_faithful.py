"""Recipes have their sources' networks: parameters, and images of the first forward pass.

The sources' counts were printed by their own code, their initialisations are written out here:
kwotsin/mimicry (sngan_32, cgan_pd_32, wgan_gp_32), w86763777/pytorch-gan-collections (cnn32),
mit-han-lab/data-efficient-gans (biggan-cifar10.sh), POSTECH-CVLab/PyTorch-StudioGAN
(CIFAR10/SAGAN.yaml), brownvc/R3GAN (preset CIFAR10), znxlwm/pytorch-generative-model-collections.
StyleGAN2's are by the formulas of NVlabs/stylegan2-ada-pytorch (training/networks.py).
"""

import functools
import math
from functools import partial

import pytest
import torch
from hydra.utils import instantiate
from torch import nn
from torch.nn.functional import batch_norm, conv2d, interpolate, one_hot
from torch.nn.init import normal_, orthogonal_, xavier_uniform_, zeros_
from torch.nn.utils.parametrizations import _SpectralNorm

from commands import completed
from ganlab.config.targets import locate
from ganlab.networks import BigGANGenerator, R3GANDiscriminator, R3GANGenerator
from ganlab.networks.conditional import ConditionalBatchNorm2d, tables
from ganlab.networks.layers import weighted
from ganlab.spec import ImageSpec

CIFAR, MNIST = ImageSpec(3, 32, classes=10), ImageSpec(1, 28, classes=10)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


composed = functools.cache(completed)


def players(recipe, *overrides):
    """The generator and, with the head of its conditioning, the discriminator of a recipe."""
    config = composed(f"experiment={recipe}", *overrides)
    spec = MNIST if recipe.startswith("znxlwm/") else CIFAR
    told, models = instantiate(config["conditioning"], spec), config["model"]
    takes_code = locate(models["generator"]["_target_"]).takes_code_dim
    code = {"code_dim": told.code_dim} if takes_code else {}
    g = instantiate(models["generator"], spec, config["latent"]["dim"] + told.code_dim, **code)
    told.attach(d := instantiate(models["discriminator"], told.shown))
    return g, nn.ModuleList([d, told])


def size(network):
    return sum(p.numel() for p in network.parameters())


# Parameters --------------------------------------------------------------------------------------

# Theirs also have biases in front of BatchNorms, which subtract them again: G's, D's.
SNDCGAN_BIASES = (16 * 512 + 256 + 128 + 64, 0)
INFOGAN_BIASES = (1024 + 128 * 7 * 7 + 64, 128 + 1024)
NONE = (0, 0)


def dense(fan_in, outputs):
    return fan_in * outputs + outputs


def conv(fan_in, outputs, k, *, bias=True):
    return fan_in * outputs * k * k + (outputs if bias else 0)


def mapping(noise, classes, layers, width=512):
    """Embedding of the label, then dense layers; the first sees noise and embedding."""
    first = noise + (width if classes else 0)
    embedding = dense(classes, width) if classes else 0
    return embedding + dense(first, width) + (layers - 1) * dense(width, width)


def stylegan2_g(classes, layers, stages=4, c=512, w=512):
    """At 4, 8, 16, 32 pixels: two convolutions (one at 4) and a share of the image."""
    modulated = dense(w, c) + conv(c, c, 3) + 1  # style, convolution, strength of the noise
    to_rgb = dense(w, c) + conv(c, 3, 1)
    constant = c * 4 * 4
    synthesis = constant + (2 * stages - 1) * modulated + stages * to_rgb
    return mapping(512, classes, layers) + synthesis


def stylegan2_d(classes, residual, halvings=3, c=512):
    skip = conv(c, c, 1, bias=False) if residual else 0
    blocks = conv(3, c, 1) + halvings * (2 * conv(c, c, 3) + skip)
    end = conv(c + 1, c, 3) + dense(c * 4 * 4, c)  # one more channel: the minibatch's deviation
    last = dense(c, c) + mapping(0, classes, 8) if classes else dense(c, 1)
    return blocks + end + last


COUNTS = {  # G's and D's parameters, as the sources' code counts them, and biases without effect
    "sngan": (4_276_739, 1_053_825, NONE),
    "sngan_projection": (4_304_387, 1_055_105, NONE),
    "wgan_gp": (4_276_739, 1_053_825, NONE),
    "sngan_cnn": (3_584_003, 5_860_865, SNDCGAN_BIASES),
    "biggan": (4_304_387, 4_207_361, NONE),
    "sagan": (4_386_308, 1_075_586, NONE),
    "r3gan": (20_781_952, 21_280_512, NONE),
    "stylegan2_ada": (stylegan2_g(10, 2), stylegan2_d(10, residual=False), NONE),
    "stylegan2_f": (stylegan2_g(0, 8), stylegan2_d(0, residual=True), NONE),
    "znxlwm/gan": (6_640_193, 6_559_169, INFOGAN_BIASES),
    "znxlwm/acgan": (6_650_433, 6_569_419, INFOGAN_BIASES),
    "znxlwm/infogan": (6_652_481, 6_571_469, INFOGAN_BIASES),
}


@pytest.mark.parametrize("recipe", COUNTS)
def test_the_players_have_as_many_parameters_as_their_sources(recipe):
    *theirs, unused = COUNTS[recipe]
    ours = [size(player) for player in players(recipe)]
    assert [n + biases for n, biases in zip(ours, unused, strict=True)] == theirs


def test_unconditional_stylegan2_ada_has_its_authors_parameters():
    """Of which the label takes its embedding, half of the mapping's first layer and D's mapping."""
    g, d = players("stylegan2_ada", "conditioning=none")
    assert (size(g), size(d)) == (stylegan2_g(0, 2), stylegan2_d(0, residual=False))
    assert (size(g), size(d)) == (19_947_539, 20_720_641)


def test_the_counts_reject_the_papers_own_networks():
    """Table 3 of SNGAN is another network than w86763777's, BigGAN another than its script's."""
    paper = ("model.generator.first_norm=false", "model.discriminator.doubling=after")
    g, d = players("sngan_cnn", *paper)
    assert (size(g), size(d)) == (3_582_531, 2_935_873)
    assert size(BigGANGenerator(CIFAR, 128 + 10, 10)) != COUNTS["biggan"][0]


def r3gan_sizes(width=768, stages=4, blocks=2, expansion=2, cardinality=96, z=64, classes=0):
    """G's and D's parameters by the layers of the authors' code (brownvc/R3GAN, Networks.py)."""
    inner, embedding = expansion * width, 64 if classes else 0
    grouped = inner * (inner // cardinality) * 3 * 3
    block = width * inner + inner + grouped + inner + inner * width  # biases of two activations
    body, pixels = stages * blocks * block, width * 3
    basis = width * 4 * 4
    g = classes * embedding + basis + (z + embedding) * width + body + pixels
    d = pixels + body + basis + width * (width if classes else 1) + classes * width
    return g, d


def test_r3gan_has_20_8_and_21_3_million_parameters_with_classes_and_none_to_spare_without():
    assert r3gan_sizes(classes=10) == COUNTS["r3gan"][:2] == (20_781_952, 21_280_512)
    with torch.device("meta"):
        plain = R3GANGenerator(CIFAR, 64), R3GANDiscriminator(CIFAR)
        dense = R3GANDiscriminator(CIFAR, group=32)
    assert tuple(map(size, plain)) == r3gan_sizes() == (20_732_160, 20_683_776)
    assert size(dense) != r3gan_sizes()[1]


def test_the_biggan_starts_from_its_scripts_normal_weights():
    """N(0, 0.02^2) for weights, gains and biases per class; the orthogonal start is rejected."""
    normal = lambda weight: weight.std().item() == pytest.approx(0.02, rel=0.1)
    for start, accepted in (((), True), (("model.generator.init=orthogonal",), False)):
        g, _ = players("biggan", *start)
        of_layers = [layer.parametrizations.weight.original for layer in weighted(g)]
        of_classes = [getattr(norm, name) for norm, name in tables(g)]
        assert len(of_layers) == 2 + 3 * 3
        assert len(of_classes) == 3 * 2 * 2
        assert all(map(normal, of_layers + of_classes)) is accepted
        assert all(layer.bias.any() for layer in weighted(g))  # as torch draws them


# The residual generators, written out -------------------------------------------------------------


def residual(layers, z, code, upsample):
    """Images before tanh, of noise (N, d) and one-hot code (N, K), by the layers' weights.

    `layers`: (weight, bias) of "dense", of "last" and of "conv1", "conv2" and "shortcut" of each
    block; in "norm1" and "norm2" the tables of gains, less 1, and of biases.
    """

    def normed(x, tables):
        of_code = (1 + code @ tables[0], code @ tables[1]) if tables else (1.0, 0.0)
        gain, bias = (t[..., None, None] if torch.is_tensor(t) else t for t in of_code)
        return (gain * batch_norm(x, None, None, training=True) + bias).relu()

    double = partial(interpolate, scale_factor=2, mode=upsample)
    weight, bias = layers["dense"]
    x = (z @ weight.T + bias).unflatten(1, (-1, 4, 4))
    for block in layers["blocks"]:
        h = conv2d(double(normed(x, block["norm1"])), *block["conv1"], padding=1)
        h = conv2d(normed(h, block["norm2"]), *block["conv2"], padding=1)
        x = h + conv2d(double(x), *block["shortcut"])
    return conv2d(batch_norm(x, None, None, training=True).relu(), *layers["last"], padding=1)


def layers_of(g):
    """What `residual` takes, of a ResNetGenerator."""
    pair = lambda layer: (layer.weight, layer.bias)
    table = lambda n: (n.gain, n.bias) if isinstance(n, ConditionalBatchNorm2d) else None
    convolutions = ("conv1", "conv2", "shortcut")
    blocks = [block for block in g.layers if hasattr(block, "conv1")]
    return {
        "dense": pair(g.layers[0]),
        "last": pair(g.layers[-2]),
        "blocks": [
            {name: pair(getattr(block, name)) for name in convolutions}
            | {name: table(getattr(block, name)) for name in ("norm1", "norm2")}
            for block in blocks
        ],
    }


WIDTH = 32  # of 256: as telling, and 64 times faster


def drawn(fill, *, of_class=None, zero_bias=False):
    """Layers as a source draws them: `fill(name, layer)` after torch's own start."""

    def layer(name, made):
        if zero_bias:
            zeros_(made.bias)
        return fill(name, made), made.bias

    def block():
        table = lambda: of_class(torch.empty(10, WIDTH))
        norm = lambda: (table(), table()) if of_class else None
        return {
            "conv1": layer("conv1", nn.Conv2d(WIDTH, WIDTH, 3)),
            "conv2": layer("conv2", nn.Conv2d(WIDTH, WIDTH, 3)),
            "shortcut": layer("shortcut", nn.Conv2d(WIDTH, WIDTH, 1)),
            "norm1": norm(),
            "norm2": norm(),
        }

    return {
        "dense": layer("dense", nn.Linear(128, WIDTH * 16)),
        "last": layer("last", nn.Conv2d(WIDTH, 3, 3)),
        "blocks": [block() for _ in range(3)],
    }


def over_sigma(weight):
    return weight / torch.linalg.matrix_norm(weight.flatten(1), 2)


def mimicry(name, layer):
    return xavier_uniform_(layer.weight, math.sqrt(2) if name in ("conv1", "conv2") else 1.0)


def mimicry_wgan_gp(name, layer):
    """It makes shortcuts anew and leaves the last convolution as torch draws it."""
    return layer.weight if name in ("shortcut", "last") else mimicry(name, layer)


def before(name, layer):
    """Our own Glorot until it was compared: gain sqrt 2 in the last convolution, too."""
    return xavier_uniform_(layer.weight, 1.0 if name in ("shortcut", "dense") else math.sqrt(2))


ORTHOGONAL = {
    "fill": lambda name, layer: over_sigma(orthogonal_(layer.weight)),
    "of_class": lambda table: over_sigma(orthogonal_(table)),
    "zero_bias": True,
}
NORMAL = {
    "fill": lambda name, layer: over_sigma(normal_(layer.weight, std=0.02)),
    "of_class": partial(normal_, std=0.02),
}
SOURCES = {  # upsampling, initialisation, and one that must be told apart
    "sngan": ("bilinear", {"fill": mimicry}, {"fill": before, "zero_bias": True}),
    "wgan_gp": ("bilinear", {"fill": mimicry_wgan_gp}, {"fill": mimicry}),
    "biggan": ("nearest", NORMAL, {"fill": before, "zero_bias": True}),
    "sagan": ("nearest", ORTHOGONAL, {"fill": before, "zero_bias": True}),
}


def inputs(n=16):
    return torch.randn(n, 128), one_hot(torch.randint(10, (n,)), 10).float()


def asked_of(g, z, code):
    return torch.cat([z, code], dim=1) if g.code_dim else z


def still(g):
    """The generator in training, as it draws its first images; spectral norm estimates no more."""
    for module in g.train().modules():
        if isinstance(module, _SpectralNorm):
            module.eval()
    return g


@pytest.mark.parametrize("recipe", SOURCES)
def test_the_residual_generators_are_the_sources_functions(recipe):
    """The same images of the same weights; the other upsampling is rejected."""
    g, (z, code) = still(players(recipe, f"model.generator.width={WIDTH}")[0]), inputs()
    upsample, other = SOURCES[recipe][0], {"nearest": "bilinear", "bilinear": "nearest"}
    with torch.no_grad():
        got, layers = g(asked_of(g, z, code)), layers_of(g)
        want, wrong = (residual(layers, z, code, up).tanh() for up in (upsample, other[upsample]))
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)
    assert (got - wrong).abs().max() > 0.1


def first_images(draw, draws=10):
    """Mean over `draws` initialisations of log std before tanh, and share of |pixels| > 0.99."""
    with torch.no_grad():
        images = [draw(*inputs()) for _ in range(draws)]
    saturated = sum((x.tanh().abs() > 0.99).float().mean().item() for x in images) / draws
    return sum(x.std().log().item() for x in images) / draws, saturated


def of_ours(recipe):
    def draw(z, code):
        g = still(players(recipe, f"model.generator.width={WIDTH}")[0])
        return residual(layers_of(g), z, code, SOURCES[recipe][0])

    return draw


@pytest.mark.parametrize("recipe", SOURCES)
def test_the_first_images_are_like_the_sources(recipe):
    """In the spread before tanh, and in the share of saturated pixels; another start is not."""
    upsample, source, other = SOURCES[recipe]
    spread, saturated = first_images(of_ours(recipe))
    draw = lambda made: lambda z, code: residual(drawn(**made), z, code, upsample)
    theirs, theirs_saturated = first_images(draw(source))
    wrong, _ = first_images(draw(other))
    assert spread == pytest.approx(theirs, abs=0.12)
    assert abs(wrong - theirs) > 0.24
    assert abs(saturated - theirs_saturated) < 0.01


# The convolutional networks, written out ----------------------------------------------------------


def filled(plain, network):
    """The layers with the network's parameters and buffers, one after the other."""
    values = [value for value in network.state_dict().values() if value.numel()]
    plain.load_state_dict(dict(zip(plain.state_dict(), values, strict=True)))
    return plain


def cnn32():
    """w86763777's generator of cnn32, without biases in front of BatchNorms."""

    def raised(fan_in):
        up = nn.ConvTranspose2d(fan_in, fan_in // 2, 4, 2, 1, bias=False)
        return [up, nn.BatchNorm2d(fan_in // 2), nn.ReLU()]

    plain = nn.Sequential(
        nn.Linear(100, 512 * 16, bias=False),
        nn.Unflatten(1, (512, 4, 4)),
        nn.BatchNorm2d(512),
        nn.ReLU(),
        *(layer for fan_in in (512, 256, 128) for layer in raised(fan_in)),
        nn.Conv2d(64, 3, 3, 1, 1),
    )
    for layer in weighted(plain):
        normal_(layer.weight, std=0.02)
        if layer.bias is not None:
            zeros_(layer.bias)
    return plain


def cnn32_discriminator(slope=0.1):
    halved = lambda fan_in: (
        nn.Conv2d(fan_in, 2 * fan_in, 4, 2, 1),
        nn.LeakyReLU(slope),
        nn.Conv2d(2 * fan_in, 2 * fan_in, 3, 1, 1),
        nn.LeakyReLU(slope),
    )
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 1, 1),
        nn.LeakyReLU(slope),
        *(layer for fan_in in (64, 128, 256) for layer in halved(fan_in)),
        nn.Flatten(),
        nn.Linear(512 * 16, 1),
    )


def znxlwm_discriminator(slope=0.2):
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1),
        nn.LeakyReLU(slope),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False),
        nn.BatchNorm2d(128),
        nn.LeakyReLU(slope),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, 1024, bias=False),
        nn.BatchNorm1d(1024),
        nn.LeakyReLU(slope),
        nn.Linear(1024, 1),
    )


def znxlwm_generator():
    plain = nn.Sequential(
        nn.Linear(62, 1024, bias=False),
        nn.BatchNorm1d(1024),
        nn.ReLU(),
        nn.Linear(1024, 128 * 7 * 7, bias=False),
        nn.BatchNorm1d(128 * 7 * 7),
        nn.ReLU(),
        nn.Unflatten(1, (128, 7, 7)),
        nn.ConvTranspose2d(128, 64, 4, 2, 1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, 2, 1),
    )
    for layer in weighted(plain):
        normal_(layer.weight, std=0.02)
    return plain


def spread(images):
    return images.clamp(-1 + 1e-6, 1 - 1e-6).atanh().std().item()


@pytest.mark.parametrize(
    ("recipe", "plain", "latents"),
    [
        ("sngan_cnn", cnn32, lambda: torch.randn(8, 100)),
        ("znxlwm/gan", znxlwm_generator, lambda: torch.rand(8, 62)),
    ],
)
@torch.no_grad()
def test_the_convolutional_generators_are_their_sources(recipe, plain, latents):
    """The same images of the same weights, and first images of the same spread."""
    z, (g, _) = latents(), players(recipe)
    images = g(z)
    torch.testing.assert_close(filled(plain(), g)(z).tanh(), images, rtol=1e-4, atol=1e-5)
    theirs = sum(plain()(latents()).std().item() for _ in range(4)) / 4
    ours = sum(spread(players(recipe)[0](latents())) for _ in range(4)) / 4
    assert ours == pytest.approx(theirs, rel=0.15)
    gains = [m.weight for m in g.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert all((gain == 1).all() for gain in gains)


@pytest.mark.parametrize(
    ("make", "plain", "other", "shape"),
    [
        (
            lambda: players("sngan_cnn", "model.discriminator.norm=none")[1][0],
            cnn32_discriminator,
            0.2,
            (2, 3, 32, 32),
        ),
        (
            lambda: players("znxlwm/gan")[1][0],
            znxlwm_discriminator,
            0.1,
            (4, 1, 28, 28),
        ),
    ],
    ids=["sngan_cnn", "znxlwm"],
)
@torch.no_grad()
def test_the_discriminators_are_their_sources(make, plain, other, shape):
    """The same logits of the same weights; another slope of LeakyReLU is rejected."""
    x, d = torch.randn(shape), make()
    for layer in weighted(d):
        layer.weight *= 3  # 0.02 makes logits too small to compare
    logits = d(x)
    torch.testing.assert_close(filled(plain(), d)(x).flatten(), logits, rtol=1e-3, atol=1e-5)
    assert not torch.allclose(filled(plain(other), d)(x).flatten(), logits, rtol=0.02)
