"""Reports of runs without a record: what was chosen in each, and how a run is named."""

import pytest

from browsers import PHONE
from commands import composed
from ganlab.reporting import chosen, page, ranking, settings
from ganlab.reporting.named import jobs_of
from ganlab.reporting.table import Cell, setting
from test_report import grid, made_run, made_sweep, run_report

CHOICES = (
    ("model=dcgan", "loss=hinge"),
    ("model=vanilla", "conditioning=acgan"),
    ("model=vae",),
    ("model=toy", "data=ring_2d"),
)


def told(*lines):
    """What tells runs apart, each by its overrides."""
    return chosen.distinguishing([composed(*line.split()) for line in lines])


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """The report of runs of four models; only the first one has scores."""
    folder = tmp_path_factory.mktemp("mixed")
    for i, words in enumerate(CHOICES):
        made_run(folder / f"run-{i}", score=10.0 if i == 0 else None, config=composed(*words))
    assert run_report(str(folder)) == (0, f"{folder / 'report.html'}\n", "")
    return folder / "report.html"


# Choices ----------------------------------------------------------------------------------------


def test_parts_are_told_by_the_names_of_their_options():
    assert told("model=resnet", "model=sagan loss=hinge", "data=ring_2d model=toy") == [
        {"model": "resnet", "loss": "nonsaturating", "data": "digits"},
        {"model": "sagan", "loss": "hinge", "data": "digits"},
        {"model": "toy", "loss": "nonsaturating", "data": "ring_2d"},
    ]


def test_settings_that_follow_from_a_choice_are_not_told():
    """Neither the defaults of another optimizer nor what one model alone has."""
    assert told("optim@g_optimizer=adamw", "model=vanilla") == [
        {"model": "dcgan", "g_optimizer": "AdamW", "g_optimizer.weight_decay": "0.01"},
        {"model": "vanilla", "g_optimizer": "Adam", "g_optimizer.weight_decay": "0.0"},
    ]


def test_settings_in_which_runs_of_one_choice_differ_are_told():
    wide = "model=vanilla model.generator.hidden=[3]"
    assert told("model=vanilla", wide, "regularizer=[r1]") == [
        {"model": "vanilla", "model.generator.hidden": "[256, 512, 1024]"},
        {"model": "vanilla", "model.generator.hidden": "[3]"},
        {"model": "dcgan", "regularizer": "[r1]"},
    ]


def test_null_is_a_value_unless_the_model_has_no_use_for_it():
    gan, clipped, vae = told("model=vanilla", "model=vanilla d_clip=1 ema=null", "model=vae")
    assert (gan["d_clip"], clipped["d_clip"]) == ("null", "1.0")
    assert (gan["ema"], clipped["ema"]) == ("HalfLife", "null")
    assert vae["model"] == "vae"
    assert not {"loss", "gan", "d_clip", "d_steps"} & vae.keys()
    assert setting("d_clip", "null") == Cell("null", "null")


def test_seeds_tell_nothing():
    assert told("seed=1", "seed=2") == [{}, {}]


def test_classes_of_strangers_are_no_mistake():
    odd = {"model": {"_target_": 3}, "data": {"a": {"_target_": [1]}}, "gan": None, "loss": "x"}
    assert chosen.choices(odd)["loss"] == "x"
    assert chosen.choices({"loss": {"_target_": "mine.MyLoss"}}) == {"loss": "my_loss"}


# The page ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_choices_are_the_first_columns_and_the_first_grid(mixed, opened):
    page = opened(mixed)
    heads = page.locator("#table thead button").all_text_contents()
    assert heads[:6] == ["run", "state", "model", "loss", "conditioning", "data"]
    assert "experiment" not in heads
    assert not [head for head in heads if "_target_" in head or "capturable" in head]
    assert page.locator("#pair option").first.text_content() == "model × loss"
    assert page.locator("#cells thead th").all_text_contents() == [
        "hinge", "nonsaturating", "no value"
    ]  # fmt: skip


@pytest.mark.long
def test_menus_name_the_run_and_then_what_differs(tmp_path, opened):
    points = [
        ([f"loss={loss}", f"seed={seed}"], {"config": {"seed": seed}})
        for loss in ("hinge", "minimax")
        for seed in (0, 1)
    ]
    sweep = made_sweep(tmp_path, points)
    run_report(str(sweep))
    assert opened(sweep / "report.html").locator("#side-0 option").all_text_contents() == [
        "runs/00000000 · loss=hinge seed=0",
        "runs/00000001 · loss=hinge seed=1",
        "runs/00000002 · loss=minimax seed=0",
        "runs/00000003 · loss=minimax seed=1",
    ]


def test_seeds_stay_where_labels_are_cut(tmp_path):
    long = "x" * 200
    points = [([f"model={long}", f"seed={i}"], {}) for i in range(2)] + [(["model=a"], {})]
    html = page.report([made_sweep(tmp_path, points)])
    assert f"· model={'x' * 53}… seed=1</option>" in html


def test_a_sweep_is_named_by_its_path_from_here(tmp_path, monkeypatch):
    sweep = made_sweep(tmp_path / "outputs", grid())
    for here, said in ((tmp_path, "outputs/sweep"), (tmp_path / "outputs" / "runs", None)):
        monkeypatch.chdir(here)
        html = page.report([sweep])
        assert f'<p class="quiet path">{said or "outputs/sweep"}</p>' in html
        assert str(tmp_path) not in html


def test_runs_of_several_sweeps_are_told_apart_by_their_configs(tmp_path):
    """The overrides of one say nothing of what another leaves as it is."""
    sweeps = [
        made_sweep(
            tmp_path / name,
            [([f"seed={i}", word], {"config": composed(word) | {"seed": i}}) for i in range(2)],
        )
        for name, word in (("a", "loss=hinge"), ("b", "model=vanilla"))
    ]
    found = ranking.ranked(jobs_of(sweeps)).results
    assert [dict(result.settings) for result in found] == [
        *[{"model": "dcgan", "loss": "hinge"}] * 2,
        *[{"model": "vanilla", "loss": "nonsaturating"}] * 2,
    ]


@pytest.mark.long
def test_a_heading_is_not_broken_within_a_hash(tmp_path, opened):
    run = made_run(tmp_path / "digits-dcgan-nonsaturating-acgan" / "502ba73d")
    run_report(str(run))
    page = opened(run / "report.html", viewport=PHONE)
    heights = "(all) => all.map((one) => one.getClientRects().length)"
    assert page.locator("h1 .whole").evaluate_all(heights) == [1, 1]
    lines = page.locator("h1 .whole").last.evaluate(
        "(one) => one.offsetHeight / parseFloat(getComputedStyle(one).lineHeight)"
    )
    assert lines == pytest.approx(1, abs=0.1)


def test_empty_mappings_are_no_settings_that_differ():
    scored, plain = composed("metrics=classifier"), composed()
    assert plain["metrics"] == {}
    table = settings.differences([scored, plain])
    assert "metrics" not in table
    assert table["metrics.best"] == ["frechet", "–"]


def test_what_a_run_lacks_of_the_default_run_is_named():
    rows = {one.key: one for one in settings.settings(composed("logger=csv", "health=none"))}
    assert rows["logger"] == ("logger", "none", "ganlab.loggers.WandbRun")
    assert rows["health"] == ("health", "none", "ganlab.health.Watch")
