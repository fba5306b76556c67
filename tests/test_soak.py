"""Training that is stopped at random moments, again and again, ends as if it never had been.

GANLAB_SOAK says how often in all, GANLAB_SOAK_SEED when: a test that fails prints it.
"""

import functools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from commands import rows, run_train, summary
from conftest import TIMED, differing
from ganlab.runs.folder import Run
from ganlab.storage import checkpoint
from processes import training, wait_for

pytestmark = pytest.mark.long

STOPS = int(os.environ.get("GANLAB_SOAK", "12"))
SEED = int(os.environ.get("GANLAB_SOAK_SEED", random.SystemRandom().randrange(10**6)))
SPAN = 16  # iterations from where a process starts to where it is stopped, at most
EVERY = 4  # iterations between two checkpoints, so that a stop often hits one being written
NARROW = [f"model.{player}.width=8" for player in ("generator", "discriminator")]
VARIANTS = {
    "batchnorm": [
        *(*NARROW, "regularizer=[lecam]", "augment=diffaugment", "schedule@g_schedule=linear"),
    ],
    "dropout": [
        *("model=vanilla", "loss=wasserstein", "regularizer=[gradient_penalty]", "ema=null"),
        *("regularizer.gradient_penalty.every=3", "augment=instance_noise", "g_clip=1.0"),
        *("optim@d_optimizer=rmsprop", "schedule@d_schedule=cosine"),
        *("model.generator.hidden=[32,64]", "model.discriminator.hidden=[64,32]"),
    ],
}
KILLS = -(-STOPS // len(VARIANTS))
LENGTH = SPAN * (KILLS + 2)


class Soak:
    """A run in a folder of its own, started and stopped in processes of its own."""

    def __init__(self, folder: Path, variant: str) -> None:
        folder.mkdir()
        self.folder, self.log = folder, folder / "log.txt"
        self.rng = random.Random(SEED)
        self.words = [
            *("trainer=smoke", "logger=csv", f"output_dir={folder}", "batch_size=8", "d_steps=2"),
            *(f"iterations={LENGTH}", f"sample_every={LENGTH}", f"checkpoint_every={EVERY}"),
            *VARIANTS[variant],
        ]
        self.stops: list[tuple[int, int]] = []  # where each started, and where it was stopped

    @property
    def run(self) -> Run:
        return Run(next(self.folder.glob("*/*"), self.folder / "not yet"))

    def stop(self, number: signal.Signals, after: int = 0) -> int:
        """Starts a process and stops it at a random moment; returns its exit code.

        Args:
            after: iterations that it does at least.
        """
        start, began = self.saved(), time.time_ns()
        aim = min(start + self.rng.randrange(after + 1, SPAN), LENGTH - SPAN)
        with training(self.words, self.log) as process:
            assert wait_for(process, lambda: self.read(since=began) >= aim), self.told()
            time.sleep(0.03 * self.rng.random())
            assert self.run.locked()
            os.kill(process.pid, number)
            process.join()
        assert not self.run.locked()
        self.stops.append((start, self.read()))
        return process.exitcode

    def stop_early(self, number: signal.Signals) -> None:
        """Starts a process and stops it while it gets ready, or in its first iterations."""
        with training(self.words, self.log) as process:
            time.sleep(self.rng.random())
            os.kill(process.pid, number)
            process.join()

    def stop_writing(self) -> None:
        """Starts a process that is killed when it has written a file, renamed or not yet."""
        start, flushes = self.saved(), self.rng.randrange(4, 4 * SPAN // EVERY)
        with training(self.words, self.log, flushes) as process:
            process.join(120)
        assert process.exitcode == -signal.SIGKILL, self.told()
        self.stops.append((start, self.read()))

    def saved(self) -> int:
        """The iteration of the newest checkpoint; 0: there is none."""
        files = checkpoint.listed(self.run.checkpoints)
        return int(files[-1].stem.partition("-")[2]) if files else 0

    def read(self, since: int = 0) -> int:
        """The last iteration in metrics.csv, if that was written since then."""
        file = self.run.path / "metrics.csv"
        if not file.exists() or file.stat().st_mtime_ns < since:
            return 0
        lines = file.read_text().splitlines(keepends=True)
        whole = [line for line in lines[1:] if line.endswith("\n")]
        return int(whole[-1].partition(",")[0]) if whole else 0

    def finish(self) -> None:
        """Lets the run come to its end."""
        with training(self.words, self.log) as process:
            process.join(120)
        assert (process.exitcode, summary(self.run.path)["status"]) == (0, "finished"), self.told()
        assert list(self.folder.rglob("*.part")) == []

    def told(self) -> str:
        """For whoever looks into a failure."""
        return f"GANLAB_SOAK_SEED={SEED}; stops {self.stops}\n{self.log.read_text()[-3000:]}"

    def differences(self, other: "Soak") -> list[str]:
        """Where the ends of two runs differ: in the last checkpoint, or in a reading."""
        mine, theirs = (checkpoint.read(soak.run.last_checkpoint()) for soak in (self, other))
        return differing(mine, theirs) + differing(self.readings(), other.readings(), "readings")

    def readings(self) -> list[dict[str, str]]:
        return [{k: v for k, v in row.items() if k not in TIMED} for row in rows(self.run.path)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The run of a variant that is never stopped, made when first asked for."""

    @functools.cache
    def undisturbed(variant: str) -> Soak:
        soak = Soak(tmp_path_factory.mktemp("whole") / "run", variant)
        soak.finish()
        return soak

    return undisturbed


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_run_killed_again_and_again_ends_as_one_that_never_was(tmp_path, whole, variant):
    soak = Soak(tmp_path / "run", variant)
    for _ in range(KILLS):
        assert soak.stop(signal.SIGKILL) == -signal.SIGKILL, soak.told()
        assert summary(soak.run.path)["status"] == "running"
    soak.stop_early(signal.SIGKILL)
    soak.finish()
    starts, ends = zip(*soak.stops, strict=True)
    assert len(set(ends)) > 1, soak.told()
    assert sum(start > 0 for start in starts) >= KILLS // 2, "they started from the beginning"
    assert soak.differences(whole(variant)) == [], soak.told()


def test_a_run_killed_while_it_writes_ends_as_one_that_never_was(tmp_path, whole):
    soak = Soak(tmp_path / "run", "batchnorm")
    for _ in range(KILLS // 2):
        soak.stop_writing()
    soak.finish()
    assert soak.differences(whole("batchnorm")) == [], soak.told()


def test_a_run_stopped_by_signals_ends_as_one_that_never_was(tmp_path, whole):
    """In whichever state they find it; unlike a kill they lose no iteration."""
    soak = Soak(tmp_path / "run", "batchnorm")
    for number in (signal.SIGTERM, signal.SIGUSR1):
        assert soak.stop(number) == 130, soak.told()
        assert summary(soak.run.path)["status"] == "interrupted"
        assert soak.saved() == soak.read() == summary(soak.run.path)["iterations"]
    soak.stop_early(signal.SIGTERM)
    soak.finish()
    assert soak.differences(whole("batchnorm")) == [], soak.told()


def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path, whole):
    """Cut short anywhere, or with any bit flipped, which may be one that says nothing."""
    soak = Soak(tmp_path / "run", "batchnorm")
    for damage in (cut, flip):
        soak.stop(signal.SIGKILL, after=2 * EVERY)
        newest = damage(soak.run.last_checkpoint(), soak.rng)
        soak.stop(signal.SIGKILL)
        named = f"damaged and set aside: {newest.name}; the run " in soak.log.read_text()
        assert named or damage is flip, soak.told()
        assert newest.with_name(f"{newest.name}.damaged").exists() == named, soak.told()
    soak.finish()
    assert soak.differences(whole("batchnorm")) == [], soak.told()


def cut(path: Path, rng: random.Random) -> Path:
    os.truncate(path, rng.randrange(path.stat().st_size))
    return path


def flip(path: Path, rng: random.Random) -> Path:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return path


def test_who_comes_while_a_process_works_is_told_which_and_after_a_kill_gets_in(tmp_path):
    soak = Soak(tmp_path / "run", "batchnorm")
    with training(soak.words, soak.log) as process:
        assert wait_for(process, lambda: soak.read() > 0), soak.told()
        os.kill(process.pid, signal.SIGSTOP)  # it holds the lock and comes to no end
        outcome = run_train(*soak.words)
        assert outcome.code == 2, outcome
        assert f"is working in '{soak.run.path}': pid {process.pid} on " in outcome.err
        process.kill()
        process.join()
    assert soak.run.holder_file.exists(), "it had no time to clear away"
    assert (run_train(*soak.words).code, soak.run.holder_file.exists()) == (0, False)
