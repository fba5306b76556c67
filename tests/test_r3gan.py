"""R3GAN against its parts written out: blocks, resampling, start, loss, schedules, one real run.

The settings are those of the authors' code, brownvc/R3GAN: R3GAN/Networks.py, Trainer.py, train.py.
"""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, one_hot

from commands import completed, run_train, runs_in, stop_after, trained
from conftest import differing, small_gan
from ganlab.conditioning import ACGAN, Projection
from ganlab.experiments.experiment import Experiment
from ganlab.losses import Relativistic
from ganlab.networks import R3GANDiscriminator, R3GANGenerator
from ganlab.networks.grouped import Geometry, convolution
from ganlab.networks.r3gan import GAIN, Block, Down, Grouped, Stage, Up
from ganlab.regularizers import R1, R2
from ganlab.runs.folder import Run
from ganlab.schedules import Clock, Cosine, HalfLife, at
from ganlab.spec import ImageSpec
from ganlab.storage import checkpoint
from ganlab.training.batch import Batch
from small import latents_of

SPEC = ImageSpec(1, 16, classes=10)
DOUBLE = {"dtype": torch.float64}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def stirred(network):
    """The network with all weights drawn anew, so that no branch is 0."""
    for weight in network.parameters():
        nn.init.normal_(weight, 0.0, 0.3)
    return network


def pair(spec=SPEC, latent=8, **options):
    options = {"width": 8, "group": 4, "blocks": 1, **options}
    g = stirred(R3GANGenerator(spec, latent, **options))
    return g, stirred(R3GANDiscriminator(spec, **options))


# Blocks ------------------------------------------------------------------------------------------


def plain_block(x, block, group_of):
    """A block on (N, C, H, W), sum by sum.

    `group_of`: (channel, channels of a group) -> its group.
    """
    up, mix, down = block.up, block.mix, block.down
    act = lambda t: torch.where(t > 0, t, 0.2 * t)
    h = torch.einsum("oi,nihw->nohw", up.weight[:, :, 0, 0], x) + up.bias[:, None, None]
    h, size = act(h), mix.weight.shape[1]
    padded, mixed = nn.functional.pad(h, (1, 1, 1, 1)), torch.zeros_like(h)
    rows, columns = h.shape[2:]
    for out in range(h.shape[1]):
        members = [i for i in range(h.shape[1]) if group_of(i, size) == group_of(out, size)]
        for place, i in enumerate(members):
            for dy in range(3):
                for dx in range(3):
                    shifted = padded[:, i, dy : dy + rows, dx : dx + columns]
                    mixed[:, out] += mix.weight[out, place, dy, dx] * shifted
    mixed = act(mixed + mix.bias[:, None, None])
    return x + torch.einsum("oi,nihw->nohw", down.weight[:, :, 0, 0], mixed)


