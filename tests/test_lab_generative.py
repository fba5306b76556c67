"""`ganlab lab generative`: equal networks, real runs that are taken over, one page that opens."""

import contextlib
import json
import re
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

import ganlab
from browsers import PHONE
from commands import run_main
from ganlab.callbacks.coverage import ModeCoverage
from ganlab.callbacks.samples import SampleGrids
from ganlab.commands.composition import Composer
from ganlab.data.distributions import grid
from ganlab.lab.__main__ import main
from ganlab.lab.generative.entries import Entry, counts, entry, nearest_width
from ganlab.lab.generative.kinds import DATA, KINDS
from ganlab.lab.generative.measures import FILE, Measured, found_before, of_points, sharpness
from ganlab.lab.generative.page import Chapter, page
from ganlab.lab.generative.seen import paragraph
from ganlab.lab.generative.summary import Outcome, spelled, together
from ganlab.lab.training import planned
from ganlab.runs.folder import Run, runs_in
from ganlab.sweeps.record import Sweep, distinct

NAMES = [kind.name for kind in KINDS]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(1)>'\"{{ 7 * 7 }}"


def lab(*words: str):
    return run_main(main, "generative", *words)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """(words, outcome, folder) of a small comparison."""
    home = tmp_path_factory.mktemp("compared")
    words = ["data=[digits]", "seconds=0.3", "seeds=1", "n=20", "parameters=3000"]
    words += ["batch_size=16", f"output_dir={home}"]
    return words, lab(*words), home / "lab" / "generative"


def test_the_command_trains_real_runs_and_writes_all_that_it_says(compared):
    _, outcome, folder = compared
    assert (outcome.code, outcome.err) == (0, "")
    files = ["generative.html", "table.md", "results.json", "digits.png"]
    assert outcome.out.splitlines()[-4:] == [str(folder / name) for name in files]
    runs = runs_in(folder)
    assert len(runs) == len(KINDS)
    assert all(run.finished and run.config()["minutes"] == 0.3 / 60 for run in runs)
    assert ganlab.load(runs[0].path).sample(2).shape == (2, 1, 16, 16)
    assert len(json.loads((folder / "sweep.json").read_text())["jobs"]) == len(KINDS)
    with Image.open(folder / "digits.png") as picture:
        assert picture.width > picture.height > 100


def test_the_record_has_what_repeats_each_run_and_names_its_kind(compared):
    *_, folder = compared
    jobs = Sweep(folder).jobs()
    for job, name in zip(jobs, NAMES, strict=True):
        again = planned(job.overrides, by_clock=True)
        assert again.run.path.resolve() == job.run.path.resolve()
        assert distinct(jobs)[job] == [f"kind={name}"]
        assert f"kind={name}" not in job.overrides


def test_the_page_holds_pictures_numbers_and_what_is_seen_of_each_kind(compared):
    *_, folder = compared
    html = (folder / "generative.html").read_text()
    assert html.count("data:image/png;base64,") == 1 + len(KINDS)
    for kind in KINDS:
        assert f"samples of the {kind.name}: digits" in html
        assert kind.title in html
    for said in ("held-out data", "Fréchet distance", "precision", "recall", "at most", "at least"):
        assert said in html
    for said in ("not decide is grey or noise", "blurred", "Markov chain", "forbids it to drop"):
        assert said in html
    assert "of 382 of 382 (digits, test)" in html, "the protocol of likelihoods"
    table = (folder / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")] == [
        *("digits: what was trained", "---", *NAMES),
        *("digits: what it can do", "---", *NAMES, "held-out data"),
    ]


def test_the_numbers_are_those_of_the_runs(compared):
    *_, folder = compared
    told = json.loads((folder / "results.json").read_text())["data"]["digits"]["kinds"]
    assert list(told) == NAMES
    for kind in told.values():
        (place,) = kind["folders"]
        summary = Run(folder / place).summary()
        assert kind["means"]["iterations"]["value"] == summary["iterations"]
        (scored,) = summary["scores"]
        assert kind["means"]["frechet"]["value"] == scored["scores"]["frechet"]["value"]
    known = {name: [one["name"] for one in k["runs"][0]["likelihoods"]] for name, k in told.items()}
    assert (
        known
        == {
            "GAN": [],
            "VAE": ["nll/iwae-50"],
            "RBM": ["nll/exact"],  # 11 hidden units
            "SBN": ["nll/iwae-50", *known["SBN"][1:]],
        }
    )


