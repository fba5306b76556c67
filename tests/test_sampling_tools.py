"""What a trained G is used for: truncation, streams, films, directions; closed forms and files."""

import json
import sys
import weakref
import zipfile

import av
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from scipy import stats
from torch import nn

import ganlab
from commands import run_evaluate, run_sample, summary, trained
from conftest import same, small_gan, weights
from ganlab import conditioning
from ganlab.data import Digits
from ganlab.latent import Gaussian, Uniform
from ganlab.networks import (
    BigGANGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
    ResNetGenerator,
    VanillaGenerator,
)
from ganlab.networks.contract import Generator
from ganlab.plots import films, pictures
from ganlab.sampling import directions, streams
from ganlab.sampling.drawn import Drawn
from ganlab.sampling.films import Film
from ganlab.sampling.paths import closed_cubic, interpolation, polygon, spherical
from ganlab.spec import ImageSpec
from ganlab.training.seeded import regrouped
from ganlab.training.statistics import recompute
from styles import SmallStyle

SPEC = Digits().spec


def styled(**options):
    return small_gan(generator=SmallStyle(SPEC, 8), **options).eval()


def told(kind):
    """A small GAN whose generator has room for a code."""
    spoken = kind(SPEC)
    networks = {
        "generator": DCGANGenerator(SPEC, 8 + spoken.code_dim, width=8),
        "discriminator": DCGANDiscriminator(spoken.shown, width=8),
    }
    return small_gan(**networks, conditioning=spoken).eval()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("outputs"), "iterations=2")


def sampled(finished, output, *words):
    outcome = run_sample(f"run={finished}", f"output={output}", *words)
    assert (outcome.code, outcome.err) == (0, ""), outcome
    return [output / line.rpartition("/")[2] for line in outcome.out.splitlines() if "/" in line]


def refused(finished, *words):
    outcome = run_sample(f"run={finished}", *words)
    assert (outcome.code, outcome.out) == (2, "")
    return outcome.err.splitlines()[1].strip()


# Truncation --------------------------------------------------------------------------------------


def redrawn(bound, rows=4000):
    random = torch.Generator().manual_seed(0)
    latent = Gaussian(50)
    z = latent.sample(rows, random)
    return z, latent.truncated(z, bound, random)


@pytest.mark.parametrize("bound", [0.05, 0.7, 2.0])
def test_truncated_noise_is_a_truncated_normal_and_clipped_noise_is_not(bound):
    z, found = redrawn(bound)
    law = stats.truncnorm(-bound, bound)
    right = stats.kstest(found.flatten().numpy(), law.cdf).statistic
    assert right < 0.006
    assert found.double().var().item() == pytest.approx(law.var(), rel=0.02)
    assert found.abs().max().item() <= bound * (1 + 1e-6)
    clipped = z.clamp(-bound, bound)  # the wrong version: the tails heap up at the edges
    assert stats.kstest(clipped.flatten().numpy(), law.cdf).statistic > 2 * right
    assert clipped.double().var().item() > 1.1 * law.var()
    edge = lambda x: (x.abs() > 0.999 * bound).float().mean().item()
    assert edge(found) < 0.01 < edge(clipped)


def test_what_lies_within_the_bound_stays_so_a_truncated_image_is_like_its_seeds():
    z, found = redrawn(2.0, rows=10)
    kept = z.abs() <= 2
    assert torch.equal(found[kept], z[kept])
    assert not (found == z)[~kept].any()


@pytest.mark.parametrize("kind", [conditioning.Conditioning, conditioning.InfoGAN])
def test_a_truncated_latent_does_not_depend_on_how_many_are_drawn_and_its_code_stays(kind):
    gan = told(kind)
    most = gan.fixed_latents(150, 3, truncation=0.7)
    for n in (1, 15, 64, 65):
        assert torch.equal(gan.fixed_latents(n, 3, truncation=0.7), most[:n])
    assert torch.equal(gan.code_in(most), gan.code_in(gan.fixed_latents(150, 3)))
    assert most[:, :8].abs().max() <= 0.7 + 1e-6
    with gan.truncating(0.7):
        assert torch.equal(gan.sample(5, 3, truncation=0.7), gan.generate(most[:5]))
    by_seed = gan.seeded_latents([3, 4], labels=[0], truncation=0.7)
    assert torch.equal(by_seed[0], gan.fixed_latents(1, 3, [0], truncation=0.7)[0])