@torch.no_grad()
def test_a_block_is_its_sums_in_groups_of_neighbouring_channels():
    block, x = stirred(Block(6, 4, 8)).double(), torch.randn(2, 6, 5, 5, **DOUBLE)
    torch.testing.assert_close(block(x), plain_block(x, block, lambda i, size: i // size))
    strided = plain_block(x, block, lambda i, size: i % (12 // size))
    assert not torch.allclose(block(x), strided)
    assert not torch.allclose(block(x), stirred(Block(6, 12, 8)).double()(x))  # one group


def inner_variances(gain):
    """Of the first and of the second convolution's output, from a normal input."""
    block = Block(256, 16, 1)
    for layer in (block.up, block.mix):
        nn.init.normal_(layer.weight, 0, gain / math.sqrt(layer.weight[0].numel()))
    return measured(block)


@torch.no_grad()
def measured(block):
    h = block.up(torch.randn(16, 256, 8, 8))
    mixed = block.mix(leaky_relu(h, 0.2))[:, :, 1:-1, 1:-1]  # the border sees zeros
    return [h.var().item(), mixed.var().item()]


def test_each_convolution_of_a_branch_multiplies_the_variance_by_the_blocks_to_minus_one_half():
    """MSR's gain times L^(-1 / (2 * 3 - 2)), for three linear layers and L blocks."""
    after_relu = 1.04 / 2
    expected = [8 ** (-1 / 2) / after_relu, 8**-1.0 / after_relu]
    assert measured(Block(256, 16, 8)) == pytest.approx(expected, rel=0.06)
    assert inner_variances(GAIN * 8 ** (-1 / 4)) == pytest.approx(expected, rel=0.06)
    for wrong in (GAIN, 1.0, GAIN * 8 ** (-1 / 2)):
        assert inner_variances(wrong) != pytest.approx(expected, rel=0.06)


def start(network):
    """Standard deviation of each weight matrix times the root of its fan-in."""
    return {
        name: weight.std().item() * math.sqrt(weight[0].numel())
        for name, weight in network.named_parameters()
        if weight.ndim > 1 and not name.endswith("image")
    }


def test_weights_start_with_the_authors_gains():
    options = {"width": 256, "group": 16, "blocks": 2}
    code = R3GANGenerator(ImageSpec(3, 32, 10), 64 + 10, 10, **options)
    d = R3GANDiscriminator(ImageSpec(3, 32, 10), **options)
    embed = d.new_embedding(10)
    inner = GAIN * 8 ** (-1 / 4)
    for name, gain in {**start(code), **start(d)}.items():
        kind = name.split(".")[-2]
        wanted = {"up": inner, "mix": inner, "down": 0.0}.get(kind, 1.0)
        assert gain == pytest.approx(wanted, rel=0.1), name
    assert list(start(embed).values()) == pytest.approx([1 / 16, 1.0], rel=0.1)
    assert code.layers[0][0].image.std().item() == pytest.approx(1.0, rel=0.1)
    readout = d.features[-1][-1].image
    assert readout.std().item() == pytest.approx(1 / 4, rel=0.1)  # a fan-in of 4 * 4
    biases = [p for n, p in (*code.named_parameters(), *d.named_parameters()) if "bias" in n]
    assert len(biases) == 2 * 2 * 8
    assert not any(bias.any() for bias in biases)


@torch.no_grad()
def test_both_players_are_linear_at_the_start_as_all_branches_are_zero():
    g = R3GANGenerator(SPEC, 8, width=8)
    d = R3GANDiscriminator(SPEC, width=8)
    z, x = torch.randn(3, 8), torch.randn(3, *SPEC.shape)
    torch.testing.assert_close(g(-2 * z), -2 * g(z))
    torch.testing.assert_close(d(-2 * x), -2 * d(x))
    nn.init.normal_(g.layers[1][-1].down.weight)
    assert not torch.allclose(g(-2 * z), -2 * g(z))


# Resampling --------------------------------------------------------------------------------------


def blurred(x):
    """By [1, 2, 1] / 4 along both axes, zeros outside."""
    row = torch.tensor([1.0, 2, 1], **DOUBLE) / 4
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
    return conv2d(x, kernel, padding=1, groups=x.shape[1])


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (1, 2, 7, 7)])
def test_interpolation_is_doubling_or_halving_with_the_papers_filter(shape):
    small = torch.randn(shape, **DOUBLE)
    doubled = interpolate(small, scale_factor=2)
    large, up, down = torch.randn_like(doubled), Up((1, 3, 3, 1)), Down((1, 3, 3, 1))
    torch.testing.assert_close(up(small), blurred(doubled))
    torch.testing.assert_close(down(large), avg_pool2d(blurred(large), 2))
    wrong = Up((1, 2, 1))  # the filter between zeros, not over doubled pixels
    assert not torch.allclose(wrong(small), up(small))
    assert not torch.allclose(doubled, up(small))


def test_resampling_is_the_explicit_sum():
    x, taps = torch.randn(6, **DOUBLE), [1 / 8, 3 / 8, 3 / 8, 1 / 8]
    risen, fallen = torch.zeros(12, **DOUBLE), torch.zeros(3, **DOUBLE)
    for i in range(6):
        for k, tap in enumerate(taps):
            if 0 <= 2 * i + k - 1 < 12:
                risen[2 * i + k - 1] += 2 * tap * x[i]
    for i in range(3):
        fallen[i] = sum(taps[k] * x[2 * i + k - 1] for k in range(4) if 0 <= 2 * i + k - 1 < 6)
    image = torch.outer(x, x)[None, None]
    torch.testing.assert_close(Up((1, 3, 3, 1))(image)[0, 0], torch.outer(risen, risen))
    torch.testing.assert_close(Down((1, 3, 3, 1))(image)[0, 0], torch.outer(fallen, fallen))


# Grouped convolutions ----------------------------------------------------------------------------

GEOMETRIES = [Geometry(1, 1, 2), Geometry(2, 1, 4), Geometry(2, 1, 4, transposed=True)]


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_grouped_convolutions_have_the_derivatives_of_finite_differences(geometry):
    taps = 3 if geometry.groups == 2 else 4
    x = torch.randn(1, 4, 3, 4, **DOUBLE, requires_grad=True)
    weight = torch.randn(4, 4 // geometry.groups, taps, taps, **DOUBLE, requires_grad=True)
    options = {"stride": geometry.stride, "padding": 1, "groups": geometry.groups}
    torchs = nn.functional.conv_transpose2d if geometry.transposed else conv2d
    mine = lambda *inputs: convolution(*inputs, geometry)
    torch.testing.assert_close(mine(x, weight), torchs(x, weight, **options))
    assert torch.autograd.gradcheck(mine, (x, weight))
    assert torch.autograd.gradgradcheck(mine, (x, weight))


def convolutions_of_a_penalty(layer):
    """How many torch computes for the gradient of ||grad||^2."""
    x = torch.randn(2, 32, 4, 4, requires_grad=True)
    with torch.profiler.profile() as seen:
        y = layer(x).square().sum()
        (gradient,) = torch.autograd.grad(y, x, create_graph=True)
        gradient.square().sum().backward()
    names = ("aten::convolution", "aten::convolution_backward")
    return sum(event.count for event in seen.key_averages() if event.key in names)


def test_a_penalty_takes_no_convolution_for_each_group():
    assert convolutions_of_a_penalty(Grouped(32, 16)) < 10
    assert convolutions_of_a_penalty(Down((1, 3, 3, 1))) < 10
    assert convolutions_of_a_penalty(nn.Conv2d(32, 32, 3, padding=1, groups=16)) > 16


# Shapes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_and_logits_have_their_shapes_and_gradients_reach_every_parameter(channels, size):
    spec = ImageSpec(channels, size)
    g, d = pair(spec)
    images = g(torch.randn(2, 8))
    assert images.shape == (2, *spec.shape)
    logits, features = d.logits_and_features(images)
    assert (logits.shape, features.shape) == ((2,), (2, 8))
    logits.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in (*g.parameters(), *d.parameters()))


def test_widths_halve_beyond_32_pixels_or_are_given_for_each_stage():
    wide = lambda **options: [
        stage[-1].down.weight.shape[0]
        for stage in R3GANGenerator(ImageSpec(3, 128), 8, **options).layers
        if isinstance(stage, Stage)
    ]
    assert wide(width=16) == [16, 16, 16, 16, 8, 4]
    given = {"width": [4, 8, 8, 16, 2, 1], "blocks": [1, 1, 2, 1, 1, 1], "group": 2}
    assert wide(**given) == [4, 8, 8, 16, 2, 1]
    d = R3GANDiscriminator(ImageSpec(3, 128), **given)
    assert d.feature_dim == 4
    assert sum(isinstance(m, Block) for m in d.modules()) == 7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": [8, 8]}, "width must be one number or 3, for the sizes 4, 8, 16; got 2"),
        ({"blocks": [1]}, "blocks must be one number or 3, for the sizes 4, 8, 16; got 1"),
        ({"group": 0}, "group must be at least 1, got 0"),
        ({"width": 12}, "2 * width must be a multiple of group=16, got 24"),
        ({"bf16_stages": -1}, "bf16_stages must be at least 0, got -1"),
    ],
)
def test_options_out_of_range_are_refused(options, sentence):
    for make in (partial(R3GANGenerator, SPEC, 8), partial(R3GANDiscriminator, SPEC)):
        with pytest.raises(ValueError, match="must") as refused:
            make(**options)
        assert str(refused.value) == sentence


