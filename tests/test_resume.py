"""A run that is stopped and started again ends as one that never was, bit for bit."""

import contextlib
import csv
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning_fabric.plugins.environments import SLURMEnvironment
from pytorch_lightning import Trainer
from pytorch_lightning.plugins import MixedPrecision

import ganlab
from commands import (
    completed,
    rows,
    run_sample,
    run_train,
    runs_in,
    smoke,
    stop_after,
    summary,
    trained,
)
from conftest import TIMED, differing, fit, small_gan
from ddp_worker import scores
from ganlab.callbacks import Checkpoints, Interruption, Scores
from ganlab.errors import ConfigError
from ganlab.experiments import session
from ganlab.experiments.experiment import Experiment
from ganlab.gan import GAN
from ganlab.loggers import MetricsFile
from ganlab.plots import figures
from ganlab.runs.folder import Run, identity
from ganlab.runs.readings import rows_of
from ganlab.scoring import ByClassifier, Scorecard
from ganlab.storage import checkpoint
from ganlab.sweeps.record import objective
from ganlab.training.observations import Observations

SIX = ("iterations=6", "sample_every=6")
NUMBERS = sorted(Interruption.SIGNALS)


@contextlib.contextmanager
def before_g_step(monkeypatch, iteration: int, act):
    """Acts at the worst moment: D has stepped in this iteration, G has not."""
    step = GAN.g_step

    def g_step(gan, minibatch):
        if gan.iterations + 1 == iteration:
            act()
        step(gan, minibatch)

    with monkeypatch.context() as patch:
        patch.setattr(GAN, "g_step", g_step)
        yield


def signalled(monkeypatch, number: signal.Signals, iteration: int):
    """The signal comes in the middle of an iteration."""
    return before_g_step(monkeypatch, iteration, lambda: os.kill(os.getpid(), number))


@pytest.fixture
def lenient():
    """All signals have a handler that does nothing, as a launcher's may; restored afterwards."""
    mine = {number: lambda *_: None for number in NUMBERS}
    before = {number: signal.signal(number, mine[number]) for number in mine}
    yield mine
    for number, handler in before.items():
        signal.signal(number, handler)


def last(run: Path) -> dict:
    """All that the newest checkpoint holds."""
    return checkpoint.read(Run(run).last_checkpoint())


def readings(run: Path) -> list[dict]:
    """The rows of metrics.csv but for times."""
    return [{k: v for k, v in row.items() if k not in TIMED} for row in rows(run)]


# A signal ---------------------------------------------------------------------------------------


def test_a_run_of_its_own_goes_on_where_it_is(tmp_path, monkeypatch):
    """`resume=never` once more would begin another."""
    words = smoke(tmp_path, *SIX, "resume=never")
    with signalled(monkeypatch, signal.SIGINT, 3):
        outcome = run_train(*words)
    (run,) = runs_in(tmp_path)
    command = outcome.out.splitlines()[-1].partition("python -m ganlab.train ")[2]
    assert command.split()[-1] == f"resume={run}"
    assert run_train(*command.split()).code == 0
    assert runs_in(tmp_path) == [run]
    assert summary(run)["status"] == "finished"


def test_a_run_that_is_interrupted_waits_for_no_film(tmp_path, monkeypatch):
    """A cluster that wants its machine back kills who waits; the film is made at the end."""
    words = smoke(tmp_path, *SIX)
    with signalled(monkeypatch, signal.SIGINT, 3):
        run_train(*words)
    (run,) = runs_in(tmp_path)
    assert not list(run.rglob("*.gif"))
    run_train(*words)
    assert [film.name for film in run.rglob("*.gif")] == ["samples.gif"]


def test_what_a_run_is_asked_for_when_it_goes_on_is_in_its_config(tmp_path, monkeypatch):
    words = smoke(tmp_path, *SIX)
    with signalled(monkeypatch, signal.SIGINT, 3):
        run_train(*words, "log_every=1")
    scored = ["metrics=classifier", "metrics.n=20", "metrics.every=2", "log_every=2"]
    assert run_train(*words, *scored).code == 0
    (run,) = runs_in(tmp_path)
    config = Run(run).config()
    assert (config["log_every"], config["metrics"]["every"]) == (2, 2)
    assert objective(Run(run)) is not None