@pytest.mark.parametrize("average", [None, 0.9])
def test_batchnorms_statistics_are_those_of_truncated_noise_and_come_back(average):
    generator = DCGANGenerator(SPEC, 8, width=8)
    for parameter in generator.parameters():
        if parameter.ndim > 1:
            parameter.data *= 30  # far above BatchNorm's epsilon
    gan = small_gan(generator=generator, ema=average, ema_statistics="recompute").eval()
    layer = next(m for m in gan.sampler.modules() if isinstance(m, nn.BatchNorm2d))
    if average is None:
        recompute(generator, gan._standing())
    gan.generator.train()
    before = weights(gan)
    latents = gan.fixed_latents(500, truncation=0.3)

    def variance(z):
        seen = []
        hook = layer.register_forward_hook(lambda _m, _i, output: seen.append(output.clone()))
        gan.generate(z, 500)
        hook.remove()
        return (seen[0].var(dim=(0, 2, 3)) / layer.weight**2).mean().item()

    with gan.truncating(0.3):
        assert variance(latents) == pytest.approx(1, abs=0.2)
        assert gan.generator.training
    assert variance(latents) < 0.2, "the wrong version: with the statistics of all noise"
    gan.sample(2, truncation=0.3)
    assert same(weights(gan), before)
    assert gan.generator.training


def test_w_moves_towards_its_mean():
    gan = styled()
    g, z = gan.generator, gan.fixed_latents(6, 1)
    with torch.no_grad():
        want = g.synthesis(g.w_mean + 0.7 * (g.mapping(z) - g.w_mean))
        middle = g.synthesis(g.w_mean.unsqueeze(0))
    assert torch.allclose(gan.sample(6, 1, truncation=0.7), want, atol=1e-6)
    assert torch.equal(gan.sample(6, 1, truncation=1.0), gan.sample(6, 1))
    assert torch.allclose(
        gan.sample(6, 1, truncation=1e-6), middle.expand(6, -1, -1, -1), atol=1e-4
    )
    assert torch.equal(gan.fixed_latents(6, 1, truncation=0.7), z), "z is not truncated as well"


def test_the_average_of_g_is_truncated_by_its_own_mean():
    gan = styled(ema=0.9)
    gan.ema.network.w_mean.add_(1)
    g, z = gan.ema.network, gan.fixed_latents(3)
    with torch.no_grad():
        want = g.synthesis(torch.lerp(g.w_mean, g.mapping(z), 0.5))
    assert torch.allclose(gan.sample(3, truncation=0.5), want, atol=1e-6)


def test_uniform_noise_has_no_tails():
    gan = small_gan(latent=Uniform(8))
    said = "truncation: redraws the tails of Gaussian noise, and the noise of this model is uniform"
    for ask in (gan.sample, gan.fixed_latents):
        with pytest.raises(ValueError, match=said):
            ask(2, truncation=0.7)
    with pytest.raises(ValueError, match="truncation must be greater than 0, got 0"):
        small_gan().sample(2, truncation=0)
    with pytest.raises(ValueError, match="truncation must be finite, got inf"):
        styled().sample(2, truncation=float("inf"))


def test_every_form_of_samples_is_truncated(finished, tmp_path):
    gan = ganlab.load(finished)
    want = pictures.to_pixels(gan.sample(4, truncation=0.4))
    (array,) = sampled(finished, tmp_path, "n=4", "truncation=0.4", "array=true")
    assert array.name.endswith("seed-0-truncation-0.4-n-4.npy")
    assert np.abs(np.load(array).astype(int) - want).max() <= 1
    grid, folder, walk = sampled(
        finished, tmp_path, "n=4", "truncation=0.4", "singles=true", "interpolate=1"
    )
    singles = [np.asarray(pictures.opened(f)) for f in sorted(folder.iterdir())]
    assert np.abs(np.stack(singles).astype(int) - want).max() <= 1
    assert (np.asarray(pictures.opened(grid)) == pictures.grid(gan.sample(4, truncation=0.4))).all()
    other = sampled(finished, tmp_path, "n=4", "interpolate=1")[1]
    assert other.read_bytes() != walk.read_bytes()


