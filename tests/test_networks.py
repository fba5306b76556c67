"""Every network: shapes, ranges, gradients, sizes it refuses, and what its normalisation mixes."""

import copy
import inspect
import itertools
import math
import statistics

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate, max_pool2d
from torch.nn.utils import parametrize

from ganlab.networks import (
    AutoencoderDiscriminator,
    BigGANGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    ResNetDiscriminator,
    ResNetGenerator,
    SNDCGANDiscriminator,
    SNDCGANGenerator,
    ToyDiscriminator,
    TutorialDiscriminator,
    TutorialGenerator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.networks.attention import SelfAttention
from ganlab.networks.conditional import CONDITIONAL_NORMS, ConditionalBatchNorm2d
from ganlab.networks.discriminator import (
    FeatureDiscriminator,
    MinibatchDiscrimination,
    MinibatchStd,
)
from ganlab.networks.layers import NORMS, GaussianNoise, needs_bias, power_of_two
from ganlab.networks.resnet import DownBlock, Pool, UpBlock
from ganlab.spec import ImageSpec
from ganlab.training.ema import EMA

LATENT = 6


def attentive(network):
    """The network with an attention that does something: gamma starts at 0."""
    for module in network.modules():
        if isinstance(module, SelfAttention):
            module.gamma.data.fill_(0.5)
    return network


MAKERS = {  # small ones; the infogan has no width to choose
    "vanilla": (
        lambda spec: VanillaGenerator(spec, LATENT, hidden=(8, 16)),
        lambda spec: VanillaDiscriminator(spec, hidden=(16, 8)),
    ),
    "dcgan": (
        lambda spec: DCGANGenerator(spec, LATENT, width=4),
        lambda spec: DCGANDiscriminator(spec, width=4),
    ),
    "infogan": (
        lambda spec: InfoGANGenerator(spec, LATENT),
        InfoGANDiscriminator,
    ),
    "sndcgan": (
        lambda spec: SNDCGANGenerator(spec, LATENT, width=4),
        lambda spec: SNDCGANDiscriminator(spec, width=4),
    ),
    "resnet": (
        lambda spec: ResNetGenerator(spec, LATENT, width=8),
        lambda spec: ResNetDiscriminator(spec, width=8),
    ),
    "sagan": (
        lambda spec: attentive(
            ResNetGenerator(spec, LATENT, width=8, spectral=True, attention=True)
        ),
        lambda spec: attentive(ResNetDiscriminator(spec, width=8, attention=True)),
    ),
    "biggan": (
        lambda spec: attentive(BigGANGenerator(spec, LATENT, width=8, attention=True)),
        lambda spec: ResNetDiscriminator(spec, width=8, init="orthogonal"),
    ),
    "autoencoder": (  # no generator of its own
        lambda spec: VanillaGenerator(spec, LATENT, hidden=(8, 16)),
        lambda spec: AutoencoderDiscriminator(spec, width=4, code=3),
    ),
}
SIZES = {
    "vanilla": (5, 8, 20, 28, 64),
    "dcgan": (8, 16, 28, 32, 64),
    "infogan": (16, 20, 28, 32, 64),
    "sndcgan": (8, 16, 32, 64),
    "resnet": (8, 16, 32, 64),
    "sagan": (8, 16, 32, 64),
    "biggan": (8, 16, 32, 64),
    "autoencoder": (8, 20, 28, 64),
}
CASES = [
    pytest.param(name, ImageSpec(channels, size), id=f"{name}-{channels}x{size}")
    for name, sizes in SIZES.items()
    for size in sizes
    for channels in (1, 3)
]
every_network = pytest.mark.parametrize(("name", "spec"), CASES)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def made(name, spec):
    return tuple(maker(spec) for maker in MAKERS[name])


def unreached(network, outputs):
    """Names of the parameters to which no gradient comes back from `outputs`."""
    network.zero_grad()
    (outputs * torch.randn_like(outputs)).sum().backward()
    return [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@every_network
def test_images_and_logits_have_their_shapes_and_gradients_reach_every_parameter(name, spec):
    generator, discriminator = made(name, spec)
    images = generator(torch.randn(4, LATENT))
    assert images.shape == (4, *spec.shape)
    assert images.abs().max() <= 1
    assert not unreached(generator, images)
    logits = discriminator(images.detach())
    assert logits.shape == (4,)
    assert not unreached(discriminator, logits)
    with torch.no_grad():  # one image is a batch, too
        assert generator.eval()(torch.randn(1, LATENT)).shape == (1, *spec.shape)
        assert discriminator.eval()(images[:1]).shape == (1,)


@pytest.mark.parametrize("name", MAKERS)
def test_images_stay_in_range_and_logits_do_not(name):
    """Extreme noise comes out at -1 and 1 (a network without tanh is rejected); logits are free."""
    generator, discriminator = made(name, ImageSpec(1, 16))
    for parameter in generator.parameters():
        parameter.data *= 100
    images = generator.eval()(torch.randn(8, LATENT) * 1e3)
    assert images.abs().max() == 1
    for parameter in discriminator.parameters():
        parameter.data *= 10
    assert discriminator.eval()(images * 1e3).abs().max() > 1


def test_the_check_of_gradients_sees_a_parameter_left_out():
    """What the check above is for: a layer that takes no part."""
    generator = MAKERS["dcgan"][0](ImageSpec(1, 8))
    generator.spare = nn.Linear(2, 2)
    assert unreached(generator, generator(torch.randn(2, LATENT))) == ["spare.weight", "spare.bias"]


@pytest.mark.parametrize("name", MAKERS)
def test_images_depend_on_the_noise(name):
    generator = made(name, ImageSpec(1, 16))[0].eval()
    z = torch.randn(2, LATENT)
    a, b = generator(z)
    assert not torch.equal(a, b)
    assert torch.equal(generator(z), generator(z))


@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("size", [1, 4, 7, 14, 20, 24, 28, 30, 48, 56])
@pytest.mark.parametrize(("name", "also"), [("dcgan", "28 or "), ("sndcgan", ""), ("resnet", "")])
def test_sizes_that_no_doubling_leads_to_are_refused(name, also, size, player):
    """The dcgan alone takes 28, from 7."""
    if size == 28 and also:
        MAKERS[name][player](ImageSpec(3, size))
        return
    with pytest.raises(ValueError) as error:
        MAKERS[name][player](ImageSpec(3, size))
    assert str(error.value) == (
        f"{name} takes images of size {also}8, 16, 32, 64, 128, ...; got 3 x {size} x {size}"
    )


def test_powers_of_two_count_the_doublings_from_4_pixels():
    sizes = (8, 16, 32, 64, 128, 256, 512, 1024)
    assert [power_of_two(ImageSpec(1, size), "any") for size in sizes] == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("size", [2, 14, 27, 30])
def test_infogan_refuses_sizes_that_are_no_multiple_of_4(size, player):
    with pytest.raises(ValueError) as error:
        MAKERS["infogan"][player](ImageSpec(1, size))
    assert str(error.value) == (
        f"infogan takes images whose size is a multiple of 4, got 1 x {size} x {size}"
    )


NORMED = {  # every network that has a norm to choose
    "vanilla-g": lambda spec, norm: VanillaGenerator(spec, LATENT, hidden=(8,), norm=norm),
    "vanilla-d": lambda spec, norm: VanillaDiscriminator(spec, (16, 8), dropout=0, norm=norm),
    "dcgan-g": lambda spec, norm: DCGANGenerator(spec, LATENT, width=4, norm=norm),
    "dcgan-d": lambda spec, norm: DCGANDiscriminator(spec, width=4, norm=norm),
    "infogan-d": lambda spec, norm: InfoGANDiscriminator(spec, norm=norm),
    "sndcgan-g": lambda spec, norm: SNDCGANGenerator(spec, LATENT, width=4, norm=norm),
    "sndcgan-d": lambda spec, norm: SNDCGANDiscriminator(spec, width=4, norm=norm),
    "resnet-g": lambda spec, norm: ResNetGenerator(spec, LATENT, width=8, norm=norm),
    "resnet-d": lambda spec, norm: ResNetDiscriminator(spec, width=8, norm=norm),
    "sagan-d": lambda spec, norm: attentive(
        ResNetDiscriminator(spec, width=8, norm=norm, attention=True)
    ),
    "autoencoder-d": lambda spec, norm: AutoencoderDiscriminator(spec, 4, 3, norm=norm),
}
DENSE = ("vanilla-g", "vanilla-d", "infogan-d", "autoencoder-d")  # with hidden layers of features
IMAGELESS = ("vanilla-g", "vanilla-d", "autoencoder-d")  # without a norm of feature maps
every_normed = pytest.mark.parametrize("name", NORMED)


@pytest.mark.parametrize("size", [8, 16])
@every_normed
def test_an_unknown_norm_is_refused(name, size):
    """At size 8 as well, where the dcgan's discriminator has no layer to normalise."""
    with pytest.raises(ValueError) as error:
        NORMED[name](ImageSpec(1, size), "instance")
    kinds = CONDITIONAL_NORMS if name == "resnet-g" else NORMS
    assert str(error.value) == f"norm must be one of {', '.join(kinds)}; got 'instance'"


def kinds(network):
    names = {type(module).__name__ for module in network.modules()}
    return names & {"BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"}


@every_normed
def test_norms_are_what_was_asked_for(name):
    """One kind for images, one for features; norms of weights on every layer with any, or none."""
    of_images = {"batch": "BatchNorm2d", "layer": "GroupNorm"} if name not in IMAGELESS else {}
    of_features = {"batch": "BatchNorm1d", "layer": "LayerNorm"} if name in DENSE else {}
    for norm in NORMS:
        network = NORMED[name](ImageSpec(1, 16), norm)
        assert kinds(network) == {of.get(norm) for of in (of_images, of_features)} - {None}
        of_weights = [reparametrizations(module) for module in weighted(network)]
        assert len(of_weights) >= 2
        want = {"spectral": ["_SpectralNorm"], "weight": ["_WeightNorm"]}.get(norm, [])
        assert all(found == want for found in of_weights)


def reparametrizations(module):
    if not parametrize.is_parametrized(module):
        return []
    return [type(m).__name__ for m in module.parametrizations["weight"]]


def weighted(network):
    """All layers that multiply by a weight."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    return [module for module in network.modules() if isinstance(module, kinds)]


def given_to(name, n, size=16):
    return torch.randn(n, LATENT) if name.endswith("-g") else torch.randn(n, 1, size, size)


def among_others(network, name):
    """What one input gives in training mode, among four others and among another four.

    Each time by a fresh copy: a training pass moves spectral norm's estimates.
    """
    first, *others = (given_to(name, n).double() for n in (1, 4, 4))
    copies = [copy.deepcopy(network).double().train() for _ in others]
    return [net(torch.cat([first, other]))[0] for net, other in zip(copies, others, strict=True)]


@pytest.mark.parametrize("norm", ["layer", "none", "spectral", "weight"])
@every_normed
def test_without_batchnorm_each_image_is_judged_and_made_by_itself(name, norm):
    a, b = among_others(NORMED[name](ImageSpec(1, 16), norm), name)
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


@every_normed
def test_with_batchnorm_the_neighbours_change_the_output(name):
    """What the check above is for: it rejects every network with norm=batch."""
    a, b = among_others(NORMED[name](ImageSpec(1, 16), "batch"), name)
    assert (a - b).abs().max() > 1e-4 * a.abs().max()


def singular_values(network):
    """The largest singular value of each layer's weight as a matrix, a row per output."""
    rows = lambda m: m.weight.transpose(0, 1) if isinstance(m, nn.ConvTranspose2d) else m.weight
    with torch.no_grad():
        matrices = [rows(module).flatten(1) for module in weighted(network.eval())]
        return torch.stack([torch.linalg.matrix_norm(matrix, 2) for matrix in matrices])


def originals(network):
    """What spectral norm divides and the optimizer moves."""
    return [module.parametrizations.weight.original for module in weighted(network)]


@every_normed
def test_spectral_norm_brings_each_largest_singular_value_to_1(name):
    """By training passes alone: after a jump of all weights, evaluation changes no estimate."""
    network, plain = (NORMED[name](ImageSpec(1, 8), norm) for norm in ("spectral", "none"))
    inputs = given_to(name, 2, size=8)
    for weight in originals(network):
        nn.init.normal_(weight, mean=1.0)  # one direction stands out: iterations converge
    off = lambda network: (singular_values(network) - 1).abs()
    for train, near in ((False, False), (True, True)):
        network.train(train)
        with torch.no_grad():
            for _ in range(50):
                network(inputs)
        assert ((off(network) < 1e-2) == near).all()
    assert off(plain).mean() > 0.1
    assert len(off(plain)) == len(originals(network))


@every_normed
def test_spectral_norm_ignores_the_weights_scale_and_follows_the_rest(name):
    """What distinguishes W / sigma(W) from W: ten times the weight is the same layer."""
    network = NORMED[name](ImageSpec(1, 16), "spectral").double().eval()
    inputs = given_to(name, 3).double()
    before = network(inputs)
    for weight in originals(network):
        weight.data *= 10
    torch.testing.assert_close(network(inputs), before, rtol=1e-9, atol=1e-12)
    for weight in originals(network):
        weight.data += weight.std(correction=0) * torch.randn_like(weight)
    assert (network(inputs) - before).abs().max() > 1e-3 * before.abs().max()


@every_normed
def test_spectral_norm_survives_a_round_trip_and_a_copy(name):
    """Its singular vectors are part of the state; another start gives other outputs."""
    network, other = (NORMED[name](ImageSpec(1, 16), "spectral") for _ in range(2))
    inputs = given_to(name, 3)
    for _ in range(3):
        network.train()(inputs)
    want = network.eval()(inputs)
    assert not torch.equal(other.eval()(inputs), want)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(inputs), want)
    assert torch.equal(copy.deepcopy(network)(inputs), want)


def test_the_moving_average_follows_a_generator_with_spectral_norm():
    """With decay 0 it is the generator itself, singular vectors included."""
    generator = NORMED["resnet-g"](ImageSpec(1, 16), "spectral").train()
    average, z = EMA(generator, decay=0.0), torch.randn(3, LATENT)
    for parameter in generator.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    generator(z)
    want = generator.eval()(z)
    assert not torch.equal(average.network(z), want)
    average.begin(1)
    average.update(generator)
    torch.testing.assert_close(average.network(z), want)
    assert not any(p.requires_grad for p in average.network.parameters())


def test_spectral_norm_starts_from_the_initialised_weights():
    """Normalising torch's own start first would leave singular vectors of other weights."""
    network = NORMED["sndcgan-d"](ImageSpec(1, 16), "spectral")
    assert all(weight.std() < 0.03 for weight in originals(network))
    assert ((singular_values(network) - 1).abs() < 0.1).all()


def plain_parameters(network):
    """Named parameters as they were before any reparametrization, except by the spectral norm."""
    for module in weighted(network):
        if "_WeightNorm" in reparametrizations(module):
            parametrize.remove_parametrizations(module, "weight")
    return list(network.named_parameters())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("g", "d"),
    [(DCGANGenerator, DCGANDiscriminator), (SNDCGANGenerator, SNDCGANDiscriminator)],
    ids=["dcgan", "sndcgan"],
)
def test_convolutional_networks_start_from_the_papers_initialisation(g, d, norm):
    """Weights ~ N(0, 0.02^2), gains ~ N(1, 0.02^2), biases 0; torch's own start is rejected.

    The gains of the SNDCGAN are 1.
    """
    spec = ImageSpec(3, 32)
    for network in (g(spec, 100, width=32, norm=norm), d(spec, 32, norm)):
        for name, p in plain_parameters(network):
            if name.endswith("bias"):
                assert not p.any(), name
                continue
            if g is SNDCGANGenerator and p.ndim == 1:
                assert (p == 1).all(), name
                continue
            mean = 1.0 if p.ndim == 1 else 0.0
            error = 5 * 0.02 / p.numel() ** 0.5
            assert p.mean().item() == pytest.approx(mean, abs=error), name
            assert p.std().item() == pytest.approx(0.02, abs=error), name
    assert nn.Conv2d(3, 32, 4).weight.std() > 2 * 0.02


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("player", ["resnet-g", "resnet-d"])
def test_resnet_starts_from_glorots_initialisation(player, norm):
    """U(-a, a), a = gain sqrt(6 / (fan in + fan out)); gain sqrt 2 in the blocks' 3 x 3 kernels.

    G's last convolution has gain 1, as in the Chainer code; sqrt 2 is rejected.
    """
    network = NORMED[player](ImageSpec(3, 32), norm)
    for module in weighted(network):
        spectral = "_SpectralNorm" in reparametrizations(module)
        weight = module.parametrizations.weight.original if spectral else module.weight
        places = math.prod(weight.shape[2:])
        gain = math.sqrt(2) if places == 9 and len(weight) > 3 else 1
        a = gain * math.sqrt(6 / (places * (weight.shape[0] + weight.shape[1])))
        assert weight.abs().max() <= a
        if weight.numel() > 500:
            assert weight.abs().max() > 0.9 * a
            assert weight.std().item() == pytest.approx(a / math.sqrt(3), rel=0.1)
        assert not module.bias.any()
    assert nn.Conv2d(8, 8, 3).weight.abs().max() < 0.75 * math.sqrt(2 * 6 / (9 * 16))


