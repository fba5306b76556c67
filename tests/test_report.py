"""`ganlab report`: one file that opens from disk, with controls that do what they say."""

import csv
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from browsers import PHONE
from commands import composed, run_main
from conftest import ROOT
from ganlab.commands import command_line
from ganlab.config.completion import flattened
from ganlab.health.verdicts import Verdict
from ganlab.report import report
from ganlab.reporting import budget, frames, page, ranking, settings, table
from ganlab.reporting.portrait import module_of
from ganlab.scoring.protocol import Protocol
from ganlab.scoring.scorecard import Score, Scorecard
from ganlab.sweeps.record import jobs_in
from ganlab.sweeps.scores import best_of
from test_pages import HOSTILE

PROTOCOL = Protocol(
    extractor="classifier-digits",
    weights="f2d699f91c52",
    preparation="divided by 255",
    data="digits",
    split="train",
    real=1415,
    real_hash="a9965c5355be7e6e",
    fake=10_000,
    available=1415,
)
NAME = PROTOCOL.name("frechet")
AXES = ("iterations", "images_seen", "seconds")


def run_report(*words):
    """`python -m ganlab.report WORDS`."""
    return run_main(lambda: command_line.call(report, print, words="runs"), *words)


def made_run(path, *, score=10.0, rows=40, pictures=5, config=None, health=(), **summary):
    """A run's folder in the formats of real runs (test_a_real_run compares them)."""
    (path / "checkpoints").mkdir(parents=True)
    (path / "samples").mkdir()
    known = composed("logger=csv") | {"seed": 0} | (config or {})
    (path / "config.yaml").write_text(yaml.safe_dump(known, sort_keys=False))
    write_rows(path, rows)
    for i in range(pictures):
        pixels = np.full((64, 64, 3), 10 + 50 * i, dtype=np.uint8)
        Image.fromarray(pixels).save(path / "samples" / f"iteration-{100 * i:07d}.png")
    card = Scorecard(PROTOCOL, {"frechet": Score(score)}, 400)
    told = {"status": "finished", "iterations": 400, "images_seen": 25_600, "seconds": 40.0}
    scores = [card.as_dict()] if score is not None else []
    told |= {"last": {}, "health": [v.as_dict() for v in health], "scores": scores, **summary}
    (path / "summary.json").write_text(json.dumps(told))
    command = ["/somewhere/ganlab/train.py", "logger=csv", "iterations=400"]
    about = {"command": command, "python": "3.12.1", "git_commit": "c0ffee", "git_dirty": True}
    (path / "environment.json").write_text(json.dumps(about))
    return path


def write_rows(
    run, rows, columns=("loss/d", "loss/g", "D(x)", "grad_norm/d", "health/modes", NAME)
):
    """metrics.csv with a reading every ten iterations, 640 images, half a second."""
    with (run / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*AXES, *columns])
        for i in range(1, rows + 1):
            values = [i * (1 + place) for place in range(len(columns))]
            writer.writerow([10 * i, 640 * i, i / 2, *values])


