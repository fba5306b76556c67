"""Runs that the clock ends.  The tests have a clock of their own, which only training moves."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import speedrun
from commands import completed, rows, run_train, runs_in, smoke, summary, trained
from conftest import fit, same, small_gan
from ganlab import callbacks, load
from ganlab.callbacks import Checkpoints, Journal, Minutes, Scores
from ganlab.callbacks.progress import Progress
from ganlab.errors import ConfigError
from ganlab.experiments.session import TrainingSession
from ganlab.gan import GAN
from ganlab.generative import ENDLESS
from ganlab.lab.training import planned
from ganlab.runs.folder import Run, identity
from ganlab.schedules import Cosine, Linear
from ganlab.scoring import ByClassifier
from ganlab.storage import checkpoint
from ganlab.sweeps import charts, documents
from ganlab.sweeps.record import Job, card_of
from ganlab.sweeps.scores import Result
from ganlab.training import stopwatch
from ganlab.training.stopwatch import Stopwatch
from ganlab.training.updates import UpdateRule
from graphs import Capturing
from small import adam
from test_health import run_of
from test_resume import signalled

SIX = ("minutes=0.1", "log_every=4", "sample_every=4", "checkpoint_every=4")  # of a second each


class Time:
    """A clock: an iteration takes `each` seconds, or those of `lengths`, and nothing else any."""

    def __init__(self, each: float = 1.0, lengths: dict[int, float] | None = None) -> None:
        self.now, self.each, self.lengths = 500.0, each, lengths or {}
        self.played = 0

    def pass_by(self, iteration: int) -> None:
        self.played += 1
        self.now += self.lengths.get(iteration, self.each)


@pytest.fixture
def time(monkeypatch) -> Time:
    clock, step = Time(), GAN.g_step

    def g_step(gan, minibatch):
        step(gan, minibatch)
        clock.pass_by(gan.iterations)

    monkeypatch.setattr(GAN, "g_step", g_step)
    monkeypatch.setattr(stopwatch, "now", lambda: clock.now)
    return clock


class Rates(callbacks.base.ModelCallback):
    """What schedules made of each iteration: seconds on the clock, and G's rate."""

    def __init__(self, time: Time) -> None:
        self.time, self.seen = time, []

    def on_train_batch_end(self, trainer, gan, *_):
        took = self.time.lengths.get(gan.iterations - 1, self.time.each)
        rate = float(gan.optimizer("g").param_groups[0]["lr"])
        self.seen.append((self.time.now - took - 500.0, rate))


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def timed(minutes: float, *acting, kind=Minutes, **options) -> GAN:
    """A small GAN after so many minutes."""
    gan, clock = small_gan(ENDLESS, **options), Stopwatch(stopwatch.now())
    fit(gan, callbacks=[kind(minutes, clock), *acting])
    return gan


# The end ----------------------------------------------------------------------------------------


def test_a_run_ends_when_its_time_is_up_and_its_last_iteration_is_the_last_for_all(time, tmp_path):
    run = trained(tmp_path, *SIX)
    assert time.now == 506.0
    found = summary(run)
    assert (found["status"], found["iterations"], found["seconds"]) == ("finished", 6, 6.0)
    assert [row["iterations"] for row in rows(run)] == ["4", "6"]
    assert all(row["grad_norm/g"] for row in rows(run)), "the last was not known to be read"
    pictures = [f"iteration-000000{i}.png" for i in (0, 4, 6)]
    assert names(run / "samples") == [*pictures, "samples.gif"]
    assert names(run / "checkpoints") == [f"iteration-000000{i}.ckpt" for i in (4, 6)]


class TooLate(Minutes):
    """Looks at the clock after an iteration, when others have acted as if it were not the last."""

    def on_train_batch_start(self, trainer, model, *_):
        self.late = model.iterations

    def on_train_batch_end(self, trainer, model, *_):
        Minutes.on_train_batch_start(self, trainer, model)
        model.total_iterations = model.iterations if self.last else ENDLESS
        trainer.should_stop |= self.last is not None