def parameters(network):
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts_are_those_of_the_papers():
    """Counted by hand from the layers; any forgotten or doubled layer changes them."""
    dense = lambda *widths: sum((a + 1) * b for a, b in itertools.pairwise(widths))
    spec = ImageSpec(1, 28)
    assert parameters(VanillaGenerator(spec, 100)) == dense(100, 256, 512, 1024, 784)
    assert parameters(VanillaDiscriminator(spec)) == dense(784, 1024, 512, 256, 1)
    conv, norm = 4 * 4, 2
    assert parameters(InfoGANGenerator(spec, 62)) == (
        (62 * 1024 + norm * 1024)
        + (1024 * 6272 + norm * 6272)
        + (conv * 128 * 64 + norm * 64)
        + (conv * 64 + 1)
    )
    assert parameters(InfoGANDiscriminator(spec)) == (
        (conv * 64 + 64) + (conv * 64 * 128 + norm * 128) + (6272 * 1024 + norm * 1024) + (1024 + 1)
    )
    places = 64 * 14 * 14
    assert parameters(AutoencoderDiscriminator(spec)) == (
        (conv * 64 + 64) + (places + 1) * 32 + (32 * places + norm * places) + (conv * 64 + 1)
    )
    spec = ImageSpec(3, 64)  # the paper's figure 1
    assert parameters(DCGANGenerator(spec, 100, width=128)) == (
        (conv * 100 * 1024 + norm * 1024)
        + (conv * 1024 * 512 + norm * 512)
        + (conv * 512 * 256 + norm * 256)
        + (conv * 256 * 128 + norm * 128)
        + (conv * 128 * 3 + 3)
    )
    assert parameters(DCGANDiscriminator(spec, width=64)) == (
        (conv * 3 * 64 + 64)
        + (conv * 64 * 128 + norm * 128)
        + (conv * 128 * 256 + norm * 256)
        + (conv * 256 * 512 + norm * 512)
        + (conv * 512 + 1)
    )