def test_class_sheets_are_truncated():
    gan = told(conditioning.Concat)
    plain, short = gan.sheets(4)["classes"], gan.sheets(4, truncation=0.3)["classes"]
    assert torch.equal(plain[:, 8:], short[:, 8:])
    assert short[:, :8].abs().max() <= 0.3 + 1e-6 < plain[:, :8].abs().max()


def test_scores_of_truncated_images_say_so_and_make_a_curve(finished):
    asked = [f"run={finished}", "extractor=classifier", "n=100", "real=200", "kept=100"]
    one = run_evaluate(*asked, "truncation=0.5")
    assert (one.code, one.err) == (0, "")
    assert "frechet/classifier-digits/100/real-200/truncated-0.5" in one.out
    assert "uint8, rounded, truncation 0.5)" in one.out
    real = one.out.partition("held-out images")[2] or one.out.partition("training images")[2]
    assert real, "beside them are scores of real images"
    assert "truncated" not in real
    curve = run_evaluate(*asked, "truncation=[0.5,null]", "format=json")
    assert curve.code == 0
    for row in ("| truncation 0.5 |", "| not truncated |"):
        assert row in curve.err
    rows = json.loads(curve.out)["truncations"]
    assert [row["truncation"] for row in rows] == [0.5, None]
    assert rows[0]["scores"]["recall"]["name"].endswith("/truncated-0.5")
    assert f"{rows[0]['scores']['recall']['value']:.4g}" in one.out, "the same as alone"
    assert pictures.opened(finished / "truncation-0000002.png").width > 100
    names = {s["name"] for card in summary(finished)["scores"] for s in card["scores"].values()}
    assert rows[0]["scores"]["precision"]["name"] in names
    wrong = run_evaluate(*asked, "truncation=[0.5,1]", "by_class=true")
    said = "truncation: several values do not go with by_class"
    assert (wrong.code, wrong.err.splitlines()[1].strip()) == (2, said)


# Streams -----------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(0, 9), max_size=8), size=st.integers(1, 12))
def test_regrouped_rows_are_the_same_rows(sizes, size):
    rows = torch.arange(sum(sizes))
    found = list(regrouped(rows.split(sizes) if sizes else [], size))
    assert torch.equal(torch.cat(found) if found else rows, rows)
    assert [len(part) for part in found[:-1]] == [size] * (len(found) - 1)
    assert all(0 < len(part) <= size for part in found)


@pytest.mark.parametrize("size", [1, 7, 64, 256])
def test_streamed_latents_are_the_fixed_ones(size):
    gan = told(conditioning.InfoGAN)
    parts = list(gan.streamed_latents(150, 5, truncation=0.9, size=size))
    assert torch.equal(torch.cat(parts), gan.fixed_latents(150, 5, truncation=0.9))
    assert {len(part) for part in parts[:-1]} <= {size}


def test_latents_are_drawn_when_they_are_wanted(monkeypatch):
    gan, drawn = small_gan(), []
    draw = gan._draw
    monkeypatch.setattr(gan, "_draw", lambda *a: drawn.append(1) or draw(*a))
    parts = gan.streamed_latents(10**5, size=100)
    assert len(next(iter(parts))) == 100
    assert len(drawn) == 2, "two blocks of 64"