# bfloat16 ----------------------------------------------------------------------------------------


def types(network, given):
    """What each stage returns."""
    seen = []
    stages = [m for m in network.modules() if isinstance(m, Stage)]
    for stage in stages:
        stage.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    network(given)
    return seen


def test_the_highest_sizes_compute_in_bfloat16_and_the_smallest_never_does():
    half, own = torch.bfloat16, torch.float32
    for stages, expected in ((0, [own] * 3), (1, [own, own, half]), (9, [own, half, half])):
        g, d = pair(bf16_stages=stages)
        assert types(g, torch.randn(2, 8)) == expected
        assert types(d, torch.randn(2, *SPEC.shape)) == expected[::-1]


def test_bfloat16_changes_images_logits_and_penalties_little():
    exact, rounded = pair(), pair(bf16_stages=2)
    for one, other in zip(exact, rounded, strict=True):
        other.load_state_dict(one.state_dict())
    found = []
    for g, d in (exact, rounded):
        images = g(torch.linspace(-1, 1, 32).view(4, 8))
        (gradient,) = torch.autograd.grad(d(images).sum(), images, create_graph=True)
        gradient.square().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in d.parameters() if p.grad is not None)
        assert images.dtype == gradient.dtype == torch.float32
        found.append((images, gradient))
    for one, other in zip(*found, strict=True):
        assert 0 < (one - other).norm() < 0.05 * one.norm()


