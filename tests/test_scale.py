"""Thousands of runs, rows and frames: what is read, built or kept, counted on few."""

import itertools
import json
import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hydra.types import RunMode
from PIL import Image

from commands import (
    composer,
    run_main,
    run_sweep,
    run_train,
    runs_in,
    shell,
    smoke,
    summary,
    trained,
)
from ganlab.commands.composition import CONFIG, Composer, without_hydra
from ganlab.experiments.experiment import Experiment
from ganlab.loggers import MetricsFile
from ganlab.plots import figures, pictures
from ganlab.runs import folder, plain_yaml, records
from ganlab.sweeps.record import Sweep
from processes import training

COPIES = 8


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """Copies of one scored run, with other seeds and learning rates; and a sweep of them."""
    outputs = tmp_path_factory.mktemp("outputs")
    scored = ("metrics=classifier", "metrics.n=100", "metrics.every=3")
    first = trained(outputs, *scored)
    config = (first / "config.yaml").read_text()
    jobs = []
    for i in range(COPIES):
        run = first.with_name(f"{i:08x}")
        shutil.copytree(first, run)
        told = config.replace("seed: 0\n", f"seed: {i % 2}\n", 1).replace(
            "0.0002", f"0.{i // 2:04}1"
        )
        (run / "config.yaml").write_text(told)
        words = ["loss=hinge", f"g_optimizer.lr=0.{i // 2:04}1", f"seed={i % 2}"]
        jobs.append({"run": f"../../{run.relative_to(outputs)}", "overrides": words})
    shutil.rmtree(first)
    (outputs / "sweeps" / "12345678").mkdir(parents=True)
    (outputs / "sweeps" / "12345678" / "sweep.json").write_text(json.dumps({"jobs": jobs}))
    return outputs


@pytest.mark.parametrize("below", [".", "sweeps/12345678"])
@pytest.mark.parametrize("words", ["status", "table", "table seeds=apart", "best", "plot"])
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_command_reads_each_file_of_a_run_at_most_once(many, words, below, form, monkeypatch):
    if words == "plot" and form == "json":
        return
    read: Counter[Path] = Counter()
    for module, name in ((plain_yaml, "read"), (records, "read")):
        function = getattr(module, name)

        def counted(path, *rest, function=function):
            read[path] += 1
            return function(path, *rest)

        monkeypatch.setattr(module, name, counted)
    verb, *further = words.split()
    further += ["format=json"] if form == "json" else []
    outcome = run_sweep(verb, str(many / below), *further)
    assert (outcome.code, outcome.err) == (0, "")
    assert len(read) >= COPIES
    assert set(read.values()) == {1}


def test_no_verb_needs_torch(many):
    script = (
        "import sys, ganlab.sweep as s; from pathlib import Path\n"
        f"d = {str(many)!r}\n"
        "s.status(d), s.table(d), s.best(d), s.plot(d)\n"
        "print('torch' in sys.modules)"
    )
    done = shell("-c", script)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


def test_a_run_that_a_record_lists_again_and_again_is_one(many, tmp_path):
    run = {"run": str(next((many).glob("*/00000000"))), "overrides": ["seed=0"]}
    (tmp_path / "sweep.json").write_text(json.dumps({"jobs": [run] * 100_000}))
    assert len(Sweep(tmp_path).jobs()) == 1


def test_experiments_whose_long_names_begin_alike_are_all_drawn(many):
    record = json.loads((many / "sweeps" / "12345678" / "sweep.json").read_text())
    for i, job in enumerate(record["jobs"]):
        job["overrides"] = [f"model.generator={'x' * 60}{i}"]
        job["run"] = str(next(many.glob(f"*/{i:08x}")))
    path = many / "long"
    path.mkdir()
    (path / "sweep.json").write_text(json.dumps(record))
    outcome = run_sweep("plot", str(path))
    shutil.rmtree(path)
    assert (outcome.code, outcome.err) == (0, "")