def test_a_finished_run_without_the_scores_that_are_asked_for_says_how_to_get_them(tmp_path):
    run = trained(tmp_path)
    again = run_train(*smoke(tmp_path, "metrics=classifier"))
    hint = f"it has no scores; to score it: python -m ganlab.evaluate run={run}"
    assert again.out.splitlines() == [f"finished already: {run}", hint]
    assert run_train(*smoke(tmp_path)).out.splitlines() == [f"finished already: {run}"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "options"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, ["ema=null", "d_steps=2"]),
        (signal.SIGUSR1, ["trainer.precision=64-true"]),
    ],
    ids=["SIGINT", "SIGTERM", "SIGUSR1"],
)
def test_an_interrupted_run_goes_on_as_if_nothing_had_been(tmp_path, monkeypatch, number, options):
    """All that is saved is that of an undisturbed run; no reading is lost, doubled or other."""
    words = [*SIX, "sample_every=2", "checkpoint_every=100", "log_every=2", *options]
    whole = trained(tmp_path / "whole", *words)
    with signalled(monkeypatch, number, 3):
        outcome = run_train(*smoke(tmp_path / "parts", *words))
    assert (outcome.code, outcome.err) == (130, "")
    assert "to go on: python -m ganlab.train trainer=smoke" in outcome.out
    (run,) = runs_in(tmp_path / "parts")
    assert (summary(run)["status"], summary(run)["iterations"]) == ("interrupted", 3)
    assert Run(run).last_checkpoint().name == "iteration-0000003.ckpt"
    half = last(run)

    assert trained(tmp_path / "parts", *words) == run
    assert summary(run)["status"] == "finished"
    assert [int(row["iterations"]) for row in rows(run)] == [2, 4, 6]
    assert readings(run) == readings(whole)
    assert differing(last(run), last(whole)) == []
    assert len(differing(half, last(whole))) > 20, "the comparison would pass on anything"


@pytest.mark.long
@pytest.mark.parametrize("iterations", [0, 1])
def test_a_run_that_lightning_stops_early_is_not_finished(tmp_path, monkeypatch, iterations):
    with monkeypatch.context() as patch:
        stop_after(iterations, patch)
        outcome = run_train(*smoke(tmp_path))
    assert (outcome.code, outcome.err) == (130, "")
    (run,) = runs_in(tmp_path)
    assert (summary(run)["status"], summary(run)["iterations"]) == ("interrupted", iterations)
    saved = [f"iteration-{iterations:07d}.ckpt"]
    assert [file.name for file in (run / "checkpoints").iterdir()] == saved
    assert trained(tmp_path) == run
    assert (summary(run)["status"], summary(run)["iterations"]) == ("finished", 3)


@pytest.mark.parametrize("ending", ["the last iteration", "a signal", "an exception"])
def test_after_a_run_signals_are_handled_as_before(tmp_path, monkeypatch, lenient, ending):
    def failing(gan, minibatch):
        raise RuntimeError("a bug")

    checkpoints = Checkpoints(tmp_path, every=100)
    gan = small_gan(iterations=3)
    with contextlib.ExitStack() as stack:
        if ending == "a signal":
            stack.enter_context(signalled(monkeypatch, signal.SIGTERM, 2))
        if ending == "an exception":
            monkeypatch.setattr(GAN, "g_step", failing)
            stack.enter_context(pytest.raises(RuntimeError, match="a bug"))
        fit(gan, callbacks=[checkpoints, Interruption(checkpoints)])
    assert {number: signal.getsignal(number) for number in lenient} == lenient
    assert gan.iterations == {"the last iteration": 3, "a signal": 2, "an exception": 0}[ending]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR2], ids=lambda n: n.name)
