"""The page in which a generator draws: images are PyTorch's, and every control does its work."""

import base64
import functools
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from commands import completed, run_main, run_train, runs_in, trained
from exports import MODELS, RANDOM, SMALL, run_of
from ganlab.commands import command_line, exploration
from ganlab.commands.exploration import Asked
from ganlab.conditioning import ACGAN, InfoGAN
from ganlab.errors import ConfigError
from ganlab.experiments.experiment import Experiment
from ganlab.explore import explore, report
from ganlab.exploring import engines, graphs, latents, networks
from ganlab.exploring.program import UnsupportedError, program_of
from ganlab.latent import Uniform
from ganlab.networks import DCGANGenerator
from ganlab.networks.contract import Generator, StyleGenerator
from ganlab.plots.pictures import to_pixels
from ganlab.sampling.directions import LAYERS
from ganlab.sampling.paths import spherical
from ganlab.spec import ImageSpec
from ganlab.storage import npm
from serving import Server
from small import small_gan

LEVEL = 1  # of 255, that a pixel may be away


class AllKinds(Generator):
    """Layers as odd as plain loops take them."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.scale = nn.Linear(6, 5 * 9), nn.Linear(2, 5)
        self.layers = nn.Sequential(
            nn.ConvTranspose2d(5, 6, 5, 2, 2, output_padding=1),  # 6
            nn.LeakyReLU(0.1),
            nn.ConvTranspose2d(6, 7, 2, 3, 1),  # 15; gaps that no input reaches
            nn.Softplus(threshold=2),
            nn.Conv2d(7, 5, 4, 2, (1, 2), bias=False),  # 7 x 8
            nn.Sigmoid(),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(5, 3, (3, 1)),  # 12 x 16
            nn.BatchNorm2d(3),
        )
        self.flat = nn.Linear(3 * 12 * 16, 3 * 25)

    def forward(self, z):
        scale = self.scale(z[:, 6:]).unsqueeze(2).unsqueeze(3)
        x = self.layers(self.start(z[:, :6]).view(-1, 5, 3, 3) * (1 + scale))
        x = (x - 0.5) * 2 / 1.5
        return self.flat(x.flatten(1)).tanh().view(-1, 3, 5, 5)


class Styles(StyleGenerator):
    """w = tanh(M z), images tanh(A w)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 6), nn.Linear(6, 3 * 16)
        self.register_buffer("w_mean", torch.linspace(-0.2, 0.3, 6))

    def mapping(self, z):
        return self.first(z).tanh()

    def synthesis(self, w):
        return (3 * self.second(w)).tanh().view(-1, 3, 4, 4)


def stirred(gan):
    """The GAN with statistics and images as after a training: far from 0 and 1, not grey."""
    random, network = torch.Generator().manual_seed(3), gan.eval().sampler
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            mean, variance = module.running_mean, module.running_var
            mean.copy_(0.1 * torch.randn(mean.shape, generator=random))
            variance.copy_(0.02 + 0.1 * torch.rand(variance.shape, generator=random))
    for last in [one for one in network.modules() if isinstance(one, LAYERS)][-1:]:
        last.weight.data.mul_(0.6 / gan.sample(16).std())
    return gan


def of_model(*words):
    return Experiment(**completed(*words)).build()