def test_who_decides_after_the_iteration_decides_too_late(time, tmp_path, monkeypatch):
    """No gradient norms were taken in the last iteration, as the check above sees."""
    monkeypatch.setattr("ganlab.experiments.session.Minutes", TooLate)
    assert [bool(row["grad_norm/g"]) for row in rows(trained(tmp_path, *SIX))] == [True, False]


@pytest.mark.parametrize(
    ("seconds", "each", "n"),
    [(6.0, 1.0, 6), (6.9, 1.0, 6), (7.0, 1.0, 7), (15.0, 0.25, 60), (1.0, 8.0, 2)],
)
def test_a_run_has_as_many_iterations_as_fit(time, seconds, each, n):
    """How long they take is known after the first one."""
    time.each = each
    gan = timed(seconds / 60)
    assert (gan.iterations, gan.total_iterations) == (n, n)


def test_a_slow_iteration_is_taken_for_a_sign_that_the_next_is_slow_too(time):
    time.lengths = {2: 1.75}
    assert timed(0.1).iterations == 4
    assert time.now == 504.75


def test_the_clock_begins_with_the_command_and_scoring_stops_it(time, tmp_path):
    class Slow:
        def __call__(self, gan, seed=None):
            time.now += 1000.0
            return SimpleNamespace(better=lambda *_: False, named=dict, as_dict=dict)

    journal = Journal(1, stopwatch=(clock := Stopwatch(stopwatch.now())))
    scored = Scores(ByClassifier(every=2), journal, Checkpoints(tmp_path, 1000))
    scored.scorer = Slow()
    time.now += 3.0  # data is read
    gan = small_gan(ENDLESS)
    fit(gan, callbacks=[Minutes(0.1, clock), journal, scored])
    assert (gan.iterations, time.now, journal.seconds) == (3, 2506.0, 6.0)


def test_a_gpu_is_never_more_than_one_iteration_behind(time, monkeypatch):
    """Its events are waited for where the next iteration begins."""
    happened = []

    class Event:
        def record(self):
            self.n = len(happened)
            happened.append(f"record {self.n}")

        def synchronize(self):
            happened.append(f"wait for {self.n}")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    gpu = SimpleNamespace(root_device=torch.device("cuda"))
    trainer, model = SimpleNamespace(strategy=gpu, world_size=1), small_gan(ENDLESS)
    minutes, ends = Minutes(0.1, Stopwatch(stopwatch.now())), []
    for _ in range(5):
        minutes.on_train_batch_start(trainer, model)
        ends.append(model.total_iterations)
        model.iterations += 1
        time.now += 1.0
    assert happened[:5] == ["record 0", "wait for 0", "record 2", "wait for 2", "record 4"]
    assert ends == [*[ENDLESS] * 4, 5], "one more than on the CPU may still be under way"


# Schedules --------------------------------------------------------------------------------------


def test_schedules_go_by_the_clock(time):
    """Not by iterations: these take longer and longer."""
    time.lengths = {i: 0.25 * (i + 1) for i in range(20)}
    rates = Rates(time)
    gan = timed(0.25, rates, g_rule=UpdateRule(adam(), Linear(start=0.2)))
    expected = [2e-4 * min(1.0, (1 - s / 15) / 0.8) for s, _ in rates.seen]
    assert [rate for _, rate in rates.seen] == pytest.approx(expected)
    n = gan.total_iterations
    by_count = [2e-4 * min(1.0, (1 - i / n) / 0.8) for i in range(n)]
    assert [rate for _, rate in rates.seen] != pytest.approx(by_count, rel=0.05)


def test_schedules_by_images_stay_by_images(time):
    time.lengths = {1: 3.0}
    rates = Rates(time)
    timed(0.2, rates, g_rule=UpdateRule(adam(), Linear(images=64)))
    assert [rate for _, rate in rates.seen[:5]] == pytest.approx(
        [2e-4 * (1 - i / 4) for i in range(5)]
    )


