"""Inversion: exact answers of linear generators, spaces, starts, classes, files and messages."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import ganlab
from commands import run_main, run_train, runs_in, trained
from conftest import small_gan
from ganlab import conditioning
from ganlab.commands import command_line
from ganlab.commands.inversion import from_file
from ganlab.data import Digits, Folder
from ganlab.data.images import normalised
from ganlab.invert import invert
from ganlab.latent import Gaussian, Uniform
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.networks.contract import Generator
from ganlab.sampling.inversion import Inversion, perception, psnr, ramp
from ganlab.spec import ImageSpec
from styles import SmallStyle

SPEC = Digits().spec


class Linear(Generator):
    """Images A z, so that the nearest image has a closed form."""

    def __init__(self, dim: int, scale: float = 0.1) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(1)
        self.matrix = nn.Parameter(scale * torch.randn(256, dim, generator=random))

    def forward(self, z):
        return (z @ self.matrix.T).view(-1, *SPEC.shape)


class Folded(Linear):
    """Images A |z - 1|: a start on the wrong side of 1 seldom comes to the other."""

    def forward(self, z):
        return super().forward((3 * z).sin() + 0.3 * z)


def linear(latent=None, **options):
    return small_gan(generator=Linear(6), latent=latent or Gaussian(6), **options).eval()


PLAIN = {"features": 0, "prior": 0}


def test_the_inverse_of_a_linear_generator_is_that_of_least_squares():
    gan = linear()
    target = torch.rand(SPEC.shape, generator=torch.Generator().manual_seed(2)) - 0.5
    matrix = gan.generator.matrix.detach()
    want = torch.linalg.lstsq(matrix, target.view(-1, 1)).solution.flatten()
    found = Inversion(gan, **PLAIN, starts=3, steps=400, rate=0.3)(target)
    assert torch.allclose(found.point, want, atol=1e-3)
    least = (matrix @ want - target.flatten()).square().mean().item()
    assert found.loss == pytest.approx(least, rel=1e-4)
    assert found.space == "z"
    assert (found.image.shape, found.steps.shape) == (SPEC.shape, (6, *SPEC.shape))


def test_an_image_of_the_generator_is_found():
    gan = linear()
    target = gan.sample(1, seed=77)[0]
    found = Inversion(gan, starts=2, steps=400, prior=0)(target)
    assert torch.allclose(found.point, gan.fixed_latents(1, 77)[0], atol=0.01)
    assert found.psnr > 50


def test_of_several_starts_the_best_wins_and_none_depends_on_the_others():
    gan = small_gan(generator=Folded(6), latent=Gaussian(6)).eval()
    target = gan.sample(1, seed=5)[0]
    several = Inversion(gan, **PLAIN, starts=8, steps=60)(target)
    first = Inversion(gan, **PLAIN, starts=1, steps=60)(target)
    assert several.start > 0
    assert several.loss < first.loss / 2, "one start ends in a valley of its own"
    again = Inversion(gan, **PLAIN, starts=8, steps=60)(target)
    assert torch.equal(again.point, several.point), "one seed is one result"
    assert torch.equal(several.steps[-1], again.steps[-1])


def test_no_steps_take_the_best_random_sample():
    gan = linear()
    target = gan.sample(20, seed=0)[13]
    found = Inversion(gan, starts=20, steps=0)(target)
    assert (found.start, found.loss) == (13, pytest.approx(0, abs=1e-9))
    assert found.psnr > 60


def test_the_prior_keeps_gaussian_noise_near_its_sphere():
    gan = linear()
    target = gan.generate(3 * gan.fixed_latents(1, 4))[0]
    size = lambda prior: (
        Inversion(gan, features=0, prior=prior, starts=2, steps=300)(target).point.square().mean()
    )
    assert size(0) > 4
    assert 0.8 < size(10) < 1.5


def test_uniform_noise_stays_in_its_range():
    latent = Uniform(6, -1, 2)
    gan = linear(latent)
    target = gan.generate(torch.full((1, 6), 3.0))[0]
    found = Inversion(gan, **PLAIN, starts=2, steps=200, rate=0.3)(target)
    assert torch.allclose(found.point, torch.full((6,), 2.0), atol=1e-3)


def test_w_and_one_w_for_each_layer():
    gan = small_gan(generator=SmallStyle(SPEC, 8)).eval()
    torch.manual_seed(3)
    with torch.no_grad():
        own = torch.rand(1, 3, 6)
        target = gan.generator.synthesis(own)[0]
    asked = {"starts": 4, "steps": 300, **PLAIN}
    found = {space: Inversion(gan, space, **asked)(target) for space in ("z", "w", "w+")}
    assert [one.space for one in found.values()] == ["z", "w", "w+"]
    assert found["w+"].point.shape == (3, 6)
    assert found["w"].point.shape == (6,)
    assert found["w+"].loss < 1e-5 < found["w"].loss
    assert found["w"].loss <= found["z"].loss * 1.01, "w reaches all that z does"
    assert Inversion(gan, **asked)(target).space == "w"
    with torch.no_grad():
        again = gan.generator.synthesis(found["w+"].point.unsqueeze(0))[0]
    assert torch.allclose(again, found["w+"].image, atol=1e-5)


def test_the_first_start_of_w_is_the_mean():
    gan = small_gan(generator=SmallStyle(SPEC, 8)).eval()
    with torch.no_grad():
        target = gan.generator.synthesis(gan.generator.w_mean.unsqueeze(0))[0]
    found = Inversion(gan, starts=3, steps=0)(target)
    assert found.start == 0
    assert torch.equal(found.point, gan.generator.w_mean)


def classed():
    """A linear generator, to which the class adds a picture of its own."""
    spoken = conditioning.Concat(SPEC)
    judge = DCGANDiscriminator(spoken.shown, width=8)
    generator = Linear(6 + 10)
    return small_gan(
        generator=generator, discriminator=judge, conditioning=spoken, latent=Gaussian(6)
    ).eval()


def test_all_classes_are_tried_unless_one_is_given():
    gan = classed()
    target = gan.sample(1, seed=8, labels=7)[0]
    found = Inversion(gan, starts=2, steps=200)(target)
    assert found.code.argmax() == 7
    assert found.psnr > 40
    forced = Inversion(gan, starts=2, steps=200)(target, label=3)
    assert forced.code.argmax() == 3
    assert forced.loss > 10 * found.loss


def test_ds_features_count_and_neither_network_changes():
    gan = small_gan()
    gan.generator.train()
    gan.discriminator.train()
    before = {name: tensor.clone() for name, tensor in gan.state_dict().items()}
    target = normalised(Digits().read().images[:1])[0]
    blind = Inversion(gan, starts=2, steps=5, features=0)(target)
    seeing = Inversion(gan, starts=2, steps=5, features=5.0)(target)
    assert not torch.equal(blind.point, seeing.point)
    assert gan.generator.training
    assert gan.discriminator.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in gan.state_dict().items())
    assert all(parameter.grad is None for parameter in gan.parameters())


def test_a_discriminator_that_compares_images_has_no_features_of_one():
    judge = DCGANDiscriminator(SPEC, width=8, minibatch="std")
    with perception(small_gan(discriminator=judge)) as look:
        assert look is None
    with perception(small_gan()) as look:
        assert look is not None


def test_the_rate_rises_and_falls():
    rates = [ramp(i / 100) for i in range(101)]
    assert rates[0] == rates[100] == 0
    assert rates[5:76] == [1.0] * 71
    assert rates[:6] == sorted(rates[:6])
    assert rates[75:] == sorted(rates[75:], reverse=True)


def test_psnr_is_that_of_bytes():
    a, b = torch.full((1, 4, 4), -1.0), torch.full((1, 4, 4), -1 + 2 * 10 / 255)
    assert psnr(a, b) == pytest.approx(20 * np.log10(255 / 10))
    assert psnr(a, a + 1e-4) == float("inf")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"starts": 0}, "starts must be at least 1, got 0"),
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"rate": 0}, "rate must be greater than 0, got 0"),
        ({"space": "w"}, "space=w: the generator of this run has z alone"),
        ({"space": "x"}, r"space must be one of z, w, w\+; got 'x'"),
    ],
)
def test_numbers_out_of_range_get_a_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        Inversion(small_gan(), **given)


# The command -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"), "iterations=2")


def run_invert(*words):
    show = lambda written: print(*written, sep="\n")
    return run_main(lambda: command_line.call(invert, show), *words)


def test_the_command_writes_a_picture_numbers_and_points(finished, tmp_path):
    asked = [f"run={finished}", f"output={tmp_path}", "steps=3", "starts=2"]
    outcome = run_invert(*asked, "image=[train:0-1,train:5]")
    assert (outcome.code, outcome.err) == (0, "")
    names = [line.rpartition("/")[2] for line in outcome.out.splitlines()[-3:]]
    stem = "iteration-0000002-train-0-to-train-5-n-3-z-seed-0"
    assert names == [f"{stem}.png", f"{stem}.json", f"{stem}.npz"]
    with Image.open(tmp_path / names[0]) as picture:
        assert picture.size == (8 * 66 + 2, 3 * 66 + 2)
    found = json.loads((tmp_path / names[1]).read_text())
    assert [one["image"] for one in found["images"]] == ["train-0", "train-1", "train-5"]
    assert f"train-5  PSNR {found['images'][2]['psnr']:.2f} dB" in outcome.out
    assert "mean of 3  PSNR" in outcome.out
    gan = ganlab.load(finished)
    with np.load(tmp_path / names[2], allow_pickle=False) as arrays:
        z = torch.from_numpy(np.concatenate([arrays["points"], arrays["codes"]], axis=1))
        assert arrays["images"].tolist() == ["train-0", "train-1", "train-5"]
    images, wanted = gan.generate(z), normalised(Digits().read().images[[0, 1, 5]])
    for image, target, one in zip(images, wanted, found["images"], strict=True):
        assert psnr(image, target) == pytest.approx(one["psnr"], abs=0.01)


@pytest.mark.parametrize("fit", ["crop", "pad", "squeeze"])
def test_a_file_is_converted_as_a_folder_is(fit, tmp_path):
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 30, 3), np.uint8)).save(tmp_path / "a.png")
    spec = ImageSpec(1, 16)
    found = from_file(tmp_path / "a.png", spec, fit)
    want = Folder(tmp_path, size=16, channels=1, fit=fit).read().images[0]
    assert torch.equal(found.pixels, want)
    assert found.name == "a"


def test_a_file_of_any_kind_is_inverted(finished, tmp_path):
    Image.new("RGBA", (50, 33), (200, 10, 10, 128)).save(tmp_path / "red.png")
    outcome = run_invert(
        f"run={finished}", f"image={tmp_path / 'red.png'}", "steps=2", f"output={tmp_path}"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert "red  PSNR" in outcome.out
    assert (tmp_path / "iteration-0000002-red-z-seed-0.json").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["image=no.png"], "image: there is no file 'no.png'"),
        (["image=train:1797"], "image: train has images 0 to 1796, and no 1797"),
        (["image=test:0"], "image: this data holds no images out; take train:0 or a file"),
        (
            ["image=train:a"],
            "image: expected numbers and ranges such as 0-99,200, got 'a'",
        ),
        (["image=train:0", "root=x"], "root: Digits of this run has no location; leave root out"),
        (["image=train:0,5-3"], "image: expected a range from the lower number, got '5-3'"),
        (["image=train:0", "label=3"], "label: the generator of this run has no classes"),
        (["image=train:0", "space=w+"], "space=w+: the generator of this run has z alone"),
        (["image=train:0", "starts=0"], "starts must be at least 1, got 0"),
    ],
)
def test_mistakes_get_a_sentence(words, said, finished, tmp_path):
    outcome = run_invert(f"run={finished}", f"output={tmp_path / 'none'}", *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.splitlines()[1].strip() == said
    assert not (tmp_path / "none").exists()


def test_a_damaged_file_gets_a_sentence(finished, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    outcome = run_invert(f"run={finished}", f"image={tmp_path / 'text.png'}")
    assert outcome.code == 2
    assert f"image: '{tmp_path / 'text.png'}': not an image, or damaged" in outcome.err


def test_points_are_not_inverted(tmp_path):
    toy = ["data=ring_2d", "data.n=64", "model=toy", "iterations=1", "batch_size=32"]
    words = ["trainer=smoke", "logger=csv", f"output_dir={tmp_path}", "latent.dim=2"]
    assert run_train(*words, *toy).code == 0
    (run,) = runs_in(tmp_path)
    outcome = run_invert(f"run={run}", "image=train:0")
    assert "image: this run makes points; only images are inverted" in outcome.err


def test_a_generator_that_is_told_a_class_gives_it(tmp_path):
    run = trained(tmp_path, "conditioning=concat", "iterations=2")
    outcome = run_invert(f"run={run}", "image=train:3", "label=4", "steps=2", "starts=1")
    assert (outcome.code, outcome.err) == (0, "")
    (numbers,) = (run / "inverted").glob("*.json")
    assert json.loads(numbers.read_text())["images"][0]["class"] == 4


def test_a_dcgan_is_inverted_better_than_by_chance():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator = DCGANGenerator(SPEC, 8, width=8)
        for parameter in generator.parameters():
            parameter.data *= 2
    gan = small_gan(generator=generator).eval()
    target = gan.sample(1, seed=99)[0]
    found = Inversion(gan, starts=4, steps=100)(target)
    chance = Inversion(gan, starts=400, steps=0)(target)
    assert found.loss < chance.loss / 3