def test_a_signal_is_passed_on_when_everything_is_written_down(
    tmp_path, monkeypatch, lenient, number
):
    """As submitit wants it: its handler requeues the job and exits."""
    seen = []

    def requeue(received, frame):
        (run,) = runs_in(tmp_path)
        status = summary(run)["status"]
        seen.append((received, status, Run(run).last_checkpoint().name, Run(run).locked()))
        sys.exit(7)

    signal.signal(number, requeue)
    with signalled(monkeypatch, number, 2):
        outcome = run_train(*smoke(tmp_path))
    assert outcome.code == 7
    assert seen == [(number, "interrupted", "iteration-0000002.ckpt", False)]


def test_the_command_that_requeues_outlives_the_end_of_its_job(tmp_path, monkeypatch, lenient):
    """Slurm ends all processes of a job that it requeues, before that command has its answer."""
    codes = []

    def requeue(*_):
        asks = ["sh", "-c", "kill -TERM $$"]
        codes.append(subprocess.run(asks, check=False).returncode)

    signal.signal(signal.SIGUSR2, requeue)
    with signalled(monkeypatch, signal.SIGUSR2, 2):
        run_train(*smoke(tmp_path))
    assert codes == [0]


@pytest.mark.long
def test_without_a_signal_or_a_handler_nothing_is_passed_on(tmp_path, monkeypatch, lenient):
    called = []
    signal.signal(signal.SIGUSR2, lambda *_: called.append(1))
    for number, nobody in [
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGUSR1, signal.SIG_DFL),
    ]:
        signal.signal(number, nobody)
        with signalled(monkeypatch, number, 2):
            assert run_train(*smoke(tmp_path / number.name)).code == 130
    assert called == []


def test_a_second_signal_is_not_ours(tmp_path, monkeypatch, lenient):
    def act():
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGUSR1)

    def forcefully(*_):
        raise SystemExit(9)

    signal.signal(signal.SIGUSR1, forcefully)
    with before_g_step(monkeypatch, 2, act):
        assert run_train(*smoke(tmp_path)).code == 9
    (run,) = runs_in(tmp_path)
    assert (summary(run)["status"], summary(run)["error"]) == ("failed", "9")


@pytest.mark.parametrize("told", [False, True])
def test_in_a_slurm_job_lightning_requeues_only_if_it_is_told_to(monkeypatch, told):
    slurm = {"NTASKS": "1", "JOB_NAME": "train", "JOB_ID": "7", "PROCID": "0", "LOCALID": "0"}
    for name, value in {**slurm, "NODEID": "0", "NTASKS_PER_NODE": "1"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)

    def requeues(trainer: Trainer) -> bool:
        return trainer._accelerator_connector.cluster_environment.auto_requeue

    config = completed("trainer=smoke", "logger=csv")
    config["trainer"]["plugins"] = [SLURMEnvironment(auto_requeue=True)] if told else None
    assert requeues(Trainer(accelerator="cpu", devices=1, logger=False)), "by itself"
    assert requeues(Experiment(**config).trainer_with([], [])) is told


# What goes on -----------------------------------------------------------------------------------

NO_NORM = "model.discriminator.norm=none"
STATES = {  # what has a memory beside weights and optimizers
    "lazy penalties": ["d_steps=2", "regularizer=[r1]", "regularizer.r1.every=3", NO_NORM],
    "moving anchors": ["regularizer=[lecam]"],
    "equilibrium": ["model=autoencoder", "loss=began"],
    "singular vectors": ["model=sndcgan", "loss=hinge"],
    "progress": ["augment=instance_noise", "schedule@g_schedule=linear"],
    "random augmentation": ["augment=diffaugment", "schedule@d_schedule=cosine"],
    "random points": ["loss=wasserstein", "regularizer=[gradient_penalty]", NO_NORM],
    "codes": ["conditioning=infogan", "g_accumulate=2"],
    "directions": ["optim@g_optimizer=optimistic_adam", "optim@d_optimizer=optimistic_sgd"],
    "looking ahead": [
        *("optim@g_optimizer=extra_adam", "optim@d_optimizer=extra_sgd"),
        *("d_optimizer.momentum=0.5", "schedule@g_schedule=linear", "d_steps=2"),
    ],
    "clipping": ["regularizer=[weight_clip]", "optim@d_optimizer=rmsprop", "d_clip=0.1"],
}