def test_parameter_counts_of_the_residual_networks_are_the_published_ones():
    """Those of the Chainer and mimicry networks for CIFAR-10, and the same counted by hand."""
    spec = ImageSpec(3, 32)
    conv = lambda k, a, b: k * k * a * b + b
    up = 2 * 256 + conv(3, 256, 256) + 2 * 256 + conv(3, 256, 256) + conv(1, 256, 256)
    g = (128 + 1) * 16 * 256 + 3 * up + 2 * 256 + conv(3, 256, 3)
    assert parameters(ResNetGenerator(spec, 128)) == g == 4_276_739
    same = 2 * conv(3, 128, 128)
    first = conv(3, 3, 128) + conv(3, 128, 128) + conv(1, 3, 128)
    d = first + (same + conv(1, 128, 128)) + same + same + 129
    assert parameters(ResNetDiscriminator(spec)) == d == 1_053_825
    assert all(map(parametrize.is_parametrized, weighted(ResNetDiscriminator(spec))))


def test_the_residual_networks_normalise_before_every_relu_but_the_first_blocks():
    """Two norms a block and one at the end; pixels are not normalised."""
    for name, norms in (("resnet-g", 3 * 2 + 1), ("resnet-d", 4 * 2 - 1 + 1)):
        network = NORMED[name](ImageSpec(3, 32), "layer")
        assert sum(isinstance(module, nn.GroupNorm) for module in network.modules()) == norms


