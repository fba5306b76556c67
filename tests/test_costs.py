"""FLOPs are those that can be counted by hand."""

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, conv_transpose2d

import costs
from commands import completed
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.latent import Gaussian
from ganlab.losses import NonSaturating
from ganlab.regularizers import R1
from ganlab.spec import ImageSpec
from ganlab.training.updates import UpdateRule
from small import adam

M, Z, H, X = 10, 8, 32, 16  # images, and the widths of two layers each: z - h - x and x - h - 1
G, D = 2 * (Z * H + H * X), 2 * (X * H + H * 1)  # FLOPs of a forward pass of an image


def mlp(**options) -> GAN:
    """Two layers a player, on the meta device."""
    with torch.device("meta"):
        generator = nn.Sequential(
            nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, X), nn.Unflatten(1, (1, 4, 4))
        )
        discriminator = nn.Sequential(
            nn.Flatten(), nn.Linear(X, H), nn.Softplus(), nn.Linear(H, 1), nn.Flatten(0)
        )
        rules = {"g_rule": UpdateRule(adam()), "d_rule": UpdateRule(adam())}
        parts = {"spec": ImageSpec(1, 4), "latent": Gaussian(Z), **rules, **options}
        return GAN(generator, discriminator, NonSaturating(), **parts)


def counted(**options) -> float:
    return costs.flops(mlp(**options), M)


# In D's step G runs forward, and D forward and backward on real and generated images; no gradient
# goes to the images.  In G's step D's weights get none, and z gets none.
D_STEP = M * (G + 2 * (2 * D + 2 * H))  # forward and weights of both layers; inputs of the last one
G_STEP = M * (D + D + 2 * G + 2 * H * X)


def test_an_iteration_costs_what_can_be_counted_by_hand():
    assert counted() == D_STEP + G_STEP
    assert counted(d_steps=3) == 3 * D_STEP + G_STEP
    assert D_STEP + G_STEP != M * 3 * (G + 2 * D) + M * 3 * (G + D), "no gradient is needed twice"


def test_a_penalty_costs_second_derivatives_and_a_lazy_one_its_share():
    always, lazy = (counted(regularizers={"r1": R1(every=n)}) for n in (1, 4))
    plain = D_STEP + G_STEP
    assert lazy - plain == pytest.approx((always - plain) / 4)
    # Forward, gradient of the images, and the gradient of both by the weights.
    assert 2 * M * D < always - plain < 6 * M * D


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("convolve", [conv2d, conv_transpose2d])
def test_the_gradients_of_a_convolution_cost_twice_what_it_does(groups, convolve):
    """Also a grouped one's; torch's own formula overrates it."""
    with torch.device("meta"):
        x = torch.empty(3, 8, 6, 6, requires_grad=True)
        weight = torch.empty(8, 8 // groups, 3, 3, requires_grad=True)
        with costs.Flops() as forward:
            made = convolve(x, weight, padding=1, groups=groups)
        with costs.Flops() as backward:
            made.sum().backward()
    assert forward.total == 2 * 3 * 36 * 8 * (8 // groups) * 9
    assert backward.total == 2 * forward.total


@pytest.mark.long
def test_the_table_has_a_row_per_recipe(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["costs.py", "recipes=default,sngan,speedrun", "tflops=100"])
    costs.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:5]]
    assert [row[0] for row in rows] == ["default", "sngan", "speedrun"]
    sngan = completed("experiment=sngan")
    with torch.device("meta"):
        built = Experiment(**sngan).build()
    sizes = [sum(w.numel() for w in player.parameters) for player in built.players.values()]
    assert [float(cell[:-1]) for cell in rows[1][1:3]] == [round(n / 1e6, 2) for n in sizes]
    assert rows[1][4] == "32.00M"
    assert float(rows[1][7]) == pytest.approx(float(rows[1][5][:-1]) / 100 / 60 * 1000, rel=0.01)
    assert rows[2][7] == "10.0"


@pytest.mark.parametrize("words", [["r3gan", "width=16"], ["stylegan2_f", "most=16"]], ids=" ".join)
def test_networks_that_ask_for_autocast_are_counted_without_memory(words):
    """The meta device has no autocast, and refuses to be asked."""
    recipe, option = words
    players = ("generator", "discriminator")
    config = completed(f"experiment={recipe}", *(f"model.{p}.{option}" for p in players))
    with torch.device("meta"):
        gan = Experiment(**config).build()
    assert costs.flops(gan, 4) > 0