def test_runs_are_not_looked_for_inside_of_runs(many, tmp_path):
    run = next(many.glob("*/00000000"))
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.copytree(run, copy / "samples" / "inner")
    assert [found.path for found in folder.runs_below(tmp_path)] == [copy]


# The pre-flight ----------------------------------------------------------------------------------


def preflight(*words: str):
    """The outcome of the pre-flight of a sweep: nothing is started."""
    from ganlab.commands import composition, preflight
    from ganlab.commands.command_line import exit_with_message

    def main():
        with exit_with_message():
            print(len(preflight.preflight(composition.arguments()).jobs))

    return run_main(main, "-m", *words)


def test_jobs_share_what_they_have_in_common(tmp_path, monkeypatch):
    """Four learning rates with three seeds each: one GAN, one composition of the choices."""
    built, composed = Counter[str](), 0
    build = Experiment._build

    def counted(self, path, *node, **given):
        built[path] += 1
        return build(self, path, *node, **given)

    loaded = Composer._choices_loaded

    def load(self, *overrides):
        nonlocal composed
        composed += 1
        return loaded(self, *overrides)

    monkeypatch.setattr(Experiment, "_build", counted)
    monkeypatch.setattr(Composer, "_choices_loaded", load)
    rates = "g_optimizer.lr=1e-3,2e-3,3e-3,4e-3"
    outcome = preflight(*smoke(tmp_path, rates, "seed=0,1,2"))
    assert (outcome.code, outcome.out) == (0, "12\n")
    assert (built["gan"], built["model.generator"], composed) == (1, 1, 1)
    assert built["g_optimizer"] == 4 + 1  # each rate by itself, and one in the GAN


def test_each_mistake_of_each_job_is_found_among_jobs_that_share(tmp_path):
    words = ("g_optimizer.lr=1e-3,-1", "latent.dim=8,0", "seed=0,1", "d_clip=1,-2")
    outcome = preflight(*smoke(tmp_path, *words))
    assert outcome.code == 2
    for mistake in ("g_optimizer: Invalid learning rate: -1.0", "latent: ", "d_clip "):
        (line,) = (line for line in outcome.err.splitlines() if mistake in line)
        assert line.endswith("(in 8 of 16 jobs)")


SETS = [
    ["model=vanilla", "seed=3", "g_optimizer.lr=1e-3"],
    ["optim@g_optimizer=sgd", "g_optimizer.lr=1", "++g_optimizer.momentum=0.5"],
    ["seed=1", "regularizer=[r1,lecam]", "~d_clip", "batch_size=8", "metrics=classifier"],
    ["+regularizer=r1", "trainer=smoke", "+trainer.detect_anomaly=true", "seed=1", "seed=2"],
]


@pytest.mark.parametrize("overrides", SETS)
def test_what_is_composed_of_shared_choices_is_what_hydra_composes(overrides):
    loader = composer().loader
    try:
        whole = loader.load_configuration(CONFIG, overrides, RunMode.RUN)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must be the same
        with pytest.raises(type(error)):
            composer()._load(overrides)
        return
    mine = composer()._load(overrides)
    assert without_hydra(mine) == without_hydra(whole)
    assert mine.hydra.runtime.choices == whole.hydra.runtime.choices


def test_of_many_jobs_it_is_said_that_they_are_checked(tmp_path):
    seeds = "seed=" + ",".join(map(str, range(60)))
    outcome = preflight(*smoke(tmp_path, seeds))
    assert (outcome.out, outcome.err) == ("60\n", "checking 60 jobs\n")
    assert preflight(*smoke(tmp_path, "seed=0,1")).err == ""


# Rows and frames ----------------------------------------------------------------------------------