def ends(tmp_path, monkeypatch, make=small_gan, callbacks=list, plugins=list) -> tuple[dict, dict]:
    """The last checkpoints of two runs, of which the first was stopped after half."""
    found = []
    for name, stopped in (("parts", True), ("whole", False)):
        folder = tmp_path / name
        folder.mkdir()
        for _ in range(2 if stopped else 1):
            gan, saved = make(), Checkpoints(folder, every=100)
            ckpt = next(reversed(checkpoint.listed(folder)), None)
            stop = gan.total_iterations // 2 if stopped and ckpt is None else -1
            with signalled(monkeypatch, signal.SIGTERM, stop):
                stops = [*callbacks(), saved, Interruption(saved)]
                fit(gan, 8, callbacks=stops, plugins=plugins(), ckpt_path=ckpt)
        files = checkpoint.listed(folder)
        assert len(files) == 1 + stopped
        found.append(checkpoint.read(files[-1]))
    return found[0], found[1]


def composed_gan(words):
    """What makes the GAN of a command line, for nine iterations."""
    config = completed("trainer=smoke", "logger=csv", "iterations=9", *words)
    return Experiment(**config).build


@pytest.mark.long
@pytest.mark.parametrize("words", STATES.values(), ids=STATES)
def test_every_kind_of_state_goes_on(tmp_path, monkeypatch, words):
    """Stopped after 4 of 9 iterations: no multiple of anything that has a period."""
    parts, whole = ends(tmp_path, monkeypatch, composed_gan(words))
    assert (parts["iterations"], whole["iterations"]) == (9, 9)
    assert differing(parts, whole) == []


def forgets_d_updates(monkeypatch):
    load = GAN.on_load_checkpoint

    def forgetful(gan, saved):
        load(gan, saved)
        gan.updates["d"] = 0

    monkeypatch.setattr(GAN, "on_load_checkpoint", forgetful)


def forgets_optimizers(monkeypatch):
    connector = "pytorch_lightning.trainer.connectors.checkpoint_connector._CheckpointConnector"
    monkeypatch.setattr(f"{connector}.restore_optimizers", lambda _: None)


def forgets_readings(monkeypatch):
    monkeypatch.setattr(Observations, "load_state", lambda *_: None)


@pytest.mark.parametrize(
    ("forgets", "where"),
    [
        (forgets_d_updates, "/state_dict/discriminator"),
        (forgets_optimizers, "/optimizer_states"),
        (forgets_readings, "/observations"),
    ],
)
def test_the_comparison_sees_what_is_forgotten(tmp_path, monkeypatch, forgets, where):
    forgets(monkeypatch)
    parts, whole = ends(tmp_path, monkeypatch, composed_gan(STATES["lazy penalties"]))
    assert [name for name in differing(parts, whole) if name.startswith(where)]


def test_the_scale_of_gradients_in_half_precision_goes_on(tmp_path, monkeypatch):
    def plugins():
        scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=3)
        return [MixedPrecision("16-mixed", "cpu", scaler=scaler)]

    parts, whole = ends(tmp_path, monkeypatch, plugins=plugins)
    assert differing(parts, whole) == []
    scaler = whole["MixedPrecision"]
    assert (scaler["scale"], scaler["_growth_tracker"]) == (32.0, 2), "two updates an iteration"


def test_the_best_score_and_the_patience_go_on(tmp_path, monkeypatch):
    def callbacks():
        return [scores(tmp_path)]

    parts, whole = ends(tmp_path, monkeypatch, lambda: small_gan(iterations=6), callbacks)
    assert differing(parts, whole) == []
    assert whole["callbacks"]["Scores"].keys() == {"since_best", "latest", "best"}