def of_generator(generator, shape, **options):
    spec = ImageSpec(*shape, options.pop("classes", 0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return small_gan(generator=generator(), spec=spec, **options)


def conditional():
    spec = ImageSpec(3, 32, 10)
    make = lambda: DCGANGenerator(spec, 18, width=16)
    return of_generator(make, (3, 32), classes=10, conditioning=ACGAN(spec))


def informed():
    spec = ImageSpec(1, 28)
    make = lambda: DCGANGenerator(spec, 8 + 6, width=8)
    return of_generator(make, (1, 28), conditioning=InfoGAN(spec, 4, 2))


MADE = {
    "vanilla": lambda: of_model("model=vanilla"),
    "infogan": lambda: of_model("model=infogan", "conditioning=infogan"),
    "resnet": lambda: of_model("model=resnet", "model.generator.width=16", "conditioning=acgan"),
    "cifar": conditional,
    "mnist": informed,
    "uniform": lambda: of_generator(AllKinds, (3, 5), latent=Uniform(8, -1, 2)),
    "styles": lambda: of_generator(Styles, (3, 4)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """`made(name, **options)` -> (GAN, its page); each is written once."""
    folder, known = tmp_path_factory.mktemp("pages"), {}

    exported = functools.cache(networks.export.onnx_of)  # takes seconds

    def make(name, engine="plain", half=False):
        key = f"{name}-{engine}{'-half' if half else ''}"
        if key not in known:
            gan = next(
                (gan for gan, file in known.values() if file.stem.startswith(f"{name}-")), None
            )
            gan = gan or stirred(MADE[name]())
            file = folder / f"{key}.html"
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(networks.export, "onnx_of", exported)
                exploration.write(gan, folder, file, Asked(engine, half=half))
            known[key] = gan, file
        return known[key]

    return make


def ready(page):
    """The page, when its first image is there."""
    page.wait_for_selector("#image[data-shown]")
    return page


def at(page, link):
    """Waits until the canvas shows a point whose link is `="..."`, or `^=`, `$=` as in CSS."""
    page.wait_for_selector(f"#image[data-shown{link}]")


def shown(page, link=None):
    """The pixels (H, W, C) on the canvas, when it shows the point that the page is at."""
    if link is not None:
        page.evaluate("link => { location.hash = link }", link)
        at(page, f'="{link}"')
    page.wait_for_selector("#image[aria-busy=false]")
    return decoded(page.evaluate(PIXELS))


PIXELS = "document.getElementById('image').toDataURL()"


def decoded(url):
    """The pixels (H, W, 4) of a picture in a URL."""
    file = io.BytesIO(base64.b64decode(url.partition(",")[2]))
    return np.asarray(Image.open(file).convert("RGBA"))


def require_same(pixels, images):
    """The pixels are those of the one image (1, C, H, W), to a grey level."""
    expected = to_pixels(images)[0]
    assert expected.std() > 15, "a blank image would be alike by itself"
    apart = np.abs(pixels[..., :3].astype(int) - expected.astype(int))
    assert apart.max() <= LEVEL
    assert (pixels[..., 3] == 255).all()


@pytest.mark.long
@pytest.mark.parametrize("name", MADE)
def test_an_image_is_pytorchs_to_one_grey_level(made, opened, name):
    gan, file = made(name)
    page = ready(opened(file))
    for seed in (0, 17, 2**32 - 1):
        page.fill("#seed", str(seed))
        page.press("#seed", "Enter")
        at(page, f'^="seed={seed}"')
        label = 0 if page.query_selector("#choice") and gan.spec.classes else None
        require_same(shown(page), gan.sample(seeds=[seed], labels=label))
    assert re.fullmatch(r"[\d.]+ ms an image", page.text_content("#status"))


@pytest.mark.parametrize("name", ["cifar", "mnist", "uniform"])
def test_a_seed_gives_the_noise_and_the_codes_that_it_gives_in_ganlab(made, opened, name):
    gan, file = made(name)
    page = ready(opened(file))
    for seed in (0, 5, 4_000_000_000):
        drawn = page.evaluate(
            """seed => {
              const { prior, codes } = JSON.parse(document.getElementById("about").textContent);
              const { noise, choice, continuous } = Draws.latent(seed, prior, codes, null);
              return { noise: [...noise], choice, continuous };
            }""",
            seed,
        )
        z = gan.seeded_latents([seed])[0]
        assert np.allclose(drawn["noise"], z[: gan.latent.dim], atol=1e-6)
        if name == "mnist":
            assert z[8 + drawn["choice"]] == 1
            assert np.allclose(drawn["continuous"], z[12:], atol=1e-7)


@pytest.mark.parametrize("truncation", [0.3, 1.0, 2.5])
def test_truncated_noise_is_ganlabs(made, opened, truncation):
    gan, file = made("mnist")
    page = ready(opened(file))
    drawn = page.evaluate(
        """truncation => {
          const { prior, codes } = JSON.parse(document.getElementById("about").textContent);
          return [...Draws.latent(9, prior, codes, truncation).noise];
        }""",
        truncation,
    )
    z = gan.seeded_latents([9], truncation=truncation)[0, :8]
    assert (z.abs() < gan.seeded_latents([9])[0, :8].abs()).any() or truncation > 2
    assert np.allclose(drawn, z, atol=2e-6)


def test_w_is_truncated_and_walked_in(made, opened):
    gan, file = made("styles")
    page = ready(opened(file))
    assert page.text_content("h2:has-text('coordinate')") == "One coordinate of w"
    require_same(shown(page, "seed=4&truncation=0.5"), gan.sample(seeds=[4], truncation=0.5))
    w = gan.generator.mapping(gan.seeded_latents([4]))
    found = latents.directions_of(gan, 2, 6)[0]
    moved = w + 1.5 * found.deviations[1] * found.vectors[1]
    require_same(shown(page, "seed=4&move=0,1.5"), gan.generator.synthesis(moved).detach())
    page.evaluate("location.hash = 'seed=4'")
    for seed in (4, 7):
        shown(page, f"seed={seed}")
        page.click("#keep")
    slide(page, "#way", 0.25)
    ends = gan.generator.mapping(gan.seeded_latents([4, 7])).detach()
    expected = gan.generator.synthesis(torch.lerp(ends[:1], ends[1:], 0.25)).detach()
    at(page, '^="at="')
    require_same(shown(page), expected)


def slide(page, name, value):
    page.eval_on_selector(
        name,
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }",
        str(value),
    )


def test_sliders_move_along_directions_and_coordinates(made, opened):
    gan, file = made("cifar")
    page = ready(opened(file))
    shown(page, "seed=12&class=7")
    z = gan.seeded_latents([12], labels=[7])
    found = latents.directions_of(gan, 8, gan.latent.dim)[0]
    assert page.text_content("label[for=move-0] .quiet") == f"{100 * found.share[0]:.1f} %"
    slide(page, "#move-0", 2)
    slide(page, "#move-3", -1.25)
    moves = 2 * found.vectors[0] - 1.25 * found.vectors[3]
    at(page, '$="move=2,0,0,-1.25"')
    moved = z + torch.cat([moves, torch.zeros(10)])
    require_same(shown(page), gan.generate(moved))
    assert page.input_value("#move-3") == "-1.25"
    page.click("#still")
    at(page, '="seed=12&class=7"')
    page.fill("#coordinate", "5")
    page.dispatch_event("#coordinate", "change")
    page.wait_for_selector(f"#value-said:text('{z[0, 4]:.2f}')")
    slide(page, "#value", 1.5)
    at(page, '^="at="')
    z[0, 4] = 1.5
    require_same(shown(page), gan.generate(z))
    assert page.input_value("#seed") == ""
    page.select_option("#choice", value="2")
    at(page, '$="class=2"')
    z[0, 8:] = torch.eye(10)[2]
    require_same(shown(page), gan.generate(z))


def test_codes_have_sliders(made, opened):
    gan, file = made("mnist")
    page = ready(opened(file))
    shown(page, "seed=3&class=1&codes=0.5,-0.25")
    slide(page, "#code-1", 1.25)
    at(page, '$="0.5,1.25"')
    noise = gan.seeded_latents([3])[:, :8]
    z = torch.cat([noise, torch.tensor([[0, 1, 0, 0, 0.5, 1.25]])], dim=1)
    require_same(shown(page), gan.generate(z))


def test_random_images_differ_and_bad_seeds_are_refused(made, opened):
    page = ready(opened(made("cifar")[1]))
    page.click("#random")
    page.wait_for_selector('#image:not([data-shown="seed=0&class=0"])')
    assert int(page.input_value("#seed")) >= 0
    before = page.get_attribute("#image", "data-shown")
    for bad in ("-1", "1.5", "4294967296", ""):
        page.fill("#seed", bad)
        page.dispatch_event("#seed", "change")
        assert "whole number from 0 to 4294967295" in page.text_content("#complaint")
    assert page.get_attribute("#image", "data-shown") == before
    page.click("#random")
    assert page.is_hidden("#complaint")


@pytest.mark.long
def test_kept_points_are_walked_between_saved_and_loaded(made, opened, tmp_path):
    gan, file = made("cifar")
    page = ready(opened(file))
    assert page.is_disabled("#play")
    for link in ("seed=1&class=2", "seed=2&class=6&move=1"):
        shown(page, link)
        page.click("#keep")
    slide(page, "#way", 0.5)
    at(page, '^="at="')
    z = gan.seeded_latents([1, 2], labels=[2, 6])
    found = latents.directions_of(gan, 8, 8)[0]
    z[1, :8] += found.vectors[0]
    middle = spherical(z[:1, :8], z[1:, :8], torch.tensor(0.5))
    code = (z[:1, 8:] + z[1:, 8:]) / 2
    half_way = gan.generate(torch.cat([middle, code], dim=1))
    require_same(shown(page), half_way)
    link = page.get_attribute("#image", "data-shown")
    page.click("#keep")
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "points.json"
    download.value.save_as(saved)
    points = json.loads(saved.read_text())["points"]
    assert [one["link"] for one in points] == ["seed=1&class=2", "seed=2&class=6&move=1", link]
    assert np.allclose(points[1]["vector"], z[1, :8], atol=1e-5)
    assert np.allclose(points[2]["code"], code[0])
    other = ready(opened(file))
    other.set_input_files("#file", saved)
    other.wait_for_selector("#shelf li:nth-child(3)")
    other.click("#shelf li:nth-child(3) .thumb")
    at(other, f'="{link}"')
    require_same(shown(other), half_way)
    other.click("#shelf li:nth-child(1) .remove")
    assert other.locator("#shelf li").count() == 2
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps({"points": [{"link": "seed=1"}, {"link": "at=AAAA"}]}))
    other.set_input_files("#file", wrong)
    other.wait_for_selector("#complaint:visible")
    assert "wrong.json holds no points of this generator" in other.text_content("#complaint")
    assert other.locator("#shelf li").count() == 2


def kept(page, folder, links):
    """The file of points that have been kept on a page."""
    for link in links:
        shown(page, link)
        page.click("#keep")
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(folder / "points.json")
    return folder / "points.json"


def complained(page, file):
    """What the page says to a file of points, of which it keeps none."""
    page.set_input_files("#file", file)
    page.wait_for_selector("#complaint:visible")
    assert page.locator("#shelf li").count() == 0
    return page.text_content("#complaint")


def test_points_of_another_generator_are_refused(made, opened, tmp_path):
    page = ready(opened(made("cifar")[1]))
    saved = kept(page, tmp_path, ["seed=1&class=2"])
    content = json.loads(saved.read_text())
    assert content["name"] == page.title().strip()
    other = ready(opened(made("mnist")[1]))
    said = complained(other, saved)
    assert said.startswith(f"points.json holds points of another generator: {content['name']}.")
    assert said.endswith(f"This page has {other.title().strip()}.")


@pytest.mark.long
def test_points_of_other_statistics_are_refused(made, opened, tmp_path):
    """With BatchNorm the same weights draw other images under a truncation."""
    gan, file = made("cifar")
    saved = kept(ready(opened(file)), tmp_path, ["seed=1&class=2"])
    cut = exploration.write(gan, file.parent, tmp_path / "cut.html", Asked("plain", None, 0.5))
    said = complained(ready(opened(cut)), saved)
    assert said.endswith(", truncated at 0.5.")


def test_a_file_that_does_not_say_whose_it_is_is_judged_by_its_sizes(made, opened, tmp_path):
    page = ready(opened(made("cifar")[1]))
    content = json.loads(kept(page, tmp_path, ["seed=1&class=2"]).read_text())
    del content["generator"], content["name"]
    (point,) = content["points"]
    old = tmp_path / "old.json"
    for change in [
        {"space": "w"},
        {"points": [{**point, "vector": [0.0] * 100}]},
        {"points": [{**point, "code": []}]},
        {"points": [{**point, "link": "seed=1"}]},
        {"points": []},
    ]:
        old.write_text(json.dumps({**content, **change}))
        fresh = ready(opened(made("cifar")[1]))
        assert complained(fresh, old) == "old.json holds no points of this generator."
    old.write_text(json.dumps(content))
    page.set_input_files("#file", old)
    page.wait_for_selector("#shelf li:nth-child(2)")
    unconditional = ready(opened(made("uniform")[1]))
    old.write_text(json.dumps({"points": [{"link": "seed=1&class=2"}]}))
    assert "no points of this generator" in complained(unconditional, old)


def test_a_generator_has_its_mark_on_every_page(made):
    """Whatever runs it, in whichever precision; and other weights have another one."""
    gan, _ = made("styles")
    before = latents.mark_of(gan)
    told = [latents.described(gan, count, None)["generator"] for count in (2, 3)]
    assert told == [before, before]
    for file in (made("cifar")[1], made("cifar", half=True)[1]):
        assert latents.mark_of(made("cifar")[0]) in file.read_text()
    gan, _ = made("cifar")
    assert latents.mark_of(gan, 0.5) != latents.mark_of(gan) == latents.mark_of(gan, None)
    other = MADE["styles"]()
    other.generator.first.bias.data[0] += 1e-3
    assert latents.mark_of(other) != before


COMMANDS = [
    ("cifar", "seed=5&class=0", "seeds=5 labels=[0] "),
    ("cifar", "seed=5&class=7", "seeds=5 labels=[7] "),
    ("cifar", "seed=5&class=7&move=1", None),
    ("uniform", "seed=4294967295", "seeds=4294967295 "),
    ("styles", "seed=5&truncation=0.5", "seeds=5 truncation=0.5 "),
    ("mnist", "seed=3&class=1&codes=0.5,-0.25", None),
]


@pytest.mark.parametrize(("name", "link", "words"), COMMANDS)
def test_the_command_of_the_image_on_show_is_told(made, opened, name, link, words):
    page = ready(opened(made(name)[1]))
    shown(page, link)
    want = (
        f"ganlab sample run=RUN {words}singles=true" if words else "none, as it is not a seed's own"
    )
    assert page.text_content("#command") == want


def test_a_seed_with_its_own_codes_has_a_command(made, opened):
    page = ready(opened(made("mnist")[1]))
    page.fill("#seed", "12")
    page.press("#seed", "Enter")
    at(page, '^="seed=12&"')
    assert page.text_content("#command") == "ganlab sample run=RUN seeds=12 singles=true"


def test_play_goes_there_and_back_until_it_is_paused(made, opened):
    page = ready(opened(made("cifar")[1]))
    for link in ("seed=1&class=2", "seed=2&class=6"):
        shown(page, link)
        page.click("#keep")
    page.click("#play")
    page.wait_for_selector("#way-said:text-matches('^0[.][1-9]')")
    page.click("#play")
    assert page.text_content("#play") == "Play"
    page.wait_for_selector("#image[aria-busy=false]")


@pytest.mark.long
def test_the_map_shows_the_plane_and_moves_the_point(made, opened):
    gan, file = made("cifar")
    page = ready(opened(file, viewport={"width": 1280, "height": 1600}))
    shown(page, "seed=6&class=1")
    page.select_option("#across", index=1)
    assert (page.input_value("#across"), page.input_value("#up")) == ("1", "0"), "swapped"
    page.select_option("#up", index=1)
    page.select_option("#across", index=2)
    page.wait_for_selector('#map[data-shown="seed=6&class=1 2 1"]')
    tile = decoded(page.evaluate("document.getElementById('map').toDataURL()"))[32:64, 160:192]
    found = latents.directions_of(gan, 8, 8)[0]
    z = gan.seeded_latents([6], labels=[1])
    moved = z.clone()
    moved[0, :8] += 2 * found.vectors[2] + 2 * found.vectors[1]
    require_same(tile, gan.generate(moved))
    page.focus("#plane")
    for key in ("ArrowRight", "Shift+ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    at(page, '$="move=0,-0.25,1.25"')
    assert page.text_content("#plane-said") == "1.25 across, -0.25 up"
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + box["width"] * 6.5 / 7, box["y"] + box["height"] / 14)
    at(page, '$="move=0,3,3"')
    moved = z.clone()
    moved[0, :8] += 3 * found.vectors[2] + 3 * found.vectors[1]
    require_same(shown(page), gan.generate(moved))


def test_an_image_is_saved_as_it_is(made, opened, tmp_path):
    page = ready(opened(made("cifar")[1]))
    pixels = shown(page, "seed=8&class=3")
    with page.expect_download() as download:
        page.click("#png")
    assert download.value.suggested_filename == "seed-8.png"
    download.value.save_as(tmp_path / "image.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "image.png").convert("RGBA")), pixels)


@pytest.mark.long
def test_a_link_leads_to_its_image_and_a_damaged_one_is_said_to_be(made, opened):
    gan, file = made("cifar")
    page = opened(f"{file.as_uri()}#seed=31&class=4")
    require_same(shown(ready(page)), gan.sample(seeds=[31], labels=[4]))
    for bad in ("seed=x", "seed=1&class=10", "at=AAAA&class=1", "seed=1&class=1&move=NaN", "at=!"):
        page = ready(opened(f"{file.as_uri()}#{bad}"))
        assert "damaged" in page.text_content("#complaint")
        require_same(shown(page), gan.sample(seeds=[0], labels=[0]))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(made, opened, scheme):
    options = {"viewport": {"width": 390, "height": 844}, "color_scheme": scheme, "has_touch": True}
    page = ready(opened(made("mnist")[1], **options))
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap("#random")
    page.locator("#plane").scroll_into_view_if_needed()
    before = page.get_attribute("#image", "data-shown")
    page.tap("#plane", position={"x": 40, "y": 40})
    page.wait_for_selector(f'#image:not([data-shown="{before}"])')
    box = page.locator("#image").bounding_box()
    assert 0 <= box["y"] < 400, "the image stays in sight"


def test_every_control_has_a_name(made, opened):
    page = ready(opened(made("mnist")[1]))
    nameless = page.evaluate("""() => {
      const named = (one) =>
        one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim();
      const all = [...document.querySelectorAll("button, input, select")];
      return all.filter((one) => !named(one)).map((one) => one.id);
    }""")
    assert nameless == []


@pytest.mark.long
def test_names_from_a_run_are_texts(tmp_path, opened):
    hostile = "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
    conditioning = ACGAN(ImageSpec(3, 4, 4))  # code and noise are the 8 numbers that it takes
    gan = of_generator(Styles, (3, 4), classes=4, latent=Uniform(4), conditioning=conditioning)
    gan.class_names = [hostile, "1", "2", "3"]
    run = tmp_path / "<b>run<"
    run.mkdir()
    file = exploration.write(gan, run, tmp_path / "page.html", Asked("plain", 2))
    page = ready(opened(file))
    assert page.text_content("#choice option:nth-child(2)").strip() == hostile
    assert page.text_content("h1").endswith("/<b>run<")
    assert page.title().startswith(f"{tmp_path.name}/<b>run<")


def test_half_the_size_is_nearly_the_same(made, opened):
    gan, file = made("cifar")
    _, small = made("cifar", half=True)
    assert small.stat().st_size < 0.7 * file.stat().st_size
    page = ready(opened(small))
    require_same(shown(page, "seed=8&class=3"), gan.sample(seeds=[8], labels=[3]))
    row = page.locator("tr", has_text="differs from PyTorch").text_content()
    assert 0.001 < float(re.search(r"([\d.e-]+) of 255", row)[1]) <= 1.5


@pytest.mark.long
def test_firefox_shows_the_same_image(made, firefox):
    gan, file = made("cifar")
    firefox.open(Path(f"{file}"))
    waiting = """new Promise((resolve) => {
      const canvas = document.getElementById("image"), link = "seed=8&class=3";
      location.hash = link;
      const look = () => canvas.dataset.shown === link ? resolve(true) : setTimeout(look, 20);
      look();
    })"""
    assert firefox.value(waiting)
    require_same(decoded(firefox.value(PIXELS)), gan.sample(seeds=[8], labels=[3]))


# ONNX Runtime Web --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runtime():
    """ONNX Runtime Web in the cache: from the user's own, or else downloaded."""
    with pytest.MonkeyPatch.context() as patch:
        own = Path.home() / ".cache" / "ganlab"
        if (own / "npm" / "onnxruntime-web-1.30.0").is_dir():
            patch.setenv("GANLAB_CACHE", str(own))
        try:
            npm.fetch(engines.RUNTIME)
        except OSError as error:
            pytest.skip(f"no ONNX Runtime Web: {error}")
        yield


@pytest.mark.long
def test_onnx_runtime_draws_the_same(made, opened, runtime):
    gan, file = made("cifar", engine="onnxruntime")
    page = ready(opened(file))
    require_same(shown(page, "seed=8&class=3"), gan.sample(seeds=[8], labels=[3]))
    assert "ONNX Runtime Web 1.30.0" in page.text_content(".status")


@pytest.mark.long
def test_onnx_runtime_draws_stylegan_in_firefox(tmp_path, runtime, firefox):
    words = ["model=stylegan2", "model.generator.max_channels=16", "model.generator.w_dim=16"]
    gan = stirred(of_model(words[0]))
    for parameter in gan.generator.parameters():  # an untrained one is grey
        parameter.data.mul_(2)
    file = exploration.write(gan, tmp_path, tmp_path / "page.html", Asked(directions=2, half=True))
    firefox.open(file)
    link = "seed=8&truncation=0.7"
    assert firefox.value(f"""new Promise((resolve) => {{
      location.hash = "{link}";
      const look = () => document.getElementById("image").dataset.shown === "{link}"
        ? resolve(true) : setTimeout(look, 20);
      look();
    }})""")
    pixels = decoded(firefox.value(PIXELS))
    expected = to_pixels(gan.sample(seeds=[8], truncation=0.7))[0]
    assert expected.std() > 5
    assert np.abs(pixels[..., :3].astype(int) - expected).max() <= 3  # float16


def archive(files):
    """The bytes of a package of npm's."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as opened_:
        for name, content in files.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(content)
            opened_.addfile(about, io.BytesIO(content))
    return raw.getvalue()


FILES = {"dist/a.mjs": b"let a", "dist/b.wasm": bytes(999), "README.md": b"not kept"}
ARCHIVE = archive(FILES)
PACKAGE = npm.Package(
    "@some/thing",
    "1.2.3",
    "sha512-" + base64.b64encode(hashlib.sha512(ARCHIVE).digest()).decode(),
    {name: hashlib.sha256(FILES[name]).hexdigest() for name in ("dist/a.mjs", "dist/b.wasm")},
)


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A stand-in for npm's registry, and an empty cache."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "NPM_CONFIG_REGISTRY"):
        monkeypatch.delenv(name, raising=False)
    served = Server(ARCHIVE)
    monkeypatch.setenv("GANLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", f"{served.url}/mirror/")
    yield served
    served.close()


def test_files_of_a_package_are_downloaded_once_from_the_registry_that_is_set(registry):
    wanted = {name: FILES[name] for name in PACKAGE.files}
    assert npm.fetch(PACKAGE) == wanted == npm.fetch(PACKAGE)
    assert registry.paths == ["/mirror/@some/thing/-/thing-1.2.3.tgz"]
    names = {file.name for file in PACKAGE.folder.iterdir()}
    assert names - {".lock"} == {"a.mjs", "b.wasm"}
    (PACKAGE.folder / "a.mjs").write_text("other")
    assert npm.fetch(PACKAGE) == wanted
    assert registry.requests == 2


@pytest.mark.parametrize("kind", ["changed", "cut", "other file", "refused", "no http"])
def test_what_is_not_the_package_is_refused_and_nothing_is_kept(registry, monkeypatch, kind):
    package = PACKAGE
    if kind == "changed":
        registry.content = ARCHIVE[:-1] + b"x"
    elif kind == "cut":
        registry.promised = len(ARCHIVE) + 5
    elif kind == "other file":
        package = PACKAGE._replace(files=PACKAGE.files | {"dist/b.wasm": "0" * 64})
    elif kind == "refused":
        monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    else:
        monkeypatch.setenv("npm_config_registry", "file:///etc")
    with pytest.raises(OSError, match="cannot download @some/thing from"):
        npm.fetch(package)
    assert not list(package.folder.glob("*.tgz")) + list(package.folder.glob("*.part"))
    assert npm.kept(package) is None


# Choice of the engine, and mistakes --------------------------------------------------------------


@pytest.fixture(scope="module")
def small():
    """Networks of a generator with a mapping, of a few hundred weights."""
    return networks.networks_of(MADE["styles"]())


def test_plain_loops_are_chosen_by_multiplications(small, monkeypatch, registry):
    assert small.multiplications == 8 * 6 + 6 * 48
    assert engines.loaded(small, "auto", half=False).engine == "plain"
    monkeypatch.setattr(engines, "MOST", 300)
    advice = "engine=plain needs no download, and takes about 3e-07 s an image"
    with pytest.raises(ConfigError, match=f"cannot download onnxruntime-web .*{advice}"):
        engines.loaded(small, "auto", half=False)


def test_another_image_than_pytorchs_is_refused(monkeypatch):
    monkeypatch.setattr(networks, "LEVEL", 0.0)
    with pytest.raises(ConfigError, match="images differ from PyTorch's by up to"):
        networks.networks_of(MADE["styles"]())


def test_multiplications_are_those_that_torch_counts():
    from torch.utils.flop_counter import FlopCounterMode

    gan = MADE["uniform"]().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        gan.generator(gan.fixed_latents(1))
    counted = networks.networks_of(gan).multiplications
    assert 2 * counted == counter.get_total_flops()


def test_operators_that_loops_do_not_have_are_named(registry):
    class Sorted(Generator):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 48)

        def forward(self, z):
            return self.layer(z).softmax(1).cumsum(1).view(-1, 3, 4, 4)

    found = networks.networks_of(of_generator(Sorted, (3, 4)))
    with pytest.raises(UnsupportedError, match="CumSum, Softmax"):
        program_of(found.graphs["images"])
    with pytest.raises(ConfigError, match="plain loops have no operators CumSum, Softmax"):
        engines.loaded(found, "plain", half=False)
    with pytest.raises(ConfigError, match="engine=plain cannot do without it"):
        engines.loaded(found, "auto", half=False)


def test_halved_graphs_compute_what_rounded_ones_do(small):
    import onnxruntime

    graph = small.graphs["images"]
    rounded = graphs.simplified(graphs.rounded(graph.SerializeToString()))
    halved = graphs.halved(rounded)
    assert halved.ByteSize() < rounded.ByteSize()
    w = {graph.graph.input[0].name: np.linspace(-1, 1, 6, dtype=np.float32)[None]}
    drawn = [
        onnxruntime.InferenceSession(one.SerializeToString()).run(None, w)[0]
        for one in (graph, rounded, halved)
    ]
    assert not np.array_equal(*drawn[:2])
    assert np.array_equal(*drawn[1:])


def run_explore(*words):
    return run_main(lambda: command_line.call(explore, report), *words)


@pytest.mark.long
def test_the_command_writes_the_page_into_the_run(tmp_path, opened):
    run = trained(tmp_path, "model=dcgan")
    done = run_explore(f"run={run}", "directions=3")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"{run / 'explore.html'} (")
    page = ready(opened(run / "explore.html"))
    assert page.locator("[id^=move-]:not(output)").count() == 3
    for words, said_ in [
        (["directions=1"], "directions must be at least 2, got 1"),
        (["directions=999"], "directions: this model has"),
        ([f"to={tmp_path}"], "to: expected a file such as explore.html"),
        ([f"to={tmp_path / 'no' / 'page.html'}"], "to: there is no folder"),
        (["engine=webgpu"], "engine"),
        (["checkpoint=77"], "has no '77'"),
    ]:
        before = (run / "explore.html").read_bytes()
        done = run_explore(f"run={run}", *words)
        assert done.code == 2
        assert said_ in done.err
        assert "Traceback" not in done.err
        assert (run / "explore.html").read_bytes() == before


@pytest.mark.parametrize("model", RANDOM)
def test_what_draws_as_it_goes_has_no_page_and_that_is_said(model, tmp_path):
    run = run_of(tmp_path / "run", f"model={model}", *MODELS[model], *SMALL)
    done = run_explore(f"run={run}")
    assert done.code == 2
    assert re.search(r"run: a \w+ draws random numbers .*, so a point has no image", done.err)
    assert "onnx" not in done.err
    assert not (run / "explore.html").exists()


def test_points_are_refused(tmp_path):
    words = ("model=toy", "data=ring_2d", "trainer=smoke", "logger=csv", f"output_dir={tmp_path}")
    assert run_train(*words).code == 0
    (run,) = runs_in(tmp_path)
    done = run_explore(f"run={run}")
    assert done.code == 2
    assert "makes points, and the page shows images" in done.err