# The class ---------------------------------------------------------------------------------------


def conditional(spec=SPEC, **options):
    g = stirred(R3GANGenerator(spec, 8 + 10, 10, width=8, embedding=4))
    d, told = R3GANDiscriminator(spec, width=8), Projection(spec)
    options = {"spec": spec, "conditioning": told, "loss": Relativistic(), **options}
    gan = small_gan(generator=g, discriminator=d, **options)
    for network in (d, told):
        stirred(network)
    return gan


@torch.no_grad()
def test_g_draws_and_d_judges_by_the_class():
    gan = conditional()
    codes = one_hot(torch.arange(10), 10).float()
    images = gan.generator(latents_of(gan, codes) + torch.eye(10, 18)[0])
    assert torch.pdist(images.flatten(1)).min() > 1e-3
    same = images[:1].expand(10, -1, -1, -1)
    logits = gan.discriminate(same, codes).logits
    assert torch.pdist(logits[:, None]).min() > 1e-5
    features = gan.discriminator.features(same)
    first, second = gan.conditioning.embed
    expected = (codes @ first.weight.T @ second.weight.T * features).sum(dim=1)
    torch.testing.assert_close(logits, expected)  # and nothing besides: D has no head of its own


def test_the_authors_projection_is_the_same_bilinear_form():
    """They map the features linearly and multiply by the embedding."""
    d = R3GANDiscriminator(SPEC, width=8)
    embed, x, code = d.new_embedding(10), torch.randn(5, *SPEC.shape), torch.eye(10)[:5]
    _, features = d.logits_and_features(x)
    theirs = ((features @ embed[1].weight) * embed[0](code)).sum(dim=1)
    torch.testing.assert_close((embed(code) * features).sum(dim=1), theirs)