@pytest.mark.parametrize("forgets", [False, True])
def test_a_run_whose_patience_was_at_its_end_trains_no_further(tmp_path, monkeypatch, forgets):
    """Killed after the checkpoint with which it ended."""
    monkeypatch.setattr(Scorecard, "better", lambda _, other, by: other is None)
    if forgets:
        monkeypatch.delattr(Scores, "on_train_start")
    ended = []
    for ckpt in (None, tmp_path / "iteration-0000004.ckpt"):
        scored = scores(tmp_path)
        scored.plan = ByClassifier(every=2, patience=1)
        gan = small_gan(iterations=9)
        fit(gan, callbacks=[scored, Checkpoints(tmp_path, every=100)], ckpt_path=ckpt)
        ended.append(gan.iterations)
    assert (ended == [4, 4]) is not forgets


def test_readings_after_the_last_checkpoint_are_made_again_not_doubled(tmp_path, monkeypatch):
    """A process that dies without a word goes on at the checkpoint before."""
    words = [*SIX, "checkpoint_every=2"]

    def act():
        raise RuntimeError("the machine is gone")

    with (
        before_g_step(monkeypatch, 4, act),
        pytest.raises(RuntimeError, match="the machine is gone"),
    ):
        run_train(*smoke(tmp_path, *words))
    (run,) = runs_in(tmp_path)
    assert Run(run).last_checkpoint().name == "iteration-0000002.ckpt"
    assert [int(row["iterations"]) for row in rows(run)] == [1, 2, 3]
    assert (summary(run)["status"], summary(run)["error"]) == ("failed", "the machine is gone")
    trained(tmp_path, *words)
    assert [int(row["iterations"]) for row in rows(run)] == [1, 2, 3, 4, 5, 6]
    assert summary(run)["status"] == "finished"
    assert "error" not in summary(run)


def test_a_run_killed_after_its_last_checkpoint_only_has_to_say_so(tmp_path):
    run = trained(tmp_path)
    before = summary(run)
    (run / "samples" / "samples.gif").unlink()
    Run(run).begin()
    assert summary(run)["status"] == "running"
    assert trained(tmp_path) == run
    timed = {"seconds": 0}
    assert summary(run) | timed == before | timed
    assert (run / "samples" / "samples.gif").exists()


def test_while_a_run_works_its_summary_says_so_and_keeps_its_scores(tmp_path, monkeypatch):
    record = {"iterations": 2, "repeats": 1, "protocol": {}, "scores": {"fid": 1.0}}
    found = []

    def act():
        (run,) = runs_in(tmp_path)
        found.append((summary(run)["status"], Run(run).finished, summary(run)["scores"]))

    with signalled(monkeypatch, signal.SIGTERM, 2):
        run_train(*smoke(tmp_path))
    Run(runs_in(tmp_path)[0]).note_scores([record])
    with before_g_step(monkeypatch, 3, act):
        run = trained(tmp_path)
    assert found == [("running", False, [record])]
    assert (summary(run)["status"], summary(run)["scores"]) == ("finished", [record])