def made_sweep(folder, points):
    """A sweep whose runs are (overrides, arguments of made_run)."""
    jobs = []
    for i, (overrides, options) in enumerate(points):
        run = made_run(folder / "runs" / f"{i:08x}", **options)
        jobs.append({"run": f"../runs/{run.name}", "overrides": overrides})
    (folder / "sweep").mkdir()
    (folder / "sweep" / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    return folder / "sweep"


def grid(score=lambda model, rate, seed: 10 * rate + seed, seeds=(0, 1), **options):
    """Points of a sweep over two models, three rates and seeds."""
    return [
        (
            [f"model={model}", f"g_optimizer.lr={rate}", f"seed={seed}"],
            {"score": score(model, rate, seed), "config": {"seed": seed}, **options},
        )
        for model in ("vanilla", "dcgan")
        for rate in (1, 2, 30)
        for seed in seeds
    ]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    """The report of a run."""
    verdict = Verdict("mode-collapse", 300, 100, "samples have 10% of the modes", "a lower lr")
    run = made_run(tmp_path_factory.mktemp("one") / "digits-dcgan" / "abcd", health=[verdict])
    (run / "quiz").mkdir()
    answers = {"mode": "untimed", "paired": True, "trials": 50, "errors": 20}
    answers |= {"error_rate": 0.4, "interval": [0.28, 0.54], "iteration": 400, "newer": {}}
    (run / "quiz" / "1.json").write_text(json.dumps(answers))
    (run / "sampled").mkdir()
    shutil.copy(run / "samples" / "iteration-0000400.png", run / "sampled" / "grid.png")
    assert run_report(str(run)) == (0, f"{run / 'report.html'}\n", "")
    return run / "report.html"


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """The report of a sweep of twelve runs."""
    sweep = made_sweep(tmp_path_factory.mktemp("many"), grid())
    assert run_report(str(sweep)) == (0, f"{sweep / 'report.html'}\n", "")
    return sweep / "report.html"


def lines(page, name):
    """Label -> (x, y) of the lines in a plot, which is brought into view and drawn."""
    page.locator(f"figure:has([data-of='{name}'])").scroll_into_view_if_needed()
    page.locator(f"figure:has([data-of='{name}']) canvas").first.wait_for()
    return page.evaluate(
        """async (name) => {
          const data = () => Bokeh.documents.map((one) => one.get_model_by_name(name))
            .find(Boolean)?.renderers[0].data_source.data;
          while (!data()?.label[0]) await new Promise(requestAnimationFrame);
          const { label, xs, ys } = data();
          return Object.fromEntries(label.map((one, i) => [one, [[...xs[i]], [...ys[i]]]]));
        }""",
        name,
    )


def shown_rows(page):
    return page.locator("#table tbody tr:not([hidden])").evaluate_all(
        "rows => rows.map((row) => Number(row.dataset.run))"
    )


def brightness(page, image):
    """The red value in the middle of a picture that is shown."""
    return page.locator(image).evaluate(
        """async (image) => {
          await image.decode();
          const canvas = document.createElement("canvas");
          canvas.width = canvas.height = 1;
          const context = canvas.getContext("2d");
          context.drawImage(image, 20, 20, 1, 1, 0, 0, 1, 1);
          return context.getImageData(0, 0, 1, 1).data[0];
        }"""
    )


# One run ----------------------------------------------------------------------------------------


def test_a_run_tells_what_it_was(one, opened):
    text = opened(one).inner_text("main")
    for said in ("finished", "400 of 3,000", "25,600", "40.0 s", NAME, "c0ffee with uncommitted"):
        assert said in text
    assert "python -m ganlab.train logger=csv iterations=400" in text
    assert "mode-collapse" in text
    assert "iterations 100 to 300" in text
    assert "Try: a lower lr" in text
    assert "40.0%" in text
    assert "28.0% – 54.0%" in text
    assert "sampled/grid.png" in text
    assert "10,000 generated (trained weights, seed 0" in text


@pytest.mark.long
def test_the_slider_changes_the_picture(one, opened):
    page = opened(one)
    assert page.text_content("#iteration") == "iteration 400"
    assert brightness(page, "img.film") == pytest.approx(210, abs=3)
    page.focus("#at")
    page.keyboard.press("Home")
    assert page.text_content("#iteration") == "iteration 0"
    assert brightness(page, "img.film") == pytest.approx(10, abs=3)
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#at", "aria-valuetext") == "iteration 100"
    assert brightness(page, "img.film") == pytest.approx(60, abs=3)
    page.click("#play")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.locator("#iteration", has_text="iteration 400").wait_for()
    assert page.get_attribute("#play", "aria-pressed") == "false"


@pytest.mark.long
def test_curves_have_three_axes(one, opened):
    page = opened(one)
    x, y = lines(page, "curves:loss")["loss/g"]
    assert x == [10 * i for i in range(1, 41)]
    assert y == [2 * i for i in range(1, 41)]
    page.select_option("#axis", "images_seen")
    assert lines(page, "curves:loss")["loss/g"][0] == [640 * i for i in range(1, 41)]
    page.select_option("#axis", "seconds")
    assert lines(page, "curves:loss")["loss/g"][0] == [i / 2 for i in range(1, 41)]
    groups = page.locator(".plots figcaption").all_text_contents()
    assert groups == ["loss", "output of D", "health", "Fréchet distance", "gradient norm"]


@pytest.mark.long
def test_what_differs_from_the_default_run_comes_first(tmp_path, opened):
    run = made_run(tmp_path / "run", config={"batch_size": 32, "callback": {"token": "s3cret"}})
    run_report(str(run))
    page = opened(run / "report.html")
    rows = page.locator("#differing tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["batch_size", "32", "64"],
        ["logger", "none", "ganlab.loggers.WandbRun"],
        ["callback.token", "<redacted>", "–"],
    ]
    assert "s3cret" not in (run / "report.html").read_text()
    page.click("#everything summary")
    assert page.locator("#everything tbody tr").count() > 100


def test_the_defaults_are_those_of_the_default_run():
    """If not: `python benchmarks/report.py defaults=true` writes them anew."""
    assert dict(settings.defaults()) == dict(flattened(composed()))


def test_a_real_run(tmp_path):
    """A run of three iterations has what the fabricated ones have."""
    from commands import trained

    run = trained(tmp_path)
    html = page.report([run])
    for said in ("curves:loss", "python -m ganlab.train", "finished", "3 of 3"):
        assert said in html
    assert len(json.loads(html.split('id="frames-0">')[1].split("</script>")[0])["samples"]) > 1
    assert "What is missing" not in html


# Several runs ------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_table_sorts_by_any_column(many, opened):
    page = opened(many)
    column = page.locator("th:has(button:text-is('g_optimizer.lr'))")
    rates = "#table tbody tr td:nth-child(5)"
    assert shown_rows(page)[0] == 0  # the best first
    column.locator("button").focus()
    page.keyboard.press("Enter")
    assert column.get_attribute("aria-sort") == "ascending"
    assert page.locator(rates).all_text_contents() == ["1"] * 4 + ["2"] * 4 + ["30"] * 4
    page.keyboard.press("Enter")
    assert column.get_attribute("aria-sort") == "descending"
    assert page.locator(rates).first.text_content() == "30"
    page.click("th button:text-is('model')")
    assert column.get_attribute("aria-sort") == "none"
    assert page.locator("#table tbody tr td:nth-child(4)").first.text_content() == "dcgan"


@pytest.mark.long
def test_the_table_filters_by_text_choices_and_ranges(many, opened):
    page = opened(many)
    page.fill("#search", "vanilla")
    assert shown_rows(page) == [0, 1, 2, 3, 4, 5]
    assert page.text_content("#count") == "6 of 12 runs"
    page.click("#filters summary")
    page.locator("fieldset[data-name='g_optimizer.lr'] input[value='1']").press("Space")
    assert shown_rows(page) == [2, 3, 4, 5]
    page.locator(f"fieldset[data-name='{NAME}'] .most").fill("21")
    assert shown_rows(page) == [2, 3]
    page.click("#everyone")
    assert page.text_content("#count") == "12 of 12 runs"


@pytest.mark.long
def test_missing_values_come_last(tmp_path, opened):
    points = grid()
    points[0][1]["score"] = None
    sweep = made_sweep(tmp_path, points)
    run_report(str(sweep))
    page = opened(sweep / "report.html")
    head = page.locator(f"th button:text-is('{NAME}')")
    for _ in range(2):
        head.click()
        assert shown_rows(page)[-1] == 0


@pytest.mark.long
def test_parallel_coordinates_and_the_table_filter_each_other(many, opened):
    page = opened(many)
    page.locator("[aria-labelledby=parallel]").scroll_into_view_if_needed()
    alphas = """() => {
      const plot = (window.Bokeh?.documents ?? []).map((d) => d.get_model_by_name("coordinates"))
        .find(Boolean);
      return plot ? [...plot.renderers[0].data_source.data.alpha] : [];
    }"""
    page.locator("[aria-labelledby=parallel] canvas").first.wait_for()
    page.fill("#search", "dcgan")
    assert [alpha > 0.5 for alpha in page.evaluate(alphas)] == [False] * 6 + [True] * 6
    page.fill("#search", "")
    # Axis 1 is g_optimizer.lr: 1 at the bottom, 30 at the top.
    canvas = page.locator("[aria-labelledby=parallel] [data-plot]")
    spot = """([x, y]) => {
      const views = Object.values(Bokeh.index.roots ?? Bokeh.index);
      const view = views.find((one) => one.model.name === "coordinates");
      const frame = view.frame, box = view.el.getBoundingClientRect();
      return [box.x + frame.x_scale.compute(x), box.y + frame.y_scale.compute(y)];
    }"""
    canvas.scroll_into_view_if_needed()
    page.mouse.move(*page.evaluate(spot, [0.8, -0.05]))
    page.mouse.down()
    page.mouse.move(*page.evaluate(spot, [1.2, 0.1]), steps=4)
    page.mouse.up()
    page.locator("#count", has_text="4 of 12 runs").wait_for()
    kept = page.locator("fieldset[data-name='g_optimizer.lr'] input:checked")
    assert kept.evaluate_all("all => all.map((one) => one.value)") == ["1"]


@pytest.mark.long
def test_the_grid_shows_the_best_run_of_each_cell(many, opened):
    page = opened(many)
    assert page.locator("#pair option").all_text_contents()[0] == "model × g_optimizer.lr"
    cells = page.locator("#cells td:has(img)")
    assert cells.count() == 6
    assert cells.nth(0).locator("img").get_attribute("data-run") == "6"  # dcgan, 1, seed 0
    assert (
        cells.nth(0).inner_text().split("\n")[1:] == ["2 runs"]
        or "2 runs" in cells.nth(0).inner_text()
    )
    assert page.locator("#cells img").first.evaluate("(i) => i.src.startsWith('data:image/webp')")
    page.select_option("#pair", label="model × seed")
    assert page.locator("#cells thead th").all_text_contents() == ["0", "1"]


@pytest.mark.long
def test_best_of_k_is_the_exact_expectation(many, opened):
    page = opened(many)
    scores = [10 * rate + seed for rate in (1, 2, 30) for seed in (0, 1)]
    page.locator("#grouping").scroll_into_view_if_needed()
    k, best = lines(page, "budgets")["all runs"]
    assert k == list(range(1, 13))
    assert best == pytest.approx([best_of(scores * 2, i) for i in k])
    page.select_option("#grouping", "model")
    by_model = lines(page, "budgets")
    assert by_model.keys() == {"model=vanilla", "model=dcgan"}
    assert by_model["model=dcgan"][1] == pytest.approx([best_of(scores, i) for i in range(1, 7)])


@pytest.mark.long
def test_the_spread_over_seeds(many, opened):
    rows = opened(many).locator("[aria-labelledby=seeds] tbody tr")
    assert rows.count() == 6
    assert rows.nth(0).inner_text().split("\t")[:4] == [
        "model=vanilla g_optimizer.lr=1", "10.5 ± 6.4", "0.707", "2"
    ]  # fmt: skip


@pytest.mark.long
def test_two_runs_side_by_side(many, opened):
    page = opened(many)
    page.locator("#table tr[data-run='11'] button[data-side='1']").click()
    assert page.input_value("#side-1") == "11"
    assert (
        page.get_attribute("#table tr[data-run='11'] button[data-side='1']", "aria-pressed")
        == "true"
    )
    page.select_option("#side-0", "0")
    assert page.locator("#differing tbody tr").all_inner_texts() == ["seed\t0\t1"]
    assert "0000000b" in page.inner_text("#portrait-of-1")
    assert set(lines(page, "curves:loss")) == {"A loss/d", "A loss/g", "B loss/d", "B loss/g"}
    page.locator("#at").focus()
    page.keyboard.press("Home")
    assert page.locator(".when").all_text_contents() == ["at iteration 0"] * 2


def test_runs_by_their_names(tmp_path):
    runs = [made_run(tmp_path / name) for name in ("a=1", "b")]
    outcome = run_report(*map(str, runs))
    assert outcome == (0, f"{runs[0] / 'comparison.html'}\n", "")
    html = (runs[0] / "comparison.html").read_text()
    assert "2 runs" in html
    listed = f"runs=[{','.join(map(str, runs[1:]))}]"
    assert run_report(listed, f"to={tmp_path / 'x.html'}").out == f"{tmp_path / 'x.html'}\n"


def test_runs_by_other_protocols_are_not_ranked(tmp_path):
    points = grid()
    sweep = made_sweep(tmp_path, points)
    file = tmp_path / "runs" / "00000000" / "summary.json"
    told = json.loads(file.read_text())
    told["scores"][0]["protocol"]["real_hash"] = "another"
    file.write_text(json.dumps(told))
    assert "scored by another protocol: 1 of 12 runs" in page.report([sweep])


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_need_not_scroll_sideways(one, many, opened, scheme):
    for file in (one, many):
        page = opened(file, viewport=PHONE, color_scheme=scheme)
        lines(page, "curves:loss")
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.long
def test_controls_have_names(one, many, opened):
    for file in (one, many):
        page = opened(file)
        unnamed = page.evaluate(
            """() => [...document.querySelectorAll("button, select, input, summary")]
              .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))
              .map((one) => one.outerHTML)"""
        )
        assert unnamed == []


@pytest.mark.long
def test_firefox_opens_the_reports(one, many, firefox):
    firefox.open(one)
    assert firefox.value("document.getElementById('iteration').textContent") == "iteration 400"
    firefox.open(many)
    assert firefox.value("document.getElementById('count').textContent") == "12 of 12 runs"


# Strangers, damage, size -------------------------------------------------------------------------


def hostile(folder, **options):
    verdict = Verdict(HOSTILE, 3, 1, HOSTILE, HOSTILE)
    config = {"data": {"_target_": HOSTILE, "classes": [HOSTILE], HOSTILE[:20]: HOSTILE}}
    run = made_run(folder, health=[verdict], config=config, error=HOSTILE, **options)
    write_rows(run, 3, ("loss/d", HOSTILE.replace("\u2028", "")))
    about = {"command": ["train.py", HOSTILE], "platform": HOSTILE, "git_commit": HOSTILE}
    (run / "environment.json").write_text(json.dumps(about))
    (run / "quiz").mkdir()
    (run / "quiz" / "1.json").write_text(json.dumps({"mode": HOSTILE, "trials": HOSTILE}))
    (run / "samples" / "<img src=x onerror=alert(1)>").mkdir()
    shutil.copy(
        run / "samples" / "iteration-0000000.png", run / "samples" / "<img src=x onerror=alert(1)>"
    )
    return run


@pytest.mark.long
def test_hostile_texts_are_shown_and_run_nothing(tmp_path, opened):
    run = hostile(tmp_path / "<script>alert(1)<" / "script>")
    run_report(str(run))
    page = opened(run / "report.html")
    assert page.title().strip() == "<script>alert(1)</script>"
    assert page.text_content(".ailments strong") == HOSTILE
    lines(page, "curves:loss")
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.long
def test_hostile_sweeps_run_nothing(tmp_path, opened):
    text = HOSTILE.replace("\u2028", "")
    points = [([f"model={text}{i}", f"{text}=1", f"seed={i}"], {}) for i in range(3)]
    sweep = made_sweep(tmp_path, points)
    for name in ("3", "4"):
        jobs = json.loads((sweep / "sweep.json").read_text())["jobs"]
        hostile(tmp_path / "runs" / name)
        jobs.append(
            {"run": f"../runs/{name}", "overrides": [f"model={text}{name}", f"seed={name}"]}
        )
        (sweep / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    run_report(str(sweep))
    page = opened(sweep / "report.html")
    page.select_option("#side-1", "4")
    page.locator("#grouping").scroll_into_view_if_needed()
    page.select_option("#grouping", index=1)
    assert len(lines(page, "budgets")) == 5
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("config.yaml", b"seed: [1", "config.yaml' is damaged"),
        ("config.yaml", b"seed: 1", "config.yaml' is damaged: it lacks 'trainer'"),
        ("summary.json", b'{"status": "fin', "summary.json' is damaged"),
        ("summary.json", b'{"scores": [{"iterations": 3}]}', "is damaged: scores: repeats"),
        ("summary.json", b'{"likelihoods": [{"name": "nll"}]}', "is damaged: likelihoods[0].kind"),
        ("environment.json", b"[]", "environment.json' is damaged"),
        ("metrics.csv", b"a,b\n1,x\n", "metrics.csv' is damaged: no column 'iterations'"),
        ("quiz/1.json", b"[1]", "1.json' is damaged"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, name, content, said):
    run = made_run(tmp_path / "run")
    (run / "quiz").mkdir()
    (run / "quiz" / "2.json").write_text(json.dumps({"mode": "untimed", "trials": 4}))
    (run / name).write_bytes(content)
    assert run_report(str(run)).code == 0
    html = (run / "report.html").read_text().replace("&#39;", "'")
    assert "Which image is real?" in html, "the other result is shown"
    assert "What is missing" in html
    assert said in html
    other = made_run(tmp_path / "other")
    assert run_report(str(run), str(other)).code == 0


def test_likelihoods_say_what_they_are(tmp_path):
    run = made_run(tmp_path / "run")
    about = {"kind": "lower bound", "nats": 99.604, "error": 2.01, "images": 1000}
    protocol = {"binarise": HOSTILE, "samples": 50, "iterations": 4000}
    bound = {"name": "nll/iwae-50", **about, "protocol": protocol}
    chain = {**bound, "name": "nll/ais-9", "kind": "upper bound", "interval": [97.5, 1099.9]}
    told = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps({**told, "likelihoods": [bound, chain]}))
    shown = page.report([run])
    assert "<td>nll/iwae-50</td><td>at most 99.60</td><td>2.01</td><td></td>" in shown
    assert "<td>at least 99.60</td><td>2.01</td><td>97.50 – 1,099.90</td><td>1,000</td>" in shown
    assert "samples 50</td>" in shown
    assert "<img src=x" not in shown
    assert "less is better" not in page.report([made_run(tmp_path / "gan")])


@pytest.mark.parametrize("scored", [False, True])
def test_a_sweep_by_likelihood(tmp_path, scored):
    """It ranks runs that have no scores, and stands beside scores."""

    def told(nats, **protocol):
        about = {"kind": "lower bound", "error": 0.5, "images": 100}
        return [{"name": "nll/iwae-50", "nats": nats, "protocol": protocol, **about}]

    points = [
        ([f"seed={i}"], {"score": 10.0 + i if scored else None, "likelihoods": told(nats)})
        for i, nats in enumerate((120.0, 90.0, -100.0))
    ]
    points.append((["seed=3"], {"score": None, "likelihoods": told(1.0, binarise=HOSTILE)}))
    exact = [{**told(2.0)[0], "name": "nll/exact"}]
    points.append((["seed=4"], {"score": None, "likelihoods": exact}))
    shown = page.report([made_sweep(tmp_path, points)])
    by = NAME if scored else "nll/iwae-50"
    assert f"<dt>ranked by</dt><dd>{by}, less is better</dd>" in shown
    assert shown.count("<td>nll/iwae-50</td><td>at most ") == 4, "side by side"
    found = ranking.ranked(jobs_in(tmp_path / "sweep"))
    assert found.order[:3] == ([0, 1, 2] if scored else [2, 1, 0])
    assert found.left_out == (0 if scored else 2)
    (column,) = [one for one in table.scores(found.results, found.by) if one.name == "nll/iwae-50"]
    assert [cell.value for cell in column.cells] == [120.0, 90.0, -100.0, None, None]
    (other,) = [one for one in table.scores(found.results, found.by) if one.name == "nll/exact"]
    assert [cell.value for cell in other.cells] == [None] * 4 + [2.0], "not ranked, but shown"
    assert "<img src=x" not in shown


def test_a_run_that_has_just_begun(tmp_path, opened):
    run = tmp_path / "run"
    run.mkdir()
    made_run(tmp_path / "whole")
    shutil.copy(tmp_path / "whole" / "config.yaml", run)
    run_report(str(run))
    text = opened(run / "report.html").inner_text("main")
    assert "The run has no readings yet." in text
    assert "The run has no pictures of samples." in text


def test_pictures_that_cannot_be_read_are_left_out(tmp_path):
    run = made_run(tmp_path / "run", pictures=3)
    (run / "samples" / "iteration-0000100.png").write_bytes(b"\x89PNG\r\n\x1a\nhalf")
    secret = tmp_path / "secret.png"
    shutil.copy(run / "samples" / "iteration-0000000.png", secret)
    (run / "samples" / "iteration-0000300.png").symlink_to(secret)
    found = frames.frames(run, 10**6, 640)["samples"]
    assert [frame.iteration for frame in found.shown] == [0, 200]


def test_pictures_are_thinned_evenly_to_their_budget(tmp_path):
    run = made_run(tmp_path / "run", pictures=0)
    numbers = np.random.default_rng(0)
    for i in range(33):
        pixels = numbers.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(run / "samples" / f"iteration-{i:07d}.png")
    shown = frames.frames(run, 10**6, 640)["samples"].shown
    assert [frame.iteration for frame in shown] == list(range(33))
    size = max(len(frame.url) for frame in shown)
    for most, expected in [(1, [32]), (2, [0, 32]), (6, [0, 8, 16, 24, 32])]:
        found = frames.frames(run, most * size, 640)["samples"]
        assert [frame.iteration for frame in found.shown] == expected
        assert found.available == 33


def test_a_report_is_never_larger_than_its_bound(tmp_path, monkeypatch):
    verdict = Verdict("a" * 10**6, 3, 1, "b" * 10**6, "c" * 10**6)
    run = made_run(tmp_path / "run", health=[verdict] * 3, config={"callback": {"x": "d" * 10**6}})
    write_rows(run, 20_000)
    assert len(page.report([run])) < 4_500_000
    monkeypatch.setattr(budget, "PAGE", 1000)
    outcome = run_report(str(run))
    assert outcome.code == 2
    assert "more than 0: name fewer of the 1 runs" in outcome.err
    assert not (run / "report.html").exists()


# Mistakes ----------------------------------------------------------------------------------------


NO_RUN = (
    "'last' is the newest run below 'outputs', and there is none; a folder of that name is './last'"
)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no run in or below 'nowhere'"),
        ([], "runs: missing; set runs=..."),
        (["run", "runs=run"], "runs: given twice, by its name and as 'run'"),
        (
            ["run", "watch=true", "to=x.html"],
            "to: with watch=true the page is served and not written",
        ),
        (["run", "port=8000"], "port: only watch=true has a server"),
        (["run", "to=x.txt"], "to: 'x.txt' must end in .html"),
        (["run", "to=no/x.html"], "to: there is no folder 'no'"),
        (["run", "to=notes.html"], "to: 'notes.html' exists and is no page of ganlab"),
        (["run", "wach=true"], "wach: unknown; did you mean 'watch'?"),
        (["last"], NO_RUN),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) and value else None,
)
def test_mistakes(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    made_run(tmp_path / "run")
    (tmp_path / "notes.html").write_text("<p>mine</p>")
    outcome = run_report(*words)
    assert outcome == (2, "", f"ganlab: 1 mistake, nothing was started\n  {said}\n")
    assert (tmp_path / "notes.html").read_text() == "<p>mine</p>"


def test_a_report_replaces_an_older_one(one):
    before = one.read_text()
    assert run_report(str(one.parent)).code == 0
    assert one.read_text() != before  # another nonce at least


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("/a/src/ganlab/train.py", "ganlab.train"),
        ("/a/ganlab/src/ganlab/lab/__main__.py", "ganlab.lab"),
        ("C:\\a\\ganlab\\train.py", "ganlab.train"),
        ("/usr/bin/ganlab", "ganlab.train"),
        ("/home/me/mine.py", None),
    ],
)
def test_the_module_of_a_program(program, module):
    assert module_of(program) == module