def test_an_iteration_that_is_replayed_follows_the_clock(time, monkeypatch):
    """The weights are those of an eager run, whose rate and average depend on the time."""
    options = {"g_rule": UpdateRule(adam(0.01), Cosine()), "ema": Linear(value=0.9, end=0.5)}
    lengths = {i: 0.25 * (i + 1) for i in range(20)}

    class Passing(callbacks.base.ModelCallback):
        def on_train_batch_end(self, trainer, gan, *_):
            time.now += lengths[gan.iterations - 1]

    monkeypatch.setattr(time, "pass_by", lambda _: None)
    ends = []
    for acting in ([], [Capturing()]):
        time.now = 500.0
        gan = timed(0.25, *acting, Passing(), **options)
        ends.append((gan.iterations, gan.state_dict()))
        assert not acting or acting[0].refused == []
    (n, eager), (m, replayed) = ends
    assert n == m > 5
    for name, tensor in eager.items():
        torch.testing.assert_close(tensor, replayed[name], msg=name)
    time.now = 500.0
    kept = timed(0.25, Passing(), **{**options, "g_rule": UpdateRule(adam(0.01))}).state_dict()
    assert not same(kept, eager)


# More than one session --------------------------------------------------------------------------


@pytest.mark.long
def test_an_interrupted_run_goes_on_with_the_rest_of_its_minutes(time, tmp_path, monkeypatch):
    with signalled(monkeypatch, signal.SIGINT, 3):
        run_train(*smoke(tmp_path, *SIX))
    (run,) = runs_in(tmp_path)
    assert (summary(run)["status"], time.played) == ("interrupted", 3)
    time.now += 10_000.0  # nobody trains
    session = TrainingSession.__init__

    def slowly(self, *given):
        session(self, *given)
        time.now += 1.5  # the data is read again: that counts

    monkeypatch.setattr(TrainingSession, "__init__", slowly)
    run_train(*smoke(tmp_path, *SIX))
    found = summary(run)
    assert (found["status"], found["iterations"], found["seconds"]) == ("finished", 4, 5.5)
    assert time.played == 4
    assert "finished already" in run_train(*smoke(tmp_path, *SIX)).out
    assert time.played == 4


