"""Every network: shapes, ranges, gradients, sizes it refuses, and what its normalisation mixes."""

import itertools

import pytest
import torch

from ganlab.networks import (
    DCGANDiscriminator,
    DCGANGenerator,
    InfoGANDiscriminator,
    InfoGANGenerator,
    VanillaDiscriminator,
    VanillaGenerator,
)
from ganlab.networks.layers import NORMS
from ganlab.spec import ImageSpec

LATENT = 6
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
}
SIZES = {
    "vanilla": (5, 8, 20, 28, 64),
    "dcgan": (8, 16, 28, 32, 64),
    "infogan": (16, 20, 28, 32),
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
    generator.spare = torch.nn.Linear(2, 2)
    assert unreached(generator, generator(torch.randn(2, LATENT))) == ["spare.weight", "spare.bias"]


@pytest.mark.parametrize("name", MAKERS)
def test_images_depend_on_the_noise(name):
    generator = made(name, ImageSpec(1, 16))[0].eval()
    z = torch.randn(2, LATENT)
    a, b = generator(z)
    assert not torch.equal(a, b)
    assert torch.equal(generator(z), generator(z))


@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("size", [4, 7, 14, 20, 24, 30, 48, 56])
def test_dcgan_refuses_sizes_it_cannot_double_to(size, player):
    with pytest.raises(ValueError) as error:
        MAKERS["dcgan"][player](ImageSpec(3, size))
    assert str(error.value) == (
        f"dcgan takes images of size 28 or 8, 16, 32, 64, 128, ...; got 3 x {size} x {size}"
    )


@pytest.mark.parametrize("player", [0, 1], ids=["generator", "discriminator"])
@pytest.mark.parametrize("size", [2, 14, 27, 30])
def test_infogan_refuses_sizes_that_are_no_multiple_of_4(size, player):
    with pytest.raises(ValueError) as error:
        MAKERS["infogan"][player](ImageSpec(1, size))
    assert str(error.value) == (
        f"infogan takes images whose size is a multiple of 4, got 1 x {size} x {size}"
    )


NORMED = {
    "dcgan": lambda spec, norm: DCGANDiscriminator(spec, width=4, norm=norm),
    "infogan": lambda spec, norm: InfoGANDiscriminator(spec, norm=norm),
}


@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize(
    "make",
    [
        *NORMED.values(),
        lambda spec, norm: DCGANGenerator(spec, LATENT, width=4, norm=norm),
        lambda spec, norm: VanillaGenerator(spec, LATENT, hidden=(8,), norm=norm),
    ],
    ids=["dcgan-d", "infogan-d", "dcgan-g", "vanilla-g"],
)
def test_an_unknown_norm_is_refused(make, size):
    """At size 8 as well, where the dcgan's discriminator has no layer to normalise."""
    with pytest.raises(ValueError) as error:
        make(ImageSpec(1, size), "instance")
    assert str(error.value) == f"norm must be one of {', '.join(NORMS)}; got 'instance'"


def kinds(network):
    names = {type(module).__name__ for module in network.modules()}
    return names & {"BatchNorm1d", "BatchNorm2d", "GroupNorm", "LayerNorm"}


def test_norms_are_what_was_asked_for():
    spec = ImageSpec(1, 16)
    want = {"batch": {"BatchNorm2d"}, "layer": {"GroupNorm"}, "none": set()}
    for norm, found in want.items():
        assert kinds(NORMED["dcgan"](spec, norm)) == found
        assert kinds(DCGANGenerator(spec, LATENT, width=4, norm=norm)) == found
    for norm, found in {"batch": {"BatchNorm1d"}, "layer": {"LayerNorm"}, "none": set()}.items():
        assert kinds(VanillaGenerator(spec, LATENT, hidden=(8,), norm=norm)) == found
    assert kinds(NORMED["infogan"](spec, "batch")) == {"BatchNorm1d", "BatchNorm2d"}
    assert kinds(NORMED["infogan"](spec, "layer")) == {"GroupNorm", "LayerNorm"}
    assert kinds(NORMED["infogan"](spec, "none")) == set()


def among_others(discriminator, shape):
    """One image's logit in training mode, among four others and among another four."""
    image, *others = (torch.randn(n, *shape) for n in (1, 4, 4))
    return [discriminator.train()(torch.cat([image, other]))[0] for other in others]


@pytest.mark.parametrize("size", [16, 28])
@pytest.mark.parametrize("norm", ["layer", "none"])
@pytest.mark.parametrize("name", NORMED)
def test_without_batchnorm_each_image_is_judged_by_itself(name, norm, size):
    spec = ImageSpec(1, size)
    a, b = among_others(NORMED[name](spec, norm), spec.shape)
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("name", NORMED)
def test_with_batchnorm_the_neighbours_change_the_logit(name):
    """What the check above is for: it rejects the default discriminators."""
    spec = ImageSpec(1, 16)
    a, b = among_others(NORMED[name](spec, "batch"), spec.shape)
    assert abs(a - b) > 0.01 * abs(a)


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_dcgan_starts_from_the_papers_initialisation(norm):
    """Weights ~ N(0, 0.02^2), gains ~ N(1, 0.02^2), biases 0; torch's own start is rejected."""
    spec = ImageSpec(3, 32)
    networks = DCGANGenerator(spec, 100, width=32, norm=norm), DCGANDiscriminator(spec, 32, norm)
    for network in networks:
        for name, p in network.named_parameters():
            if name.endswith("bias"):
                assert not p.any(), name
                continue
            mean = 1.0 if p.ndim == 1 else 0.0
            error = 5 * 0.02 / p.numel() ** 0.5
            assert p.mean().item() == pytest.approx(mean, abs=error), name
            assert p.std().item() == pytest.approx(0.02, abs=error), name
    weight = networks[1].layers[0].weight
    assert torch.nn.Conv2d(3, 32, 4).weight.std() > 2 * 0.02
    assert weight.std() < 1.2 * 0.02


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


def test_without_batchnorm_conv_layers_get_their_biases():
    """A bias before a norm is void; without one it is needed."""
    for norm, biases in (("batch", 0), ("none", 1)):
        layers = NORMED["dcgan"](ImageSpec(1, 32), norm).layers
        inner = [m for m in layers if isinstance(m, torch.nn.Conv2d)][1:-1]
        assert len(inner) == 2
        assert all((m.bias is not None) == bool(biases) for m in inner)
        generator = DCGANGenerator(ImageSpec(1, 32), LATENT, width=4, norm=norm).layers
        *inner, last = (m for m in generator if isinstance(m, torch.nn.ConvTranspose2d))
        assert len(inner) == 3
        assert all((m.bias is not None) == bool(biases) for m in inner)
        assert last.bias is not None


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
            lambda spec: VanillaDiscriminator(spec, hidden=(4, 0)),
            "hidden[1] must be at least 1, got 0",
        ),
        (
            lambda spec: VanillaGenerator(spec, LATENT, hidden=(0, -1)),
            "hidden[0] must be at least 1, got 0; hidden[1] must be at least 1, got -1",
        ),
        (lambda spec: DCGANGenerator(spec, LATENT, width=0), "width must be at least 1, got 0"),
        (lambda spec: DCGANDiscriminator(spec, width=-2), "width must be at least 1, got -2"),
    ],
)
def test_options_out_of_range_are_refused(make, sentence):
    with pytest.raises(ValueError) as error:
        make(ImageSpec(1, 16))
    assert str(error.value) == sentence