def test_started_again_it_takes_over_what_is_finished(compared):
    words, _, folder = compared
    files = [f for run in runs_in(folder) for f in (run.path / FILE, run.last_checkpoint())]
    before = [file.stat().st_mtime_ns for file in files]
    outcome = lab(*words)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.count("finished already") == len(KINDS)
    assert [file.stat().st_mtime_ns for file in files] == before


@pytest.mark.parametrize("text", ["{", "[]", '{"unknown": 1}', None])
def test_what_cannot_be_read_is_measured_again(tmp_path, text):
    if text is not None:
        (tmp_path / FILE).write_text(text)
    assert found_before(tmp_path / FILE) is None


@pytest.mark.parametrize("name", ["grid_2d", "digits"])
def test_all_that_draw_have_as_many_parameters(name):
    data, composer = DATA[name], Composer()
    found = [entry(kind, data, (), 1, data.parameters, composer) for kind in KINDS]
    able = [one for one in found if one.refusal is None]
    assert len(able) == (3 if data.points else 4)
    for one in able:
        assert one.drawing == pytest.approx(data.parameters, rel=0.02)
        assert one.trained >= one.drawing
        wrong = nearest_width(one.kind, one.plans[0].config, 2 * data.parameters)
        assert wrong > one.width
        model = one.plans[0].experiment.build()
        assert sum(p.numel() for p in model.generator.parameters()) == one.drawing
        assert counts(one.plans[0].config) == (one.drawing, one.trained)