def rows_in(path: Path, n: int) -> Path:
    """metrics.csv with so many rows; the last reading of `a` is the greatest but one."""
    lines = [f"{i},{64 * i},{i / 8},{i % 7},{'0.5' if i % 100 == 0 else ''}" for i in range(n)]
    lines[n // 3] = f"{n // 3},0,0,1000,"
    path.write_text("\n".join(["iterations,images_seen,seconds,a,fid", *lines, ""]))
    return path


def peak(work) -> int:
    """The most bytes that are held meanwhile."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def go_on(path: Path) -> None:
    """Resumes after half of the rows, and adds a column."""
    file = MetricsFile(path)
    file.go_on(path.stat().st_size // 60)
    file.log_metrics({"iterations": 10**6, "new": 1.0})


@pytest.mark.parametrize("work", [go_on, lambda path: figures.read(path, most=200)])
def test_memory_does_not_grow_with_the_rows(work, tmp_path):
    """40,000 rows as dicts are 20 MB."""
    work(rows_in(tmp_path / "warm.csv", 100))
    many = rows_in(tmp_path / "many.csv", 40_000)
    assert peak(lambda: work(many)) < 1_000_000


def test_a_long_column_is_drawn_by_its_extremes(tmp_path):
    read = figures.read(rows_in(tmp_path / "metrics.csv", 5_000), most=100)
    x, y = read["a"]
    assert len(x) == len(y) <= 100
    assert (min(y), max(y)) == (0, 1000)
    assert x[y.index(1000)] == 5_000 // 3
    assert x == sorted(x)
    assert read["iterations"][1][-1] == 4_999
    assert read["fid"] == ([*range(0, 5_000, 100)], [0.5] * 50)


def test_a_film_shows_a_bounded_number_of_frames_and_says_so(tmp_path, monkeypatch, capsys):
    from ganlab.callbacks import SampleGrids

    monkeypatch.setattr(pictures, "MOST", 5)
    for i in range(12):
        pictures.save(tmp_path / f"iteration-{i:07d}.png", np.full((4, 4, 3), 20 * i, np.uint8))
    SampleGrids(tmp_path, 1).animate()
    with Image.open(tmp_path / "samples.gif") as film:
        assert film.n_frames == 5
        shown = []
        for i in range(5):
            film.seek(i)
            shown.append(film.convert("RGB").getpixel((0, 0))[0])
    assert (shown[0], shown[-1]) == (0, 220)
    assert capsys.readouterr().out == f"{tmp_path / 'samples.gif'} shows 5 of 12 pictures\n"


# Two processes ------------------------------------------------------------------------------------


@pytest.mark.long
def test_the_same_sweep_started_twice_at_once_is_finished_by_both(tmp_path):
    words = ["-m", *smoke(tmp_path, "seed=0,1,2,3")]
    logs = [tmp_path / f"{i}.log" for i in range(2)]
    with training(words, logs[0]) as first, training(words, logs[1]) as second:
        for process in (first, second):
            process.join(120)
    assert (first.exitcode, second.exitcode) == (0, 0), [log.read_text() for log in logs]
    runs = runs_in(tmp_path)
    assert {summary(run)["status"] for run in runs} == {"finished"}
    said = "".join(log.read_text() for log in logs)
    assert all(said.count(f"{run}\n") >= 1 for run in runs)
    for run in runs:
        with (run / "metrics.csv").open() as file:
            iterations = [line.partition(",")[0] for line in itertools.islice(file, 1, None)]
        assert len(iterations) == len(set(iterations))


def test_a_run_that_another_process_left_unfinished_counts(tmp_path, monkeypatch):
    """It was busy when its turn came, and then its process failed: the sweep is not done."""
    from ganlab.errors import RunBusyError

    def busy(*_, **__):
        raise RunBusyError(["another process is working in it"])

    monkeypatch.setattr("ganlab.train.train", busy)
    outcome = run_train("-m", *smoke(tmp_path, "seed=0,1"))
    assert outcome.code == 1
    assert outcome.out.count("it is left to that one") == 2