def test_metrics_kept_from_an_earlier_part_end_where_the_next_begins(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for i in (1, 2, 3):
        file.log_metrics({"iterations": i, "a": i / 2})
    again = MetricsFile(tmp_path / "metrics.csv")
    again.go_on(2)
    again.log_metrics({"iterations": 3, "a": 9.0, "b": 1.0})
    assert (tmp_path / "metrics.csv").read_text().split() == [
        "iterations,a,b",
        "1,0.5,",
        "2,1.0,",
        "3,9.0,1.0",
    ]


def test_a_last_line_of_metrics_that_was_cut_short_is_dropped(tmp_path):
    """Wherever it was cut; plain reading takes 12 of 123 for a whole number, or fails."""
    path = tmp_path / "metrics.csv"
    file = MetricsFile(path)
    for i in (122, 123):
        file.log_metrics({"iterations": i, "images_seen": i, "seconds": i, "a": 1e-5})
    whole = path.read_bytes()
    end = whole.index(b"\n123") + 1
    wrong = 0
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        MetricsFile(path).go_on(1000)
        assert [row["iterations"] for row in rows_of(path)] == (["122"] if cut >= end else [])
        path.write_bytes(whole[:cut])
        assert len(figures.read(path).get("a", ((), ()))[0]) == (cut >= end)
        with path.open(newline="") as opened, contextlib.suppress(ValueError, TypeError, KeyError):
            wrong += [int(row["iterations"]) for row in csv.DictReader(opened)] == [122, 12]
    assert wrong > 0


# Damage -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """(A run of six iterations with checkpoints at 4 and 6, its words)."""
    words = [*SIX, "checkpoint_every=2"]
    return trained(tmp_path_factory.mktemp("stopped"), *words), words


@pytest.fixture
def unfinished(stopped, tmp_path):
    """A copy of it that was killed before it could say that it had finished."""
    import shutil

    run, words = stopped
    copy = tmp_path / run.parent.name / run.name
    shutil.copytree(run, copy)
    Run(copy).begin()
    return copy, words


def cut(path: Path, share: float = 0.7) -> None:
    """Leaves the beginning of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(unfinished, stopped, tmp_path):
    run, words = unfinished
    cut(newest := Run(run).last_checkpoint())
    outcome = run_train(*smoke(tmp_path, *words))
    assert (outcome.code, outcome.err) == (0, "")
    sentence = "damaged and set aside: iteration-0000006.ckpt; the run goes on from "
    assert f"{sentence}iteration-0000004.ckpt\n" in outcome.out
    assert differing(last(run), last(stopped[0])) == []
    names = sorted(file.name for file in newest.parent.iterdir())
    assert names == [
        "iteration-0000004.ckpt",
        "iteration-0000006.ckpt",
        "iteration-0000006.ckpt.damaged",
    ]


@pytest.mark.long
def test_without_a_sound_checkpoint_a_run_starts_again_and_no_file_is_lost(
    unfinished, stopped, tmp_path
):
    run, words = unfinished
    for times in (1, 2):
        for path in checkpoint.listed(run / "checkpoints"):
            path.write_bytes(b"")
        Run(run).begin()
        outcome = run_train(*smoke(tmp_path, *words))
        assert "iteration-0000006.ckpt, iteration-0000004.ckpt; the run starts again" in outcome.out
        assert differing(last(run), last(stopped[0])) == []
        assert len(list((run / "checkpoints").glob("*.damaged*"))) == 2 * times
        assert readings(run) == readings(stopped[0])


def test_load_names_a_damaged_checkpoint_and_leaves_the_folder_alone(unfinished, capsys):
    run, _ = unfinished
    cut(Run(run).last_checkpoint())
    before = sorted(run.rglob("*"))
    assert ganlab.load(run).iterations == 4
    sentence = f"'{run}': damaged: iteration-0000006.ckpt; iteration-0000004.ckpt is used instead\n"
    assert capsys.readouterr().err == sentence
    assert sorted(run.rglob("*")) == before
    cut(run / "checkpoints" / "iteration-0000004.ckpt")
    with pytest.raises(
        ConfigError, match="no checkpoint that is sound; damaged: iteration-0000006"
    ):
        ganlab.load(run)
    outcome = run_sample(f"run={run}")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err


def test_a_damaged_best_checkpoint_is_refused(unfinished):
    run, _ = unfinished
    best = run / "checkpoints" / "best.ckpt"
    best.write_bytes(Run(run).last_checkpoint().read_bytes())
    assert ganlab.load(run, checkpoint="best").iterations == 6
    cut(best)
    with pytest.raises(ConfigError, match=r"best.ckpt' is damaged: "):
        ganlab.load(run, checkpoint="best")


# A full disk ------------------------------------------------------------------------------------


@contextlib.contextmanager
def room_for(size: int):
    """No file can grow beyond this size: for a program that is what a full disk is."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def shrink(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.parametrize("room", ["no checkpoint", "half a line"])
def test_a_full_disk_ends_in_one_sentence_and_the_run_goes_on(stopped, tmp_path, monkeypatch, room):
    """Before the second checkpoint there is only room for small files, or for nothing at all."""
    whole, words = stopped

    def act():
        (run,) = runs_in(tmp_path)
        shrink(100_000 if room == "no checkpoint" else (run / "metrics.csv").stat().st_size + 5)

    with room_for(resource.RLIM_INFINITY), before_g_step(monkeypatch, 4, act):
        outcome = run_train(*smoke(tmp_path, *words))
    (run,) = runs_in(tmp_path)
    sentence = (
        f"the disk of '{run}' is full (File too large); the last checkpoint is "
        "iteration-0000002.ckpt; to go on, make room and give the same command again"
    )
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert outcome.out.endswith(f"\ntraining stopped: {sentence}\n")
    assert list(run.rglob(".*.part")) == []
    noted = ("failed", sentence) if room == "no checkpoint" else ("running", None)
    assert (summary(run)["status"], summary(run).get("error")) == noted
    half_a_line = not (run / "metrics.csv").read_bytes().endswith(b"\n")
    assert half_a_line == (room == "half a line")

    assert trained(tmp_path, *words) == run
    assert differing(last(run), last(whole)) == []
    assert readings(run) == readings(whole)


def test_a_disk_that_is_full_from_the_start_is_refused(tmp_path):
    with room_for(10):
        outcome = run_train(*smoke(tmp_path))
    (run,) = tmp_path.glob("*/*")
    sentence = f"output_dir: cannot write to '{run}': File too large"
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.endswith(f"ganlab: 1 mistake, nothing was started\n  {sentence}\n")
    assert "Traceback" not in outcome.err
    assert not Run(run).locked()
    assert trained(tmp_path) == run


def test_a_disk_with_no_room_for_the_end_is_said_and_only_the_end_is_left(tmp_path, monkeypatch):
    """Everything is trained; summary.json cannot be written."""
    conclude = Run.conclude

    def full(run, status, *rest):
        if status == "finished":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        conclude(run, status, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "conclude", full)
        outcome = run_train(*smoke(tmp_path))
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "is full (No space left on device); the last checkpoint is iteration-0000003" in (
        outcome.out
    )
    assert summary(trained(tmp_path))["status"] == "finished"


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2000k", "tmpfs", str(disk)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_run_on_a_disk_that_is_really_full_goes_on_when_there_is_room(stopped, small_disk):
    whole, words = stopped
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * 1_200_000)
    outcome = run_train(*smoke(small_disk, *words))
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert (
        "is full (No space left on device); the last checkpoint is iteration-0000002" in outcome.out
    )
    ballast.unlink()
    assert differing(last(trained(small_disk, *words)), last(whole)) == []