def test_other_conditions_leave_d_its_head():
    d = R3GANDiscriminator(SPEC, width=8)
    small_gan(
        generator=R3GANGenerator(SPEC, 18, 10, width=8), discriminator=d, conditioning=ACGAN(SPEC)
    )
    assert d(torch.randn(2, *SPEC.shape)).any()


# The loss ----------------------------------------------------------------------------------------


def game(gamma=0.3, spec=SPEC):
    """A GAN in float64, 4 real and 4 generated images of 4 classes, and the classes' codes."""
    gan = conditional(spec, regularizers={"r1": R1(gamma), "r2": R2(gamma)}).double()
    real = Batch(torch.randn(4, *spec.shape, **DOUBLE), torch.arange(4))
    fake, code = torch.randn(4, *spec.shape, **DOUBLE), one_hot(torch.arange(4), 10).double()
    return gan, real, fake, code


def written_out(gan, real, fake, code, gamma=0.3):
    """-log s(D(x) - D(G(z))) + gamma / 2 (||grad D(x)||^2 + ||grad D(G(z))||^2), on average."""
    first, second = gan.conditioning.embed
    told = code @ first.weight.T @ second.weight.T
    critic = lambda images: (gan.discriminator.features(images) * told).sum(dim=1)
    terms = []
    for images in (real, fake):
        images.requires_grad_()
        logits = critic(images)
        (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        terms.append((logits, slope.square().sum(dim=(1, 2, 3))))
    (of_real, r1), (of_fake, r2) = terms
    return (-torch.log(torch.sigmoid(of_real - of_fake)) + gamma / 2 * (r1 + r2)).mean()


def gradient(loss, network):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])


def test_the_loss_is_the_relativistic_one_with_both_penalties():
    gan, real, fake, code = game()
    mine, theirs = gan.d_loss(real, fake, code), written_out(gan, real.images.clone(), fake, code)
    torch.testing.assert_close(mine, theirs)
    players = nn.ModuleList([gan.discriminator, gan.conditioning])
    torch.testing.assert_close(*(gradient(loss, players) for loss in (mine, theirs)))
    other = written_out(gan, real.images.clone(), fake, code, gamma=0.6)
    assert not torch.allclose(mine, other)


def test_g_minimises_the_same_with_the_players_exchanged():
    gan, real, fake, code = game()
    z = latents_of(gan, code)
    judged = [gan.discriminate(images, code).logits for images in (real.images, fake)]
    expected = -torch.log(torch.sigmoid(judged[1] - judged[0])).mean()
    torch.testing.assert_close(gan.g_loss(fake, real, z), expected)
    assert gan.minibatches == 2  # G's update has real images of its own


@pytest.mark.parametrize("kind", [R1, R2])
def test_penalties_have_the_slope_of_finite_differences(kind):
    gan, real, fake, code = game(spec=ImageSpec(1, 8, classes=10))
    gan.regularizers = nn.ModuleDict({"it": kind(1.0)})
    weights = list(gan.discriminator.parameters())
    along, step = [torch.randn_like(weight) for weight in weights], 1e-7

    def penalised(by):
        """The loss after a step of all weights."""
        with torch.no_grad():
            torch._foreach_add_(weights, along, alpha=by)
        return gan.d_loss(real, fake, code)

    slopes = torch.autograd.grad(penalised(0.0), weights)
    found = sum((a * b).sum() for a, b in zip(slopes, along, strict=True)).item()
    ahead = penalised(step).item()
    behind = penalised(-2 * step).item()
    assert found == pytest.approx((ahead - behind) / (2 * step), rel=1e-4)
    gan.regularizers = nn.ModuleDict({})
    bare = torch.autograd.grad(gan.d_loss(real, fake, code), weights)
    assert sum((a * b).sum() for a, b in zip(bare, along, strict=True)).item() != pytest.approx(
        found, rel=1e-2
    )