def test_a_kind_that_cannot_learn_the_data_is_named_with_the_model_s_reason():
    sbn = KINDS[-1]
    one = entry(sbn, DATA["grid_2d"], (), 1, 1000, Composer())
    assert one.refusal.startswith("model.generator: BeliefNetwork is for images, the data is poin")
    assert "set model" not in one.refusal
    assert paragraph(Outcome(one, []), Measured()) == f"It cannot learn this data: {one.refusal}."


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_few_modes_may_mean_a_short_run(kind):
    reference = Measured(numbers={"all_modes": 10.0})

    def said(modes: float) -> str:
        numbers = {"modes": modes, "high_quality": 0.5}
        return paragraph(
            Outcome(Entry(kind, DATA["digits"]), [Measured(numbers=numbers)]), reference
        )

    assert "So few classes may also mean" in said(2.0)
    assert "So few" not in said(9.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=[cifar10]"], "data: expected"),
        (["data=digits"], "data: expected"),
        (["data=[]"], "data must be at least 1"),
        (["seconds=0"], "seconds must be greater than 0"),
        (["seeds=0"], "seeds must be at least 1"),
        (["parameters=0"], "parameters must be at least 1"),
        (["n=3"], "n must be at least 10"),
        (["minutes=2"], "'minutes=2': seconds=... sets the time of all runs"),
        (["+iterations=2"], "'+iterations=2': seconds=... sets the time of all runs"),
        (["batchsize=3"], "batchsize: unknown; did you mean 'batch_size'"),
        (["data=[mnist]", "root=nowhere"], "root: MNIST (train) is missing or damaged"),
        (["data=[mnist]"], "mnist: MNIST (train) is missing or damaged"),
        (["sede=1"], "sede: unknown"),
    ],
)
def test_mistakes_are_said_before_anything_is_started(words, said, tmp_path, monkeypatch):
    monkeypatch.setenv("GANLAB_DATA_ROOT", str(tmp_path / "empty"))
    outcome = lab(*words, f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert said in outcome.err
    assert "Traceback" not in outcome.err
    assert list(tmp_path.iterdir()) == []


def chapter(text: str) -> Chapter:
    outcomes = [Outcome(Entry(kind, DATA["digits"], text), []) for kind in KINDS]
    return Chapter(DATA["digits"], outcomes, Measured(numbers={"frechet": 1.0}, protocol=[text]))


def test_texts_are_escaped(tmp_path):
    left_out = Chapter(DATA["mnist"], chapter(HOSTILE).outcomes)
    html = page([chapter(HOSTILE), left_out], 1, 1, [f"a={HOSTILE}"], tmp_path / HOSTILE)
    assert html.count("&lt;script&gt;alert(1)") >= len(KINDS) + 3
    for raw in ("<script>alert", "<img src=x", "49"):
        assert raw not in re.sub(
            r'nonce="[^"]*"|nonce-[^;]*|<style>.*?</style>', "", html, flags=16
        )


def test_what_is_left_out_is_said():
    missing = Chapter(DATA["mnist"], chapter("MNIST is missing").outcomes)
    assert missing.as_markdown() == "### MNIST\n\nLeft out: MNIST is missing."
    assert "Left out: MNIST is missing." in page([missing], 1, 1, (), "outputs")


def test_numbers_are_spelled_with_the_deviation_over_seeds():
    assert spelled(together([10])) == "10"
    assert spelled(together([9, 10, 11])) == "10.0 ± 1.0"
    assert spelled(together([0.25, 0.75])) == "0.50 ± 0.35"
    assert spelled(together([1200, 1300])) == "1,250 ± 71"
    assert spelled(together([0.012])) == "0.012"


def test_points_of_the_data_score_as_the_data_and_others_do_not():
    mixture = grid()
    real, own = (mixture.sample(500, torch.Generator().manual_seed(i))[0] for i in (0, 1))
    good, _ = of_points(own, real, mixture)
    assert good["frechet"] < 0.2
    assert min(good["precision"], good["recall"], good["high_quality"]) > 0.9
    one_mode = 0.05 * torch.randn(500, 2, generator=torch.Generator().manual_seed(2))
    bad, _ = of_points(one_mode, real, mixture)
    assert (bad["modes"], good["modes"]) == (1, 25)
    assert bad["recall"] < 0.2
    assert bad["frechet"] > 5
    one_mode[:100] = float("nan")
    assert of_points(one_mode, real, mixture)[0]["high_quality"] < 0.81


def test_blurred_images_are_less_sharp():
    images = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1)
    assert sharpness(blurred) < 0.6 * sharpness(images)


def test_drawing_and_counting_points_takes_no_time_of_a_run(tmp_path):
    inside = []

    @contextlib.contextmanager
    def paused():
        inside.append(True)
        yield
        inside.pop()

    def sample(n):
        assert inside
        return torch.zeros(n, 2)

    model = SimpleNamespace(
        iterations=1,
        total_iterations=1,
        sample=sample,
        spec=None,
        observations=SimpleNamespace(add=lambda *_: None),
        sheets=lambda *_: {},
    )
    trainer = SimpleNamespace(is_global_zero=True, loggers=[])
    ModeCoverage(grid(), 1, paused).on_train_batch_end(trainer, model)
    grids = SampleGrids(tmp_path, 1, 8, lambda _: torch.zeros(2, 2, 3).byte().numpy(), None, paused)
    grids.on_train_batch_end(trainer, model)
    grids.on_train_end(trainer, model)
    assert len(list(tmp_path.glob("iteration-*.png"))) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_opens_from_disk_and_fits_a_phone(compared, opened, scheme):
    *_, folder = compared
    for options in ({}, {"viewport": PHONE, "has_touch": True}):
        shown = opened(folder / "generative.html", color_scheme=scheme, **options)
        assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert shown.locator("figure img").count() == 1 + len(KINDS)
        loaded = "[...document.images].every(one => one.complete && one.naturalWidth > 100)"
        assert shown.evaluate(loaded)
        shown.get_by_text("How the numbers came about").click()
        assert shown.locator("li", has_text="nll/iwae-50").first.is_visible()
