"""The same seed, the same image: whatever else is drawn, in whatever form it is saved."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import ganlab
from commands import run_sample, trained
from conftest import small_gan
from ganlab import conditioning
from ganlab.commands import sampling
from ganlab.data import Digits
from ganlab.gan import GAN
from ganlab.latent import Gaussian, Uniform
from ganlab.networks import DCGANDiscriminator, DCGANGenerator
from ganlab.plots import pictures
from ganlab.training.seeded import BLOCK, classes_for, rows

SPEC = Digits().spec


def told(kind):
    """A small GAN whose generator has room for a code."""
    spoken = kind(SPEC)
    networks = {
        "generator": DCGANGenerator(SPEC, 8 + spoken.code_dim, width=8),
        "discriminator": DCGANDiscriminator(spoken.shown, width=8),
    }
    return small_gan(**networks, conditioning=spoken).eval()


KINDS = [conditioning.Conditioning, conditioning.Concat, conditioning.InfoGAN]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    words = ["iterations=4", "checkpoint_every=2"]
    return trained(tmp_path_factory.mktemp("outputs"), *words)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("latent", [Gaussian(7), Uniform(3)])
def test_a_latent_does_not_depend_on_how_many_are_drawn(kind, latent):
    gan = small_gan(conditioning=kind(SPEC), latent=latent)
    most = gan.fixed_latents(3 * BLOCK + 5, seed=9)
    for n in (1, 2, 5, 15, 16, 17, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 3):
        assert torch.equal(gan.fixed_latents(n, seed=9), most[:n])
    assert len(most.unique(dim=0)) == len(most)
    assert not torch.equal(gan.fixed_latents(5, seed=8), most[:5])


def test_what_torch_draws_at_once_does_depend_on_it():
    """The wrong version: the last 16 numbers are drawn anew, and codes follow all noise."""
    drawn = [Gaussian(7).sample(n, torch.Generator().manual_seed(9)) for n in (5, 300)]
    assert not torch.equal(drawn[0], drawn[1][:5])


@pytest.mark.parametrize("kind", KINDS)
def test_the_image_of_a_seed_is_the_first_of_that_seed(kind):
    gan = told(kind)
    seeds = [40, 3, 2**32 - 1, 0]
    images = gan.sample(seeds=seeds)
    for image, seed in zip(images, seeds, strict=True):
        alone = gan.sample(1, seed, labels=seed % 10)[0]
        assert torch.allclose(image, alone, atol=1e-6)
    assert torch.allclose(gan.sample(seeds=seeds[2:]), images[2:], atol=1e-6)


def test_labels_are_given_in_every_usual_form():
    gan = told(conditioning.Concat)
    alike = [gan.sample(4, labels=labels) for labels in ([1, 2], (1, 2), torch.tensor([1, 2]))]
    for images in alike:
        assert torch.equal(images, gan.sample(4, labels=[1, 2, 1, 2]))
    assert torch.equal(gan.sample(3, labels=5), gan.sample(3, labels=[5]))
    assert len(gan.sample()) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 0}, "n must be at least 1, got 0"),
        ({"n": -3}, "n must be at least 1, got -3"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"seeds": []}, "number of seeds must be at least 1, got 0"),
        ({"seeds": [3, -1]}, "seed must be at least 0, got -1"),
        ({"labels": [10]}, r"labels must be one or more of 0 to 9, got \[10\]"),
        ({"labels": []}, r"labels must be one or more of 0 to 9, got \[\]"),
    ],
)
def test_numbers_out_of_range_get_a_sentence(given, said):
    gan = small_gan(conditioning=conditioning.Concat(SPEC))
    with pytest.raises(ValueError, match=said):
        gan.sample(**given)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(n=st.integers(1, 300), more=st.integers(1, 300), dim=st.integers(1, 5))
def test_rows_are_prefixes(n, more, dim):
    def draw(labels, stream):
        noise = torch.randn(len(labels), dim, generator=stream)
        return torch.cat([noise, torch.rand(len(labels), 2, generator=stream)], dim=1)

    labels = classes_for(range(n + more), None, 10)
    assert torch.equal(rows(draw, labels[:n], 1), rows(draw, labels, 1)[:n])


def test_one_attribute_is_the_generator_that_samples():
    gan = small_gan(ema=0.9).eval()
    with torch.no_grad():
        gan.ema.network.get_parameter(next(n for n, _ in gan.generator.named_parameters())).add_(1)
    z = gan.fixed_latents(2)
    assert torch.equal(gan(z), gan.sample(2))
    assert torch.equal(gan.sampler(z), gan.sample(2))
    assert not torch.equal(gan.generator.eval()(z), gan.sample(2))
    assert small_gan().sampler is not gan.sampler


def test_lightnings_own_way_names_the_right_one(finished):
    file = next((finished / "checkpoints").glob("*.ckpt"))
    with pytest.raises(NotImplementedError, match=r"ganlab\.load\('RUN'\)"):
        GAN.load_from_checkpoint(file)


# The command ------------------------------------------------------------------------------------


def drawn(finished, output, *words):
    outcome = run_sample(f"run={finished}", f"output={output}", *words)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return outcome.out.split()


def test_seeds_name_their_files(finished, tmp_path):
    grid, _ = drawn(finished, tmp_path, "seeds='3-5,9'", "singles=true")
    assert grid.endswith("iteration-0000004-seeds-3+4+5+9-n-4.png")
    files = sorted(tmp_path.glob("*/*.png"))
    assert [file.name for file in files] == [f"seed-0000{s}.png" for s in (3, 4, 5, 9)]
    gan = ganlab.load(finished)
    for file, seed in zip(files, (3, 4, 5, 9), strict=True):
        pixels = pictures.to_pixels(gan.sample(1, seed))[0, :, :, 0]
        assert np.abs(np.asarray(Image.open(file)).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize(
    ("text", "seeds"),
    [(7, [7]), ("7", [7]), ("0-3", [0, 1, 2, 3]), ("5,1-2", [5, 1, 2]), ([4, 4], [4, 4])],
)
def test_seeds_are_numbers_and_ranges(text, seeds):
    assert sampling.seeds_in(text) == seeds


def test_an_output_that_is_a_file_is_a_mistake(finished, tmp_path):
    (tmp_path / "file").touch()
    outcome = run_sample(f"run={finished}", f"output={tmp_path / 'file'}", "n=1")
    assert (outcome.code, outcome.out) == (2, "")
    assert f"'{tmp_path / 'file'}': File exists" in outcome.err


def test_one_seed_is_a_number(finished, tmp_path):
    (picture,) = drawn(finished, tmp_path, "seeds=7")
    assert "seeds-7-n-1" in str(picture)


@pytest.mark.parametrize(
    "text", ["", "a", "3-", "-3", "1--2", "5-1", "1,5-4", "0-99999999", "4294967296"]
)
def test_other_seeds_get_a_sentence(text, finished):
    outcome = run_sample(f"run={finished}", f"seeds='{text}'")
    assert outcome.code == 2
    assert "seed" in outcome.err


def test_many_images_are_single_files_and_never_one_picture(finished, tmp_path):
    (folder,) = drawn(finished, tmp_path, f"n={sampling.MOST + 1}")
    assert len(list(tmp_path.glob("*.png"))) == 0
    assert len(list((tmp_path / folder).glob("*.png"))) == sampling.MOST + 1


def test_an_array_is_written_part_by_part(finished, tmp_path):
    (file,) = drawn(finished, tmp_path, "n=11", "array=true", "seed=2", "batch_size=4")
    array = np.load(file)
    want = pictures.to_pixels(ganlab.load(finished).sample(11, seed=2))
    assert (array.dtype, array.shape) == (np.uint8, want.shape)
    assert np.abs(array.astype(int) - want).max() <= 1


def test_an_earlier_checkpoint_or_a_file_is_sampled(finished, tmp_path):
    file = finished / "checkpoints" / "iteration-0000002.ckpt"
    gans = [ganlab.load(finished, checkpoint="2"), ganlab.load(file), ganlab.load(str(file))]
    assert {gan.iterations for gan in gans} == {2}
    names = [drawn(finished, tmp_path, "n=1", "checkpoint=2"), drawn(file, tmp_path, "n=1")]
    assert names[0] == names[1]
    assert "iteration-0000002" in names[0][0]
    refused = run_sample(f"run={finished}", "checkpoint=3")
    assert refused.code == 2
    assert f"checkpoint: '{finished}' has no '3' (2, 4, last, best)" in refused.err


def test_a_folder_above_runs_means_the_newest(finished, tmp_path):
    assert ganlab.load(finished.parent).iterations == 4
    assert ganlab.load(finished.parents[1]).iterations == 4
    refused = run_sample(f"run={tmp_path}")
    assert refused.code == 2
    assert "is no run: it has no config.yaml" in refused.err


def test_classes_have_names(tmp_path):
    """They are kept in the checkpoint: sampling needs no data."""
    root = tmp_path / "data"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for i in range(8):
            Image.new("L", (16, 16), 16 * i).save(root / name / f"{i}.png")
    words = ["data=folder", f"data.root={root}", "conditioning=concat", "batch_size=4"]
    run = trained(tmp_path / "outputs", *words)
    assert ganlab.load(run).class_names == ["cat", "dog"]
    root.rename(tmp_path / "gone")
    by_name = drawn(run, tmp_path / "a", "n=3", "labels=dog")
    assert by_name[0].endswith("seed-0-labels-1-n-3.png")
    assert Image.open(by_name[0]) == Image.open(drawn(run, tmp_path / "b", "n=3", "labels=1")[0])
    refused = run_sample(f"run={run}", "labels=[dog,cta]")
    assert refused.code == 2
    assert "labels: there is no class 'cta'; did you mean 'cat'?" in refused.err