def table_3_generator():
    """Miyato et al. 2018, appendix B.4, table 3 (a), for 32 x 32: M_g = 4."""
    return nn.Sequential(
        nn.Linear(128, 4 * 4 * 512),
        nn.Unflatten(1, (512, 4, 4)),
        nn.ConvTranspose2d(512, 256, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 128, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.Conv2d(64, 3, 3, stride=1, padding=1),
        nn.Tanh(),
    )


def table_3_discriminator(slope=0.1):
    """Table 3 (b), without its spectral normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, stride=1, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(64, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(64, 128, 3, stride=1, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(128, 128, 4, stride=2, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(128, 256, 3, stride=1, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(256, 256, 4, stride=2, padding=1),
        nn.LeakyReLU(slope),
        nn.Conv2d(256, 512, 3, stride=1, padding=1),
        nn.LeakyReLU(slope),
        nn.Flatten(),
        nn.Linear(512 * 4 * 4, 1),
    )


def filled(table, network):
    """The table's layers with the network's weights, one after the other."""
    pairs = zip(table.state_dict(), network.state_dict().values(), strict=True)
    table.load_state_dict(dict(pairs))
    return table


def test_the_sndcgan_is_table_3():
    """Layer for layer: the same shapes, and the same images and logits; slope 0.2 is rejected."""
    spec = ImageSpec(3, 32)
    generator, z = SNDCGANGenerator(spec, 128), torch.randn(4, 128)
    images = filled(table_3_generator(), generator)(z)
    assert images.std() > 0.1
    torch.testing.assert_close(generator(z), images, rtol=1e-4, atol=1e-5)
    discriminator, x = SNDCGANDiscriminator(spec, norm="none"), torch.randn(2, 3, 32, 32)
    for parameter in discriminator.parameters():  # 0.02 makes logits too small to compare
        parameter.data *= 3
    logits = discriminator(x)
    got = filled(table_3_discriminator(), discriminator)(x).flatten()
    torch.testing.assert_close(got, logits, rtol=1e-4, atol=0)
    wrong = filled(table_3_discriminator(0.2), discriminator)(x).flatten()
    assert ((wrong - logits).abs() > 0.01 * logits.abs()).any()
    spectral = {n: p.shape for n, p in SNDCGANDiscriminator(spec).named_parameters()}
    rename = lambda name: name.replace("weight", "parametrizations.weight.original")
    plain = {rename(n): p.shape for n, p in discriminator.named_parameters()}
    assert spectral == plain  # the norm by default, of the same layers


def lively(block):
    """The block in float64 with biases and norms that are not at their start."""
    for parameter in block.double().parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return block


def paper_up(block, x, double):
    """Doubling in front of both the first convolution and the shortcut's."""
    h = block.conv1(double(block.norm1(x).relu()))
    return block.conv2(block.norm2(h).relu()) + block.shortcut(double(x))


@pytest.mark.parametrize("norm", NORMS[:2])
def test_the_upblock_is_the_papers_though_its_shortcut_is_computed_before_doubling(norm):
    """A 1x1 convolution commutes with repeating pixels; zeros between them are rejected."""
    block, x = lively(UpBlock(6, 4, norm)), torch.randn(3, 6, 5, 5).double()
    twice = lambda x: interpolate(x, scale_factor=2, mode="nearest")
    got = block(x)
    torch.testing.assert_close(got, paper_up(block, x, twice), rtol=1e-6, atol=1e-9)
    zeros = twice(torch.zeros(1, 1, 5, 5).double())
    zeros[..., ::2, ::2] = 1
    wrong = paper_up(block, x, lambda x: twice(x) * zeros)
    assert (got - wrong).abs().max() > 0.1


def paper_down(block, x, halve=lambda x: avg_pool2d(x, 2)):
    """Halving behind both the second convolution and the shortcut's, if at all."""
    h = x if block.first else block.norm1(x).relu()
    h = block.conv2(block.norm2(block.conv1(h)).relu()) + block.shortcut(x)
    return halve(h) if block.down else h


@pytest.mark.parametrize("norm", ["none", "layer"])
@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize(("down", "fan_in"), [(True, 6), (True, 4), (False, 6), (False, 4)])
def test_the_downblock_is_the_papers_though_its_shortcut_is_computed_after_halving(
    down, fan_in, first, norm
):
    """A 1x1 convolution commutes with averaging; with the maximum it would not."""
    block = lively(DownBlock(fan_in, 4, norm, down=down, first=first))
    x = torch.randn(3, fan_in, 6, 6).double()
    got = block(x)
    assert got.shape == ((3, 4, 3, 3) if down else (3, 4, 6, 6))
    torch.testing.assert_close(got, paper_down(block, x), rtol=1e-6, atol=1e-9)
    if down:
        assert (got - paper_down(block, x, lambda x: max_pool2d(x, 2))).abs().max() > 0.1
    learned = isinstance(block.shortcut, nn.Conv2d)
    assert learned == (down or fan_in != 4)
    block.first = not first  # a ReLU in front of pixels, or none in front of features
    assert (got - block(x)).abs().max() > 0.1


@pytest.mark.parametrize(
    ("size", "halvings", "side"), [(8, 1, 4), (16, 1, 8), (32, 2, 8), (64, 3, 8)]
)
def test_the_residual_discriminator_sums_over_places(size, halvings, side):
    """Table 4: blocks in order, ReLU, a global sum, a dense layer; the mean is rejected."""
    d = lively(ResNetDiscriminator(ImageSpec(3, size), width=4, norm="none"))
    x = torch.randn(2, 3, size, size).double()
    blocks = [module for module in d.features if isinstance(module, DownBlock)]
    assert [block.down for block in blocks] == [True] * halvings + [False] * 2
    assert [block.first for block in blocks] == [True] + [False] * (halvings + 1)
    h = x
    for block in blocks:
        h = paper_down(block, h)
    assert h.shape == (2, 4, side, side)
    logit = lambda pooled: (pooled @ d.head.weight.T + d.head.bias).flatten()
    torch.testing.assert_close(d(x), logit(h.relu().sum(dim=(2, 3))), rtol=1e-6, atol=1e-9)
    mean = logit(h.relu().mean(dim=(2, 3)))
    assert not torch.allclose(d(x), mean, rtol=0.01)
    d.features[-1] = Pool("mean")
    torch.testing.assert_close(d(x), mean, rtol=1e-6, atol=1e-9)


CLASSES = 3


def of_class(label, noise):
    """Noise followed by the one-hot class."""
    code = nn.functional.one_hot(torch.full((len(noise),), label), CLASSES)
    return torch.cat([noise, code.to(noise)], dim=1)


@pytest.mark.parametrize("train", [True, False])
def test_conditional_batchnorm_is_a_batchnorm_for_each_class(train):
    """Each image by the gain and bias of its own class; those of another class are rejected."""
    norm = lively(ConditionalBatchNorm2d(4, CLASSES)).train(train)
    norm.norm.running_mean.normal_()
    x, labels = 3 * torch.randn(6, 4, 5, 5).double() + 1, torch.tensor([0, 1, 2, 2, 1, 0])
    got = copy.deepcopy(norm)(x, nn.functional.one_hot(labels).double())
    for label in range(CLASSES):
        plain = nn.BatchNorm2d(4).double().train(train)
        plain.load_state_dict(plain.state_dict() | norm.norm.state_dict())
        plain.weight.data, plain.bias.data = 1 + norm.gain[label], norm.bias[label]
        want = plain(x)
        torch.testing.assert_close(got[labels == label], want[labels == label])
        assert ((got - want)[labels != label].abs().amax(dim=(1, 2, 3)) > 0.01).all()


def test_conditional_batchnorm_takes_mixtures_of_codes():
    """What infoGAN's continuous codes need: linear in the code, and BatchNorm where it is 0."""
    norm, x = lively(ConditionalBatchNorm2d(4, 2)), torch.randn(6, 4, 5, 5).double()
    a, b = torch.randn(2, 6, 2).double()
    zero = norm(x, 0 * a)
    torch.testing.assert_close(norm(x, a + b) - zero, norm(x, a) + norm(x, b) - 2 * zero)
    torch.testing.assert_close(zero, nn.BatchNorm2d(4).double()(x))


def test_without_a_code_conditional_batchnorm_is_batchnorm():
    """Bit for bit, parameters and images; it starts as one with a code, too, for any class."""
    torch.manual_seed(1)
    got = ResNetGenerator(ImageSpec(3, 16), LATENT, width=8)
    torch.manual_seed(1)
    want = ResNetGenerator(ImageSpec(3, 16), LATENT, width=8, norm="batch")
    assert list(got.state_dict()) == list(want.state_dict())
    noise = torch.randn(4, LATENT)
    assert torch.equal(got(noise), want(noise))
    torch.manual_seed(1)
    told = ResNetGenerator(ImageSpec(3, 16), LATENT + CLASSES, width=8, code_dim=CLASSES)
    for label in range(CLASSES):
        torch.testing.assert_close(told(of_class(label, noise)), want(noise))


def test_the_class_moves_the_images_by_the_norms_alone():
    """All but the last norm are conditional; other norms leave the class to the first layer."""
    spec, noise = ImageSpec(3, 32), torch.randn(4, LATENT)
    made = lambda norm: ResNetGenerator(spec, LATENT + CLASSES, 8, norm, code_dim=CLASSES)
    told, untold = made("conditional_batch"), made("batch")
    assert (told.layers[0].in_features, untold.layers[0].in_features) == (LATENT, LATENT + CLASSES)
    plain = [type(layer) for layer in told.layers if isinstance(layer, nn.BatchNorm2d)]
    assert plain == [nn.BatchNorm2d]
    norms = [module for module in told.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(norms) == 2 * 3
    assert not any(isinstance(module, ConditionalBatchNorm2d) for module in untold.modules())
    assert parameters(told) - parameters(ResNetGenerator(spec, LATENT, 8)) == (
        len(norms) * 2 * 8 * (CLASSES - 1)
    )
    for norm in norms:  # each of them alone moves the image
        norm.gain.data[1] = 0.5
        a, b, c = (told.eval()(of_class(label, noise)) for label in range(CLASSES))
        assert (a - b).abs().max() > 1e-3
        assert torch.equal(a, c)
        norm.gain.data[1] = 0
    a, b, _ = (untold.eval()(of_class(label, noise)) for label in range(CLASSES))
    assert (a - b).abs().max() > 1e-3


def test_every_class_has_gradients_of_its_own():
    """A class that is not in the minibatch gets none."""
    told = ResNetGenerator(ImageSpec(3, 8), LATENT + CLASSES, 8, code_dim=CLASSES)
    assert not unreached(told, told(of_class(1, torch.randn(4, LATENT))))
    norms = [module for module in told.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert all(norm.gain.grad[1].any() and not norm.gain.grad[::2].any() for norm in norms)


@pytest.mark.parametrize("name", [name for name in NORMED if name != "sagan-d"])
def test_without_batchnorm_layers_get_their_biases(name):
    """A bias before a norm is void; without one it is needed.  The resnet's have them anyway.

    Attention never has any.
    """
    assert [needs_bias(norm) for norm in NORMS] == [0, 0, 1, 1, 1]
    for norm in NORMS:
        layers = weighted(NORMED[name](ImageSpec(1, 32), norm))
        biases = [module.bias is not None for module in layers]
        outer = {"dcgan-d": 1, "infogan-d": 1, "sndcgan-g": 1, "sndcgan-d": 1, "autoencoder-d": 2}
        outer = outer.get(name, 0)  # no norm follows
        inner = biases[outer:-1]
        assert len(inner) >= 1
        assert set(inner) == {needs_bias(norm) or name.startswith("resnet")}
        assert all(biases[:outer])
        assert biases[-1]


def by_the_paper(module):
    """w = g v / ||v|| for each output, by a loop (Salimans & Kingma 2016, eq. 2), and all g."""
    g, v = module.parametrizations.weight.original0, module.parametrizations.weight.original1
    axis = 1 if isinstance(module, nn.ConvTranspose2d) else 0
    pairs = zip(g.unbind(axis), v.unbind(axis), strict=True)
    return torch.stack([length.sum() * row / row.norm() for length, row in pairs], axis), g


@every_normed
def test_weight_norm_is_a_direction_and_a_length_for_each_output(name):
    """It starts as the same network; the scale of the directions is void, the lengths count."""
    networks = []
    for norm in ("weight", "none"):
        torch.manual_seed(1)
        networks.append(NORMED[name](ImageSpec(1, 16), norm).double().eval())
    network, plain = networks
    inputs = given_to(name, 3).double()
    near = {"rtol": 1e-4, "atol": 1e-5}  # they were made in float32
    torch.testing.assert_close(network(inputs), plain(inputs), **near)
    for module in weighted(network):
        weight, lengths = by_the_paper(module)
        outputs = module.out_channels if hasattr(module, "out_channels") else module.out_features
        assert lengths.numel() == outputs
        torch.testing.assert_close(module.weight, weight, rtol=1e-9, atol=1e-12)
        module.parametrizations.weight.original1.data *= 10
    torch.testing.assert_close(network(inputs), plain(inputs), **near)
    for module in weighted(network):
        module.parametrizations.weight.original0.data *= 20
    assert not torch.allclose(network(inputs), plain(inputs), rtol=0.01)


@pytest.mark.parametrize("noises", [{"input_noise": 0.3}, {"hidden_noise": 0.5}])
def test_noise_is_added_in_training_only(noises):
    spec, x = ImageSpec(1, 8), torch.randn(4, 1, 8, 8)
    discriminator = VanillaDiscriminator(spec, (16, 8), dropout=0, **noises)
    assert not torch.equal(discriminator(x), discriminator(x))
    assert torch.equal(discriminator.eval()(x), discriminator(x))
    without = VanillaDiscriminator(spec, (16, 8), dropout=0)
    dense = lambda network: [
        module for module in network.modules() if isinstance(module, nn.Linear)
    ]
    for module, other in zip(dense(without), dense(discriminator), strict=True):
        module.load_state_dict(other.state_dict())
    assert torch.equal(without(x), discriminator(x))


def test_noise_stands_before_each_dense_layer_with_its_standard_deviation():
    """Salimans et al. 2016's network for MNIST: 0.3 at the images, 0.5 everywhere else."""
    hidden = (1000, 500, 250, 250, 250)
    network = VanillaDiscriminator(
        ImageSpec(1, 28), hidden, dropout=0, input_noise=0.3, hidden_noise=0.5
    )
    kinds = (GaussianNoise, nn.Linear)
    order = [module for module in network.modules() if isinstance(module, kinds)]
    assert [type(module) for module in order] == list(kinds) * 6
    assert [module.std for module in order[::2]] == [0.3] + [0.5] * 5
    noise = GaussianNoise(0.3)(torch.full((100, 1000), 2.0)) - 2
    assert noise.mean().item() == pytest.approx(0, abs=0.005)
    assert noise.std().item() == pytest.approx(0.3, abs=0.005)


@pytest.mark.parametrize("channels", [1, 3, 13])
@pytest.mark.parametrize("error", ["l1", "l2"])
def test_energies_are_the_errors_of_the_reconstruction(error, channels):
    """Mean over an image's pixels, by a loop; the mean over the batch and the sum are rejected."""
    d = lively(AutoencoderDiscriminator(ImageSpec(channels, 8), 4, 3, error)).eval()
    x = torch.randn(5, channels, 8, 8).double()
    energies, codes = d.logits_and_features(x)
    assert d.energy
    assert codes.shape == (5, d.feature_dim) == (5, 3)
    assert torch.equal(d(x), energies)
    assert (energies > 0).all()
    power = {"l1": 1, "l2": 2}[error]
    for image, energy, code in zip(x, energies, codes, strict=True):
        drawn = d.decoder(code[None])[0]
        pixels = zip(drawn.flatten().tolist(), image.flatten().tolist(), strict=True)
        errors = [abs(a - b) ** power for a, b in pixels]
        assert energy.item() == pytest.approx(sum(errors) / len(errors))
        assert energy.item() != pytest.approx(energies.mean().item())
        assert energy.item() != pytest.approx(sum(errors))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_deeper_autoencoder_halves_the_size_and_doubles_the_channels_each_time(depth):
    d = AutoencoderDiscriminator(ImageSpec(3, 16), 4, 5, depth=depth)
    shapes, x = [], torch.randn(2, 3, 16, 16)
    for layer in d.features:
        x = layer(x)
        shapes += [tuple(x.shape[1:])] if isinstance(layer, nn.Conv2d) else []
    assert shapes == [(4 * 2**i, 8 // 2**i, 8 // 2**i) for i in range(depth)]
    for layer in d.decoder:
        x = layer(x)
    assert x.shape == (2, 3, 16, 16)
    ups = [module for module in d.decoder if isinstance(module, nn.ConvTranspose2d)]
    assert [up.in_channels for up in ups] == [4 * 2**i for i in reversed(range(depth))]


def test_the_energy_is_zero_where_the_reconstruction_is_the_image_and_only_there():
    """A decoder that draws one grey whatever the code: the energy is the distance from it."""
    for error, far in (("l1", 0.75), ("l2", 0.5625)):
        d = AutoencoderDiscriminator(ImageSpec(1, 8), 4, 3, error).eval()
        nn.init.zeros_(d.decoder[-1].weight)
        nn.init.constant_(d.decoder[-1].bias, 0.25)
        greys = torch.tensor([0.25, 1.0, -0.5])
        energies = d(greys.view(3, 1, 1, 1).expand(3, 1, 8, 8))
        torch.testing.assert_close(energies, torch.tensor([0, far, far]))


def test_reconstructions_are_not_bound_to_the_range():
    d = lively(AutoencoderDiscriminator(ImageSpec(1, 8), 4, 3))
    assert d.decoder(100 * torch.randn(4, 3).double()).abs().max() > 1


def test_attention_starts_as_nothing():
    x = torch.randn(2, 16, 4, 4)
    assert torch.equal(SelfAttention(16)(x), x)
    assert not torch.allclose(attentive(SelfAttention(16))(x), x)


def attended(layer, image):
    """Zhang et al. 2019, equations 1 to 3, place by place, with the keys' 2 x 2 maxima."""
    flat = lambda conv, x: torch.einsum("oc,chw->ohw", conv.weight[:, :, 0, 0], x)
    pooled = lambda x: [
        x[:, i : i + 2, j : j + 2].amax(dim=(1, 2)) for i in range(0, 4, 2) for j in range(0, 4, 2)
    ]
    queries = flat(layer.query, image)
    keys, values = pooled(flat(layer.key, image)), pooled(flat(layer.value, image))
    out = torch.zeros_like(image)
    for i, j in itertools.product(range(4), repeat=2):
        scores = [math.exp(queries[:, i, j] @ key) for key in keys]
        seen = sum(score / sum(scores) * v for score, v in zip(scores, values, strict=True))
        out[:, i, j] = layer.out.weight[:, :, 0, 0] @ seen
    return out


def test_attention_is_a_softmax_over_places():
    """By a loop; an attention that is the same everywhere, or not added to x, is rejected."""
    layer, x = lively(attentive(SelfAttention(16))), torch.randn(3, 16, 4, 4).double()
    with torch.no_grad():
        got = layer(x)
        seen = torch.stack([attended(layer, image) for image in x])
        torch.testing.assert_close(got, x + layer.gamma * seen, rtol=1e-9, atol=1e-9)
        assert (got - layer.gamma * seen).abs().max() > 0.1
        even = seen.mean(dim=(2, 3), keepdim=True)
        assert (got - (x + layer.gamma * even)).abs().max() > 0.01
    assert parameters(layer) == 16 * (2 + 2 + 8) + 8 * 16 + 1


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_attention_stands_where_the_image_has_half_its_size(size):
    spec, sides = ImageSpec(3, size), []
    note = lambda module, inputs, output: sides.append(output.shape[2])
    for name in ("sagan", "biggan"):
        for network in made(name, spec):
            for module in network.modules():
                if isinstance(module, SelfAttention):
                    module.register_forward_hook(note)
            is_g = hasattr(network, "code_dim")
            network(torch.randn(2, LATENT) if is_g else torch.randn(2, 3, size, size))
    assert sides == [size // 2] * 3


def test_penalties_reach_the_attention_by_second_derivatives():
    d, x = made("sagan", ImageSpec(1, 16))[1], torch.randn(2, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(d(x).sum(), x, create_graph=True)
    gradient.square().sum().backward()
    layers = [module for module in d.modules() if isinstance(module, SelfAttention)]
    assert len(layers) == 1
    assert all(p.grad is not None and p.grad.any() for p in layers[0].parameters())


def test_the_sagans_players_have_spectral_norm_on_all_weights_and_the_class_in_batchnorm():
    """The tables of the classes are no weights: at their start, 0, they have no direction."""
    g = ResNetGenerator(
        ImageSpec(3, 32), LATENT + CLASSES, 8, code_dim=CLASSES, spectral=True, attention=True
    )
    for network in (g, made("sagan", ImageSpec(3, 32))[1]):
        assert {tuple(reparametrizations(m)) for m in weighted(network)} == {("_SpectralNorm",)}
    norms = [module for module in g.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(norms) == 6
    assert not any(parametrize.is_parametrized(norm) for norm in norms)
    noise = torch.randn(4, LATENT)
    a, b, _ = (g.eval()(of_class(label, noise)) for label in range(CLASSES))
    assert torch.equal(a, b)  # all classes start alike, and finite
    norms[0].gain.data[1] = 1.0
    assert (g(of_class(1, noise)) - a).abs().max() > 1e-4


def biggan(size=32, latent=LATENT, code_dim=0, **options):
    options = {"width": 8, "embedding": 5, **options}
    return BigGANGenerator(ImageSpec(3, size), latent + code_dim, code_dim, **options)


@pytest.mark.parametrize("code_dim", [0, 10])
@pytest.mark.parametrize(
    ("size", "latent", "sizes"),
    [(8, 2, [1, 1]), (8, 7, [4, 3]), (32, 7, [2, 2, 2, 1]), (64, 20, [4] * 5)],
)
def test_each_share_of_the_noise_moves_its_own_block_and_all_behind(size, latent, sizes, code_dim):
    g = biggan(size, latent, code_dim).eval()
    seen = []
    for layer in (g.stem, *g.blocks):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    z = torch.randn(2, latent + code_dim)
    before = g(z)
    outputs, start = seen[:], 0
    for i, share in enumerate(sizes):
        for entry in range(start, start + share):
            seen.clear()
            moved = z.clone()
            moved[:, entry] += 1
            assert (g(moved) - before).abs().max() > 1e-5
            same = [torch.equal(a, b) for a, b in zip(seen, outputs, strict=True)]
            assert same == [True] * i + [False] * (len(sizes) - i)
        start += share
    assert start == latent


def test_the_class_moves_every_block_of_the_biggan_by_one_embedding():
    """But not the first layer, and no two classes alike; without a code there is no embedding."""
    g, noise = biggan(code_dim=CLASSES).eval(), torch.randn(4, LATENT)
    seen = []
    for layer in (g.stem, *g.blocks):
        layer.register_forward_hook(lambda module, inputs, output: seen.append((inputs, output)))
    images = [g(of_class(label, noise)) for label in range(CLASSES)]
    for a, b in itertools.combinations(images, 2):
        assert (a - b).abs().max() > 1e-4
    of_first, of_second = seen[:4], seen[4:8]
    assert torch.equal(of_first[0][1], of_second[0][1])
    for (inputs, _), share in zip(of_second[1:], noise.tensor_split(4, dim=1)[1:], strict=True):
        torch.testing.assert_close(inputs[1][:, :5], g.embedding.weight[:, 1].expand(4, 5))
        assert torch.equal(inputs[1][:, 5:], share)
    assert isinstance(biggan().embedding, nn.Identity)


def gram_is_identity(matrix):
    """Of the rows or the columns, whichever are fewer."""
    matrix = matrix.flatten(1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    return torch.allclose(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-5)


def test_the_biggans_players_start_orthogonal_with_spectral_norm_everywhere():
    """Weights and tables, before spectral norm; torch's own start is rejected."""
    g, d = biggan(code_dim=10, attention=True), made("biggan", ImageSpec(3, 32))[1]
    assert all(map(gram_is_identity, originals_of(g) + originals_of(d)))
    assert gram_is_identity(g.embedding.weight)
    assert not any(gram_is_identity(nn.Conv2d(8, 8, 3).weight) for _ in range(3))
    norms = [module for module in g.modules() if isinstance(module, ConditionalBatchNorm2d)]
    assert len(originals_of(g)) == len(weighted(g)) - 1 + 2 * len(norms)  # all but the embedding
    assert len(originals_of(d)) == len(weighted(d))
    for norm in norms:
        for table in (norm.gain, norm.bias):
            assert torch.linalg.matrix_norm(table, 2).item() == pytest.approx(1, abs=1e-3)


def originals_of(network):
    return [p.detach() for name, p in network.named_parameters() if name.endswith(".original")]


def test_parameter_counts_of_the_biggan_are_those_of_its_layers():
    """Of the authors' networks for 32 pixels, hierarchical with 10 shared classes; by hand."""
    conv = lambda k, a, b: k * k * a * b + b
    spec, told = ImageSpec(3, 32), 128 + 120 // 4
    up = 2 * 2 * told * 256 + 2 * conv(3, 256, 256) + conv(1, 256, 256)
    g = (120 // 4 + 1) * 16 * 256 + 3 * up + 2 * 256 + conv(3, 256, 3) + 10 * 128
    assert parameters(BigGANGenerator(spec, 120 + 10, 10)) == g
    same = 2 * conv(3, 256, 256)
    first = conv(3, 3, 256) + conv(3, 256, 256) + conv(1, 3, 256)
    d = first + (same + conv(1, 256, 256)) + same + same + 257
    assert parameters(ResNetDiscriminator(spec, 256, init="orthogonal")) == d


@pytest.mark.parametrize("name", ["sagan", "biggan"])
def test_the_moving_average_follows_conditional_generators(name):
    """Singular vectors of tables and running statistics included."""
    spec = ImageSpec(1, 16)
    g = {
        "sagan": lambda: ResNetGenerator(spec, 9, 8, code_dim=CLASSES, spectral=True),
        "biggan": lambda: BigGANGenerator(spec, 9, CLASSES, width=8),
    }[name]().train()
    average, z = EMA(g, decay=0.0), of_class(1, torch.randn(4, LATENT))
    for parameter in g.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    g(z)
    want = g.eval()(z)
    assert not torch.allclose(average.network(z), want)
    average.begin(1)
    average.update(g)
    torch.testing.assert_close(average.network(z), want)


@pytest.mark.parametrize("places", [(), (3, 3)], ids=["features", "maps"])
def test_minibatch_std_is_one_number_for_each_group(places):
    """By a loop: population deviations, averaged; 0 where all images of a group are alike."""
    x = torch.randn(8, 2, *places).double()
    x[4:] *= 3
    x[7] = x[6] = x[5] = x[4]
    got = MinibatchStd(4)(x)
    assert got.shape == (8, 3, *places)
    assert torch.equal(got[:, :2], x)
    of_columns = lambda kind, group: statistics.mean(map(kind, group.flatten(1).T.tolist()))
    want = of_columns(statistics.pstdev, x[:4])
    torch.testing.assert_close(got[:4, 2], torch.full((4, *places), want).double())
    assert got[0, 2].flatten()[0].item() != pytest.approx(of_columns(statistics.stdev, x[:4]))
    assert got[4:, 2].max() < 1e-3  # the other group's images are alike


@pytest.mark.parametrize(
    ("n", "group", "size"), [(8, 4, 4), (6, 4, 6), (50, 4, 5), (7, 4, 7), (3, 4, 3), (8, 1, 1)]
)
def test_groups_divide_the_minibatch(n, group, size):
    x = torch.randn(n, 2, 3, 3)
    of_images = MinibatchStd(group)(x)[:, 2, 0, 0]
    assert len(of_images.unique()) == (n // size if size > 1 else 1)
    assert torch.equal(of_images, of_images[::size].repeat_interleave(size))


def test_minibatch_std_is_no_zero_in_half_precision():
    """1e-8 is 0 in float16, and the root of 0 has no finite slope."""
    x = torch.zeros(4, 2, dtype=torch.float16, requires_grad=True)
    got = MinibatchStd()(x)
    assert got.dtype == torch.float16
    (gradient,) = torch.autograd.grad(got.sum(), x)
    assert gradient.isfinite().all()


SPREADING = {
    "vanilla": lambda **options: VanillaDiscriminator(ImageSpec(1, 16), (16, 8), 0.0, **options),
    "toy": lambda **options: ToyDiscriminator(ImageSpec(1, 16), (16, 8), **options),
    "dcgan": lambda **options: DCGANDiscriminator(ImageSpec(1, 16), 4, "none", **options),
    "dcgan-8": lambda **options: DCGANDiscriminator(ImageSpec(1, 8), 4, "none", **options),
    "infogan": lambda **options: InfoGANDiscriminator(ImageSpec(1, 16), "none", **options),
    "sndcgan": lambda **options: SNDCGANDiscriminator(ImageSpec(1, 16), 4, "none", **options),
    "resnet": lambda **options: ResNetDiscriminator(ImageSpec(1, 16), 4, "none", **options),
    "tutorial": lambda **options: TutorialDiscriminator(ImageSpec(1, 28), **options),
}


@pytest.mark.parametrize("name", SPREADING)
def test_minibatch_std_acts_through_a_nonlinearity(name):
    """Logits move by the group and by the image; D before this added one constant to all."""
    side = 28 if name == "tutorial" else 8 if name == "dcgan-8" else 16
    d, x = SPREADING[name](minibatch="std").double(), torch.randn(8, 1, side, side).double()
    assert d.head.in_features == d.feature_dim
    std = next(module for module in d.modules() if isinstance(module, MinibatchStd))
    seen = []
    std.register_forward_hook(lambda module, inputs, output: seen.append(output))
    together = d(x)
    numbers = seen[0].flatten(1)[:, -1]
    assert len(numbers.unique()) == 2
    std.group = 8  # other neighbours for the same images
    moved = d(x) - together
    assert moved.std() > 1e-3 * moved.abs().max()  # a constant for each group would be rejected
    assert all(part.std() > 1e-3 * part.abs().max() for part in moved.split(4))
    apart = torch.cat([d.features(x[:4]), d.features(x[4:])])
    std.group = 4
    torch.testing.assert_close(d.features(x), apart)


@pytest.mark.parametrize("name", SPREADING)
def test_the_logits_gradient_depends_on_the_other_images(name):
    """One image's logit has a gradient at its group's other images, and at no other image."""
    side = 28 if name == "tutorial" else 8 if name == "dcgan-8" else 16
    x = torch.randn(8, 1, side, side, requires_grad=True)
    for group, reached in ((4, [True] * 4 + [False] * 4), (8, [True] * 8)):
        torch.manual_seed(1)
        d = SPREADING[name](minibatch="std", minibatch_group=group)
        (gradient,) = torch.autograd.grad(d(x)[0], x)
        assert gradient.flatten(1).any(dim=1).tolist() == reached
    (gradient,) = torch.autograd.grad(SPREADING[name]()(x)[0], x)
    assert gradient.flatten(1).any(dim=1).tolist() == [True] + [False] * 7


def test_a_network_without_the_layer_of_minibatch_std_is_refused():
    for make in (
        lambda: FeatureDiscriminator(nn.Flatten(), 256, "std"),
        lambda: VanillaDiscriminator(ImageSpec(1, 16), (), minibatch="std"),
    ):
        with pytest.raises(ValueError, match=r"^minibatch=std needs a hidden layer after it, and "):
            make()


def test_minibatch_discrimination_is_the_closeness_to_each_other_image():
    """Salimans et al. 2016, section 3.2, by a loop; closeness to oneself is rejected."""
    layer, features = MinibatchDiscrimination(4, depth=2).double(), torch.randn(5, 4).double()
    got = layer(features)
    rows = (features @ layer.project.weight.T).view(5, layer.extra, 2).tolist()
    assert torch.equal(got[:, :4], features)
    for i, b in itertools.product(range(5), range(0, layer.extra, 9)):
        apart = [
            sum(abs(x - y) for x, y in zip(rows[i][b], other[b], strict=True)) for other in rows
        ]
        terms = [math.exp(-distance) for distance in apart]
        assert got[i, 4 + b].item() == pytest.approx(sum(terms) - terms[i])
        assert got[i, 4 + b].item() != pytest.approx(sum(terms))
    alike = layer(features[:1].expand(5, 4))[:, 4:]
    torch.testing.assert_close(alike, torch.full_like(alike, 4.0))  # all 4 others
    assert layer(1e4 * features)[:, 4:].abs().max() < 0.1


@pytest.mark.parametrize("minibatch", ["none", "std", "discrimination"])
@pytest.mark.parametrize(
    "network",
    [
        VanillaDiscriminator,
        DCGANDiscriminator,
        InfoGANDiscriminator,
        SNDCGANDiscriminator,
        ResNetDiscriminator,
    ],
)
def test_logits_are_linear_in_the_features_and_the_comparison(network, minibatch):
    """Other images of the minibatch change the logit with a comparison only; features with std."""
    options = {"width": 4} if "width" in inspect.signature(network).parameters else {}
    d = network(ImageSpec(1, 16), **options, minibatch=minibatch).eval()
    for parameter in d.head.parameters():
        nn.init.normal_(parameter)
    x, others = torch.randn(2, 4, 1, 16, 16)
    logits, features = d.logits_and_features(x)
    assert features.shape == (4, d.feature_dim)
    assert torch.equal(features, d.features(x))
    assert torch.equal(logits, d(x))
    extra = 100 if minibatch == "discrimination" else 0
    assert d.head.in_features == d.feature_dim + extra
    seen = d.compare(features)
    torch.testing.assert_close(logits, (seen @ d.head.weight.T + d.head.bias).flatten())
    mixed = torch.cat([x[:2], others[:2]])
    first, of_first = d.logits_and_features(mixed)
    same = torch.allclose(of_first[:2], features[:2], rtol=1e-5, atol=1e-7)
    assert same == (minibatch != "std")
    assert torch.allclose(first[:2], logits[:2], rtol=1e-5, atol=1e-7) == (minibatch == "none")


def test_dropout_works_in_training_only():
    spec, x = ImageSpec(1, 8), torch.randn(4, 1, 8, 8)
    discriminator = VanillaDiscriminator(spec, (16, 8), dropout=0.5)
    assert not torch.equal(discriminator(x), discriminator(x))
    discriminator.eval()
    assert torch.equal(discriminator(x), discriminator(x))
    without = VanillaDiscriminator(spec, (16, 8), dropout=0)
    assert torch.equal(without(x), without(x))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda spec: VanillaDiscriminator(spec, dropout=1),
            "dropout must be at least 0 and less than 1, got 1",
        ),
        (
            lambda spec: VanillaDiscriminator(spec, dropout=-0.1),
            "dropout must be at least 0 and less than 1, got -0.1",
        ),
        (
            lambda spec: VanillaDiscriminator(spec, input_noise=-0.1, hidden_noise=-1),
            "input_noise must be at least 0, got -0.1; hidden_noise must be at least 0, got -1",
        ),
        (
            lambda spec: VanillaDiscriminator(spec, hidden=(4, 0)),
            "hidden[1] must be at least 1, got 0",
        ),
        (
            lambda spec: VanillaGenerator(spec, LATENT, hidden=(0, -1)),
            "hidden[0] must be at least 1, got 0; hidden[1] must be at least 1, got -1",
        ),
        (lambda spec: DCGANGenerator(spec, LATENT, width=0), "width must be at least 1, got 0"),
        (lambda spec: DCGANDiscriminator(spec, width=-2), "width must be at least 1, got -2"),
        (lambda spec: SNDCGANGenerator(spec, LATENT, width=0), "width must be at least 1, got 0"),
        (lambda spec: SNDCGANDiscriminator(spec, width=-2), "width must be at least 1, got -2"),
        (lambda spec: ResNetGenerator(spec, LATENT, width=0), "width must be at least 1, got 0"),
        (
            lambda spec: AutoencoderDiscriminator(spec, width=0, code=-1),
            "width must be at least 1, got 0; code must be at least 1, got -1",
        ),
        (
            lambda spec: AutoencoderDiscriminator(spec, error="l3"),
            "error must be one of l1, l2; got 'l3'",
        ),
        (
            lambda _: AutoencoderDiscriminator(ImageSpec(1, 7)),
            "autoencoder takes images of even size, got 1 x 7 x 7",
        ),
        (
            lambda _: AutoencoderDiscriminator(ImageSpec(1, 28), depth=3),
            "autoencoder takes images of a size that is a multiple of 8, got 1 x 28 x 28",
        ),
        (
            lambda spec: BigGANGenerator(spec, 5, code_dim=3),
            "biggan needs noise for 3 layers, got 2 entries",
        ),
        (
            lambda _: BigGANGenerator(ImageSpec(3, 28), 100),
            "biggan takes images of size 8, 16, 32, 64, 128, ...; got 3 x 28 x 28",
        ),
        (
            lambda spec: ResNetGenerator(spec, LATENT, norm="weight", spectral=True),
            "spectral=true and norm=weight both normalise weights; drop one",
        ),
        (
            lambda spec: ResNetDiscriminator(spec, init="zero"),
            "init must be one of glorot, glorot_inner, orthogonal, normal; got 'zero'",
        ),
        (
            lambda spec: ResNetGenerator(spec, LATENT, upsample="linear"),
            "upsample must be one of nearest, bilinear; got 'linear'",
        ),
        (
            lambda spec: ResNetGenerator(spec, LATENT, spectral=True, spectral_tables=True),
            "spectral_tables=true needs init=orthogonal or normal; got 'glorot'",
        ),
        (
            lambda spec: ResNetDiscriminator(spec, pool="max"),
            "pool must be one of sum, mean; got 'max'",
        ),
        (
            lambda spec: SNDCGANDiscriminator(spec, doubling="before"),
            "doubling must be one of after, while; got 'before'",
        ),
        (lambda spec: InfoGANDiscriminator(spec, slope=-1), "slope must be at least 0, got -1"),
        (
            lambda spec: DCGANDiscriminator(spec, minibatch_group=0),
            "minibatch_group must be at least 1, got 0",
        ),
        (
            lambda spec: DCGANDiscriminator(spec, minibatch="mean"),
            "minibatch must be one of none, std, discrimination; got 'mean'",
        ),
        (
            lambda spec: ResNetGenerator(spec, LATENT, code_dim=LATENT),
            f"latent_dim must be at least {LATENT + 1}, got {LATENT}",
        ),
        (
            lambda spec: ResNetGenerator(spec, LATENT, code_dim=-1),
            "code_dim must be at least 0, got -1",
        ),
        (lambda spec: ResNetDiscriminator(spec, width=-2), "width must be at least 1, got -2"),
    ],
)
def test_options_out_of_range_are_refused(make, sentence):
    with pytest.raises(ValueError) as error:
        make(ImageSpec(1, 16))
    assert str(error.value) == sentence


# The tutorial's network --------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("latent", [1, 4, 6, 100])
def test_the_tutorials_players_map_noise_to_images_and_images_to_logits(channels, latent):
    spec = ImageSpec(channels, 28)
    g, d = TutorialGenerator(spec, latent), TutorialDiscriminator(spec)
    images = g(torch.randn(3, latent))
    assert images.shape == (3, *spec.shape)
    assert images.abs().max() <= 1
    logits, features = d.logits_and_features(images)
    assert (logits.shape, features.shape) == ((3,), (3, 32))


def test_the_tutorials_images_pass_over_3_6_12_to_28_pixels():
    """TensorFlow's "SAME" at stride 2 doubles, but its target of 3 cuts one off."""
    sizes = []
    g = TutorialGenerator(ImageSpec(1, 28), 100)
    for module in g.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.register_forward_hook(lambda _m, _x, y: sizes.append(tuple(y.shape[1:])))
    g(torch.randn(2, 100))
    assert sizes == [(256, 3, 3), (128, 6, 6), (64, 12, 12), (1, 28, 28)]


@pytest.mark.parametrize(("latent", "channels"), [(100, 25), (99, 25), (97, 25), (96, 24), (1, 1)])
def test_parameter_counts_of_the_tutorials_players_are_those_of_its_layers(latent, channels):
    """5 x 5 kernels; noise of 97 to 100 numbers becomes 25 channels of 2 x 2 places."""
    spec, conv, norm = ImageSpec(1, 28), 5 * 5, 2
    assert parameters(TutorialGenerator(spec, latent)) == (
        (conv * channels * 256 + norm * 256)
        + (conv * 256 * 128 + norm * 128)
        + (conv * 128 * 64 + norm * 64)
        + (conv * 64 * 1 + 1)
    )
    assert parameters(TutorialDiscriminator(spec)) == (
        (conv * 1 * 8 + 8) + (conv * 8 * 16 + 16) + (16 * 7 * 7 * 32 + 32) + (32 + 1)
    )


def test_noise_that_is_no_multiple_of_4_is_padded_with_zeros():
    """6 numbers fill 8 places: the same images as 8 numbers of which the last two are 0."""
    short, whole = (TutorialGenerator(ImageSpec(1, 28), latent).eval() for latent in (6, 8))
    whole.load_state_dict(short.state_dict())
    z = torch.randn(3, 6)
    padded = torch.cat([z, torch.zeros(3, 2)], dim=1)
    assert torch.equal(short(z), whole(padded))
    assert not torch.equal(short(z), whole(padded.roll(2, dims=1)))
    z[:, -1] = z[:, -1].abs() + 1  # positive: ReLU lets it through
    other = z.clone()
    other[:, -1] += 1
    assert (short(z) != short(other)).any(), "the last number is lost"


@pytest.mark.parametrize("size", [8, 16, 27, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_tutorial_takes_its_own_size_alone(size, channels):
    spec = ImageSpec(channels, size)
    for make in (lambda: TutorialGenerator(spec, 100), lambda: TutorialDiscriminator(spec)):
        with pytest.raises(ValueError) as error:
            make()
        assert str(error.value) == (
            f"tutorial takes images of size 28; got {channels} x {size} x {size}"
        )


def test_the_tutorials_players_start_from_truncated_normals():
    """Within two standard deviations: 0.88 of the plain one's spread; G's biases are 0.1."""
    spec = ImageSpec(1, 28)
    truncated = 0.8796  # of N(0, 1) within [-2, 2]
    for network, std, bias in (
        (TutorialGenerator(spec, 100), 0.1, 0.1),
        (TutorialDiscriminator(spec), 0.02, 0.0),
    ):
        for module in network.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
                assert module.weight.abs().max() <= 2 * std + 1e-6
                if module.weight.numel() > 10_000:
                    assert module.weight.std().item() == pytest.approx(truncated * std, rel=0.02)
                if module.bias is not None:
                    assert torch.equal(module.bias, torch.full_like(module.bias, bias))