NETWORKS = {
    "dcgan": lambda: DCGANGenerator(ImageSpec(1, 28), 8, width=32),
    "vanilla": lambda: VanillaGenerator(ImageSpec(1, 28), 8),
    "resnet": lambda: ResNetGenerator(ImageSpec(3, 32), 8, width=8),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_images_hardly_depend_on_the_batch_size_and_not_at_all_on_n(name):
    torch.manual_seed(0)
    network = NETWORKS[name]()
    gan = small_gan(generator=network, spec=ImageSpec(3 if name == "resnet" else 1, 28)).eval()
    made = lambda n, size: torch.cat(
        [pictures.quantised(part) for part in Drawn(gan, n, batch_size=size).parts()]
    )
    want = made(150, 256).int()
    for size in (1, 7, 64):
        apart = (made(150, size).int() - want).abs()
        assert apart.max() <= 1
        assert (apart > 0).float().mean() < 1e-3
    assert torch.equal(made(70, 64), made(150, 64)[:70]), "bit for bit: the last part is filled"


@pytest.mark.parametrize("kind", [conditioning.Conditioning, conditioning.Concat])
def test_an_npz_is_what_evaluators_read(kind, tmp_path):
    gan = told(kind)
    file = streams.save_npz(Drawn(gan, 21, seed=2, batch_size=8), tmp_path / "a.npz")
    with np.load(file, allow_pickle=False) as found:
        images = found["arr_0"]
        assert (images.dtype, images.shape) == (np.uint8, (21, 16, 16, 3))
        assert np.abs(images.astype(int) - pictures.to_pixels(gan.sample(21, 2))).max() <= 1
        if kind is conditioning.Concat:
            assert found["arr_1"].tolist() == [i % 10 for i in range(21)]
        else:
            assert found.files == ["arr_0"]
    again = streams.save_npz(Drawn(gan, 21, seed=2, batch_size=8), tmp_path / "b.npz")
    assert again.read_bytes() == file.read_bytes()
    assert zipfile.ZipFile(file).testzip() is None


def test_four_channels_lose_their_transparency():
    images = torch.rand(2, 4, 3, 3)
    assert torch.equal(streams.coloured(images), images[:, :3])


@pytest.mark.parametrize("save", [streams.save_npz, streams.save_array])
def test_an_interrupted_stream_leaves_no_file(save, tmp_path, monkeypatch):
    drawn = Drawn(small_gan().eval(), 20, batch_size=4)
    whole = drawn.parts

    def broken():
        yield from (part for part, _ in zip(whole(), range(2), strict=False))
        raise KeyboardInterrupt

    monkeypatch.setattr(drawn, "parts", broken)
    with pytest.raises(KeyboardInterrupt):
        save(drawn, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_an_npz_from_the_command(finished, tmp_path):
    (file,) = sampled(finished, tmp_path, "n=9", "npz=true", "batch_size=4")
    assert np.load(file, allow_pickle=False)["arr_0"].shape == (9, 16, 16, 3)
    assert list(tmp_path.iterdir()) == [file]


# Films -------------------------------------------------------------------------------------------


def test_a_great_circle_has_constant_speed_and_a_line_leaves_the_sphere():
    start, end = torch.randn(2, 4, 100, generator=torch.Generator().manual_seed(1))
    start, end = (10 * torch.nn.functional.normalize(x, dim=1) for x in (start, end))
    path = interpolation(start, end, 9, spherical).view(4, 9, 100)
    cosines = torch.cosine_similarity(path[:, 1:], path[:, :-1], dim=2).double()
    assert torch.allclose(cosines, cosines[:, :1].expand_as(cosines), atol=1e-5)
    assert torch.allclose(path.norm(dim=2), torch.tensor(10.0), atol=1e-4)
    line = interpolation(start, end, 9, torch.lerp).view(4, 9, 100)
    assert (line[:, 4].norm(dim=1) < 8.5).all(), "the wrong version: its middle is no typical z"


@pytest.mark.parametrize(
    "loop", [lambda k: polygon(k, spherical), lambda k: polygon(k, torch.lerp), closed_cubic]
)
@pytest.mark.parametrize("keyframes", [2, 3, 5])
def test_a_loop_passes_its_keyframes_and_closes(loop, keyframes):
    keys = torch.randn(3, keyframes, 20, generator=torch.Generator().manual_seed(0))
    at = loop(keys)
    there = at(torch.arange(keyframes + 1).float())
    assert torch.allclose(there[:-1].transpose(0, 1), keys, atol=1e-5)
    assert torch.allclose(there[-1], there[0], atol=1e-5)
    near = at(torch.tensor([keyframes - 1e-3, 0.0]))
    assert (near[0] - near[1]).norm() < 0.1, "it closes without a jump"


def test_a_cubic_is_smooth_where_straight_lines_turn():
    keys = torch.randn(1, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    times = torch.tensor([0.999, 1.001, 3.999, 0.001], dtype=torch.float64)
    step = torch.tensor([1e-4], dtype=torch.float64)
    slopes = {}
    for name, at in {"cubic": closed_cubic(keys), "straight": polygon(keys, torch.lerp)}.items():
        before_1, after_1, before_4, after_4 = (at(t + step) - at(t.view(1)) for t in times)
        slopes[name] = max((before_1 - after_1).norm(), (before_4 - after_4).norm()) / 1e-4
    assert slopes["cubic"] < 0.05
    assert slopes["straight"] > 0.5


MODELS = [lambda: small_gan().eval(), styled, lambda: told(conditioning.Concat)]


@pytest.mark.parametrize("make", MODELS)
def test_one_seed_is_one_film_whose_walks_do_not_depend_on_their_number(make):
    gan = make()
    film = Film(gan, 3, between=4, walks=2, seed=5)
    frames = list(film)
    assert len(frames) == len(film) == 12
    again = list(Film(gan, 3, between=4, walks=2, seed=5))
    assert all((a == b).all() for a, b in zip(frames, again, strict=True))
    few, many = ([*Film(gan, 3, 4, walks=w, seed=5).images()] for w in (1, 3))
    assert all(torch.allclose(a[0], b[0], atol=1e-5) for a, b in zip(few, many, strict=True))
    other = list(Film(gan, 3, between=4, walks=2, seed=6))
    assert not (other[0] == frames[0]).all()
    parts = [*Film(gan, 3, 4, walks=3, seed=5, batch_size=2).images()]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(parts, many, strict=True))


def test_a_film_begins_at_a_keyframe_and_keeps_its_class():
    gan = told(conditioning.Concat)
    film = Film(gan, 2, between=2, walks=2, labels=[7, 1])
    images = [*film.images()]
    z = gan.fixed_latents(4, labels=[7, 7, 1, 1])
    assert torch.allclose(images[0], gan.generate(z[[0, 2]]), atol=1e-6)
    assert torch.allclose(images[2], gan.generate(z[[1, 3]]), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_frames_have_three_colours(channels):
    spec = ImageSpec(channels, 16)
    gan = small_gan(generator=DCGANGenerator(spec, 8, width=8), spec=spec)
    assert next(iter(Film(gan, 2, between=1, walks=1))).shape[2] == 3


def test_a_film_of_styles_is_truncated_in_w():
    gan = styled()
    image = next(iter(Film(gan, 2, walks=1, truncation=1e-6).images()))
    with torch.no_grad():
        want = gan.generator.synthesis(gan.generator.w_mean.unsqueeze(0))
    assert torch.allclose(image, want, atol=1e-4)


def colourful(count=5, height=31, width=45, grey=False):
    """Frames that move, of odd sizes."""
    y, x = np.mgrid[:height, :width]
    for i in range(count):
        bands = [(5 * x + 20 * i) % 256, (7 * y) % 256, np.full_like(x, 40 * i)]
        bands = bands[:1] * 3 if grey else bands
        yield np.stack(bands, axis=-1).astype(np.uint8)


def test_a_grey_gif_has_the_very_pixels_of_its_frames(tmp_path):
    path = tmp_path / "a.gif"
    films.save(colourful(grey=True), 5, path, "gif", fps=30)
    with Image.open(path) as found:
        assert (found.n_frames, found.info["loop"]) == (5, 0)
        read = [
            (np.asarray(f.convert("RGB")), f.info["duration"])
            for f in ImageSequence.Iterator(found)
        ]
    for (pixels, _), frame in zip(read, colourful(grey=True), strict=True):
        assert (pixels == films.enlarged(frame)).all()
    assert [duration for _, duration in read] == [30, 40, 30, 30, 40]


def test_a_gif_in_colour_has_nearly_its_colours(tmp_path):
    path = tmp_path / "a.gif"
    films.save(colourful(), 5, path, "gif", fps=10)
    with Image.open(path) as found:
        for shown, frame in zip(ImageSequence.Iterator(found), colourful(), strict=True):
            error = np.asarray(shown.convert("RGB")).astype(int) - films.enlarged(frame)
            assert np.abs(error).mean() < 8


def test_a_webp_is_read_back(tmp_path):
    path = tmp_path / "a.webp"
    films.save(colourful(), 5, path, "webp", fps=20)
    with Image.open(path) as found:
        assert (found.n_frames, found.info["loop"]) == (5, 0)
        for shown, frame in zip(ImageSequence.Iterator(found), colourful(), strict=True):
            error = np.asarray(shown.convert("RGB")).astype(int) - films.enlarged(frame)
            assert np.abs(error).mean() < 12


@pytest.mark.parametrize(("kind", "codec"), [("mp4", "h264"), ("webm", "vp9")])
def test_a_video_of_odd_frames_is_read_back(kind, codec, tmp_path):
    path = tmp_path / f"a.{kind}"
    frames = list(colourful(height=225, width=301, grey=True))  # not enlarged
    films.save(iter(frames), 5, path, kind, fps=25)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert codec in stream.codec_context.name
        assert stream.average_rate == 25
        assert stream.codec_context.pix_fmt == "yuv420p"
        found = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert [one.shape for one in found] == [(226, 302, 3)] * 5
    for one, frame in zip(found, frames, strict=True):
        assert np.abs(one[:225, :301].astype(int) - frame).mean() < 12


class Frame(np.ndarray):
    """An array that a weak reference can follow."""


@pytest.mark.parametrize("kind", ["gif", "webp", "mp4", "webm"])
def test_few_frames_are_in_memory_at_a_time(kind, tmp_path):
    seen, most = list[weakref.ref](), 0

    def watched():
        nonlocal most
        for one in colourful(30, 64, 224):
            frame = one.view(Frame)
            seen.append(weakref.ref(frame))
            most = max(most, sum(reference() is not None for reference in seen))
            yield frame
            del frame, one

    films.save(watched(), 30, tmp_path / f"a.{kind}", kind, fps=10)
    assert most <= 4


def test_a_failing_film_leaves_no_file(tmp_path):
    def broken():
        yield from colourful(2)
        raise KeyboardInterrupt

    for kind in ("gif", "webp", "mp4"):
        with pytest.raises(KeyboardInterrupt):
            films.save(broken(), 5, tmp_path / f"a.{kind}", kind, fps=10)
    assert list(tmp_path.iterdir()) == []


def test_small_frames_are_enlarged_by_a_whole_number():
    assert films.enlarged(np.zeros((56, 28, 3))).shape == (224, 112, 3)
    assert films.enlarged(np.zeros((300, 28, 3))).shape == (300, 28, 3)


def test_films_from_the_command(finished, tmp_path):
    (gif,) = sampled(finished, tmp_path, "film=2", "frames=3", "n=4", "columns=4", "fps=10")
    assert gif.name.endswith("seed-0-n-4-film-2x3.gif")
    gan = ganlab.load(finished)
    want = [films.enlarged(frame) for frame in Film(gan, 2, 3, walks=4, columns=4)]
    with Image.open(gif) as found:
        shown = [np.asarray(f.convert("RGB")) for f in ImageSequence.Iterator(found)]
    assert all((a == b).all() for a, b in zip(shown, want, strict=True))
    (video,) = sampled(finished, tmp_path, "film=2", "frames=3", "n=1", "format=mp4")
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 6


def test_without_the_library_a_video_gets_a_sentence_before_any_work(finished, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    assert refused(finished, "film=3", "format=mp4") == (
        "format=mp4: films of this kind need PyAV; pip install 'ganlab[video]', or set format=gif"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["film=1"], "film must be at least 2, got 1"),
        (["film=3", "frames=0"], "frames must be at least 1, got 0"),
        (["film=3", "seeds=1-3"], "seeds: a film has one seed; set seed, and n walks"),
        (["npz=true", "film=3"], "npz and film: each is in place of the grid; set one of them"),
        (["truncation=-1"], "truncation must be greater than 0, got -1"),
        (["batch_size=0"], "batch_size must be at least 1, got 0"),
        (["directions=101"], "directions: this model has 100, got 101"),
        (
            ["film=3", "format=mov"],
            "format: expected 'gif' or 'webp' or 'mp4' or 'webm', got 'mov'",
        ),
    ],
)
def test_mistakes_get_a_sentence(words, said, finished, tmp_path):
    assert refused(finished, f"output={tmp_path}", *words) == said


# Directions --------------------------------------------------------------------------------------


def test_principal_components_are_those_of_numpys_svd():
    random = torch.Generator().manual_seed(0)
    points = torch.randn(500, 7, generator=random) @ torch.randn(7, 7, generator=random) + 3
    vectors, deviations, share = directions.principal(points)
    x = points.double().numpy()
    _, values, want = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    assert np.allclose(np.abs((vectors.double().numpy() * want).sum(axis=1)), 1, atol=1e-5)
    assert np.allclose(deviations, values / np.sqrt(499), rtol=1e-4)
    assert np.allclose(share, values**2 / (values**2).sum(), rtol=1e-4)
    wrong = np.linalg.svd(x, full_matrices=False)[1]  # not centred: the mean is the first component
    assert not np.allclose(share, wrong**2 / (wrong**2).sum(), rtol=0.1)


def test_the_directions_of_a_linear_first_layer_are_those_of_pca_and_regression():
    """GANSpace's way, by samples, goes to the singular vectors of the layer."""
    gan = small_gan(generator=VanillaGenerator(SPEC, 8)).eval()
    layer = next(m for m in gan.generator.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        layer.weight *= 0.5 ** torch.arange(8)  # so that the components are told apart
    found = directions.directions(gan, 4)
    z = torch.randn(40_000, 8, generator=torch.Generator().manual_seed(0))
    features = layer(z).detach()
    components, _, share = directions.principal(features)
    coordinates = (features - features.mean(dim=0)) @ components[:4].T
    transferred = torch.linalg.lstsq(coordinates, z).solution  # (4, 8)
    cosines = torch.cosine_similarity(transferred, found.vectors, dim=1).abs()
    assert cosines.min() > 0.999
    assert torch.allclose(found.share, share[:4], atol=0.01)
    want = np.linalg.svd(layer.weight.detach().double().numpy())[2][:4]
    assert np.allclose(np.abs((want * found.vectors.double().numpy()).sum(axis=1)), 1, atol=1e-5)


def test_directions_of_w_are_its_components_and_the_walk_moves_by_deviations():
    gan = styled()
    found = directions.directions(gan, 2, seed=4)
    w = gan.generator.mapping(gan.fixed_latents(directions.SAMPLES, 4)).detach().numpy()
    want = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)[2][:2]
    assert np.allclose(np.abs((want * found.vectors.numpy()).sum(axis=1)), 1, atol=1e-4)
    points = found.walks(torch.zeros(1, 6), 3).view(2, 3, 6)
    assert torch.allclose(points[:, 1], torch.zeros(2, 6))
    assert torch.allclose(points[:, 2], 3 * found.deviations.unsqueeze(1) * found.vectors)
    assert torch.allclose(points[:, 0], -points[:, 2])


@pytest.mark.parametrize("latent", [Gaussian(8), Uniform(8, 0, 3)])
def test_the_steps_in_z_are_deviations_of_the_noise(latent):
    gan = small_gan(latent=latent).eval()
    drawn = latent.sample(20_000, torch.Generator().manual_seed(0)).std()
    assert directions.directions(gan, 1).deviations.item() == pytest.approx(drawn.item(), rel=0.02)


def test_networks_with_a_code_and_blocks_have_directions():
    spoken = conditioning.Projection(SPEC)
    network = BigGANGenerator(ImageSpec(1, 16, 10), 40 + 10, width=8, code_dim=10)
    gan = small_gan(generator=network, conditioning=spoken, latent=Gaussian(40)).eval()
    found = directions.directions(gan, 3)
    assert found.vectors.shape == (3, 40)
    sheet = directions.sheet(gan, found, gan.fixed_latents(2), 5, None)
    assert sheet.shape == (2 * 3 * 5, 1, 16, 16)
    assert torch.allclose(sheet[2], gan.sample(2)[0], atol=1e-5), "the middle of a row"


class Curved(Generator):
    """Normalises the noise before its first layer."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 256)

    def forward(self, z):
        return self.layer(z / z.norm(dim=1, keepdim=True).clamp_min(1e-3)).view(-1, 1, 16, 16)


def test_a_first_layer_that_is_not_linear_in_the_noise_is_refused():
    with pytest.raises(ValueError, match="the first layer of G that gets the noise is not linear"):
        directions.directions(small_gan(generator=Curved()).eval(), 2)


def test_directions_from_the_command(finished, tmp_path):
    outcome = run_sample(
        f"run={finished}", f"output={tmp_path}", "directions=3", "n=2", "steps=5", "seed=1"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith("share of the variance of the features of G's first layer, %: ")
    picture, arrays = sorted(tmp_path.iterdir(), key=lambda f: f.suffix, reverse=True)
    assert pictures.opened(picture).size == (5 * 66 + 2, 6 * 66 + 2)
    with np.load(arrays, allow_pickle=False) as found:
        assert (found["vectors"].shape, str(found["space"])) == ((3, 100), "z")
        assert np.allclose(found["vectors"] @ found["vectors"].T, np.eye(3), atol=1e-5)
        assert 0 < found["share"].sum() < 1