# One process at a time --------------------------------------------------------------------------


def test_a_second_process_stays_out_of_a_run_and_says_who_works_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    words = smoke(tmp_path)
    config = completed(*words)
    run = Run.find(config, "digits-dcgan-nonsaturating")
    with run.working(config):
        assert run.locked()
        before = sorted(run.path.rglob("*"))
        outcome = run_train(*words)
        run.holder_file.write_bytes(b"\xff\x00")
        nameless = run_train(*words)
        assert sorted(run.path.rglob("*")) == before
    sentence = f"  another process is working in '{run.path}'"
    assert outcome.code == nameless.code == 2
    assert f"{sentence}: pid {os.getpid()} on " in outcome.err
    assert ", Slurm job 4711 since 20" in outcome.err
    assert nameless.err.endswith(f"{sentence}\n")
    assert not run.locked()
    assert not run.holder_file.exists()
    assert trained(tmp_path) == run.path, "the lock was not given back"


def test_asking_whether_a_run_is_locked_creates_nothing(tmp_path):
    assert not Run(tmp_path / "nowhere").locked()
    assert not Run(tmp_path).locked()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_process_has_just_finished_is_left_alone(stopped, tmp_path, monkeypatch):
    """It ends while this process reads the data; before, this one would train it again."""
    words = smoke(tmp_path)

    class Late(session.TrainingSession):
        def __init__(self, experiment, run, *rest):
            super().__init__(experiment, run, *rest)
            run.path.mkdir(parents=True)
            run.conclude("finished", {})

        def work(self):
            raise AssertionError("it trains")

    monkeypatch.setattr(session, "TrainingSession", Late)
    outcome = run_train(*words)
    run = tmp_path / "digits-dcgan-nonsaturating" / identity(completed(*words))
    assert outcome == (0, f"finished already: {run}\n", "")