def test_reports_do_not_import_torch():
    script = "import ganlab.report, ganlab.reporting.page, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=ROOT).returncode == 0


# Watched -----------------------------------------------------------------------------------------


@pytest.fixture
def watched(tmp_path):
    """(run, address) of a report that is served while the test goes on."""
    run = made_run(tmp_path / "run", rows=10, status="running")
    words = [sys.executable, "-m", "ganlab.report", str(run), "watch=true"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        yield run, process.stdout.readline().split()[0]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


@pytest.mark.long
def test_a_watched_report_follows_the_run_and_keeps_the_place(watched, opened):
    run, url = watched
    page = opened(url, viewport={"width": 900, "height": 600})
    page.select_option("#axis", "seconds")
    page.focus("#at")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.click("#everything summary")
    assert lines(page, "curves:loss")["loss/g"][0][-1] == 5
    place = page.evaluate("scrollY")
    assert place > 0
    with page.expect_event("load"):
        write_rows(run, 40)
    assert page.evaluate("scrollY") == place
    assert page.input_value("#axis") == "seconds"
    assert page.text_content("#iteration") == "iteration 100"
    assert page.locator("#everything").evaluate("(one) => one.open")
    assert lines(page, "curves:loss")["loss/g"][0][-1] == 20
    assert not (run / "report.html").exists()


@pytest.mark.long
def test_a_watched_report_follows_the_newest_samples(watched, opened):
    run, url = watched
    page = opened(url)
    assert page.text_content("#iteration") == "iteration 400"
    shutil.copy(
        run / "samples" / "iteration-0000000.png", run / "samples" / "iteration-0000500.png"
    )
    page.locator("#iteration", has_text="iteration 500").wait_for()