# Schedules ---------------------------------------------------------------------------------------

IMAGES = (0, 5_000_000, 10_000_000, 20_000_000, 250_000_000)


def theirs(base, final, seen, total=2e7):
    """`cosine_decay_with_warmup` of the authors, without warmup."""
    if seen > total:
        return final
    return base + (1 - 0.5 * (1 + math.cos(math.pi * seen / total))) * (final - base)


@pytest.mark.parametrize(
    ("base", "final"), [(2e-4, 5e-5), (0.05, 0.005), (0.9, 0.99), (0, 5e6), (0, 0.55)]
)
def test_a_cosine_goes_from_its_value_to_another_even_from_0(base, final):
    schedule = Cosine(value=base, to=final, images=20_000_000)
    for seen in IMAGES:
        assert schedule(Clock(0.5, seen, 512)) == pytest.approx(theirs(base, final, seen))
    by_factor = Cosine(value=base, end=final / base if base else 0, images=20_000_000)
    middle = Clock(0.5, 10_000_000, 512)
    assert (by_factor(middle) == pytest.approx(schedule(middle))) is (base > 0)


def test_the_recipe_follows_the_authors_schedules():
    with torch.device("meta"):
        gan = Experiment(**completed("experiment=r3gan")).build()
    for seen in IMAGES:
        clock = Clock(seen / 250e6, seen, 512)
        half_life = theirs(0, 5e6, seen)
        decay = 0.5 ** (512 / max(half_life, 1e-8))
        assert at(gan.ema.decay, clock) == pytest.approx(decay)
        for player in gan.players.values():
            optimizer = player.rule.build([nn.Parameter(torch.zeros(1))], fused=False)
            player.rule.begin(optimizer, clock)
            (group,) = optimizer.param_groups
            assert group["lr"] == pytest.approx(theirs(2e-4, 5e-5, seen))
            assert group["betas"] == pytest.approx((0.0, theirs(0.9, 0.99, seen)))
            assert group["eps"] == 1e-8
        for penalty in gan.regularizers.values():
            assert penalty.schedules["gamma"](clock) == pytest.approx(theirs(0.05, 0.005, seen))
            assert penalty.every == 1


def test_a_half_life_may_rise_from_0_but_not_be_0_or_fall_below_it():
    rising = HalfLife(Cosine(value=0.0, to=5e6, images=20_000_000))
    assert rising(Clock(0.0, 0, 512)) == 0
    for wrong in (0.0, Cosine(value=0.0, to=0.0), Cosine(value=-1.0, to=5e6)):
        with pytest.raises(ValueError, match="half_life must be"):
            HalfLife(wrong)


# A run -------------------------------------------------------------------------------------------

TINY = (
    "experiment=r3gan",
    "data=digits",
    "latent.dim=8",
    "batch_size=8",
    "iterations=4",
    "checkpoint_every=4",
    "model.generator.group=8",
)


@pytest.mark.long
def test_a_run_of_the_recipe_goes_on_exactly(tmp_path, monkeypatch):
    whole = trained(tmp_path / "whole", *TINY)
    words = ["trainer=smoke", "logger=csv", *TINY, f"output_dir={tmp_path / 'parts'}"]
    words += [f"model.{player}.width=8" for player in ("generator", "discriminator")]
    with monkeypatch.context() as patch:
        stop_after(2, patch)
        run_train(*words)
    (run,) = runs_in(tmp_path / "parts")
    outcome = run_train(*words)
    assert (outcome.code, outcome.err) == (0, "")
    saved = [checkpoint.read(Run(folder).last_checkpoint()) for folder in (whole, run)]
    assert differing(saved[0]["state_dict"], saved[1]["state_dict"]) == []
    assert differing(saved[0]["optimizer_states"], saved[1]["optimizer_states"]) == []