def test_a_run_that_was_killed_after_its_last_checkpoint_trains_no_more(
    time, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:

        def gone(self):
            raise KeyboardInterrupt

        patch.setattr(TrainingSession, "_end", gone)
        assert run_train(*smoke(tmp_path, *SIX)).code != 0
    (run,) = runs_in(tmp_path)
    assert summary(run)["status"] != "finished"
    assert run_train(*smoke(tmp_path, *SIX)).code == 0
    assert (summary(run)["status"], summary(run)["iterations"]) == ("finished", 6)
    assert time.played == 6


def test_going_back_to_a_healthy_checkpoint_gives_no_time_back(time, tmp_path):
    """The first attempt takes 14 of the 30 seconds; the second recovers in the rest."""
    run = run_of(tmp_path, "rollback", minutes=0.5, d_optimizer__lr=0.02)
    assert (run.finished, summary(run.path)["health"] != []) == (True, True)
    assert (time.played, time.now) == (30, 530.0)
    assert summary(run.path)["iterations"] < 30
    assert summary(run.path)["seconds"] == 30.0


@pytest.mark.long
def test_a_run_that_starts_from_another_has_its_own_minutes(time, tmp_path):
    first = trained(tmp_path / "a", *SIX)
    words = ("g_schedule._target_=ganlab.schedules.Linear", f"start.run={first}")
    second = trained(tmp_path / "b", *SIX, *words)
    assert summary(second)["iterations"] == 12
    counted = trained(tmp_path / "c", "iterations=16", *words)
    saved = checkpoint.read(counted / "checkpoints" / "iteration-0000015.ckpt")
    assert saved["progress"] is None, "it would go by the other's clock"


def test_a_saved_model_knows_how_far_its_run_was(time, tmp_path):
    run = trained(tmp_path, *SIX)
    assert load(run).clock.progress == pytest.approx(5 / 6)
    assert load(run, "4").clock.progress == pytest.approx(3 / 6)


# What is said -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["0", "-1", "inf", "nan"])
def test_minutes_out_of_range_are_refused(value):
    outcome = run_train(f"minutes={value}")
    assert outcome.code == 2
    assert outcome.err.splitlines()[1:] == [
        f"  minutes must be a number greater than 0, got {value}"
    ]


def test_a_command_says_minutes_or_iterations(time, tmp_path):
    outcome = run_train(*smoke(tmp_path, "minutes=1", "iterations=5"))
    assert outcome.code == 2
    said = "minutes: the clock would end the run, and 'iterations=5' would decide nothing"
    assert outcome.err.splitlines()[1:] == [f"  {said}; set one of the two"]
    config = completed("experiment=sngan", "minutes=1")  # a recipe's iterations give way
    assert (config["minutes"], config["iterations"]) == (1, 100_000)
    assert run_train(*smoke(tmp_path, "iterations=1", "minutes=null")).code == 0


def test_the_laboratory_counts_iterations():
    with pytest.raises(ConfigError, match="minutes: a laboratory counts iterations"):
        planned(["minutes=1"])


def test_minutes_decide_results_and_iterations_then_do_not():
    by_count, by_clock = completed(), completed("minutes=1")
    before = {key: value for key, value in by_count.items() if key != "minutes"}
    assert identity(before) == identity(by_count), "runs of earlier versions are found again"
    assert identity(by_clock) not in (identity(by_count), identity(completed("minutes=2")))
    assert identity({**by_clock, "iterations": 7}) == identity(by_clock)
    assert completed("minutes=1", "trainer=smoke")["minutes"] == 1
    assert completed("experiment=speedrun", "trainer=smoke")["minutes"] is None


def test_the_line_of_progress_says_what_is_left(time, capsys, monkeypatch):
    monkeypatch.setattr("ganlab.callbacks.progress.time.monotonic", lambda: 10 * time.now)
    clock = Stopwatch(stopwatch.now())
    timed(0.1, journal := Journal(50, stopwatch=clock), Progress(journal, limit=6.0))
    assert capsys.readouterr().out.splitlines()[0] == "iteration 2, 4 s left"


# Scores over minutes ----------------------------------------------------------------------------


def result(run: Path, by: str = "frechet") -> Result:
    found = Run(run)
    return Result(Job(found), {"seed": found.config()["seed"]}, card_of(found, by, "last"))


@pytest.mark.long
def test_scores_are_drawn_over_minutes_if_the_clock_ends_all_runs(time, tmp_path):
    scored = ("metrics=classifier", "metrics.every=2", "metrics.n=20")
    run = trained(tmp_path / "clock", *SIX, *scored)
    assert "frechet" in summary(run)["best"]["score"]
    axes = charts.sweep([result(run)], "frechet").axes[0]
    assert axes.get_xlabel() == "minutes"
    assert list(axes.lines[0].get_xdata() * 60) == pytest.approx([2, 4, 6])
    assert documents.length(Run(run)) is None
    counted = trained(tmp_path / "count", *scored)
    assert documents.length(Run(counted)) == 3
    mixed = charts.sweep([result(run), result(counted)], "frechet").axes[0]
    assert mixed.get_xlabel() == "iterations"


@pytest.mark.long
def test_the_speedrun_prints_a_row_of_its_table(tmp_path, monkeypatch, capsys):
    narrow = [word for word in smoke(tmp_path, "metrics.n=20") if not word.startswith("output_dir")]
    words = ["experiment=speedrun_digits", "seeds=0,1", f"output_dir={tmp_path}", *narrow]
    monkeypatch.setattr("sys.argv", ["speedrun.py", *words])
    monkeypatch.setattr(speedrun, "started", lambda words: run_train(*words).out)
    speedrun.main()
    heads, _, cells = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in capsys.readouterr().out.splitlines()
    )
    assert tuple(heads) == speedrun.HEADS
    found = dict(zip(heads, cells, strict=True))
    assert (found["images"], found["seeds"]) == ("24", "0, 1")
    assert found["score"] == "frechet/classifier-digits/20"
    assert "±" in found["value"]
