"""Sweeps on a real Slurm: whatever happens to a job, its run ends with a local one's weights."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from commands import rows, run_train, runs_in, smoke, summary, trained
from conftest import ROOT, same
from ganlab.runs.folder import Run
from slurm_cluster import SlurmCluster, missing_programs, until

pytestmark = pytest.mark.long

SLURM = ["-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]
SIX = ["loss._target_=held.Held", "iterations=6", "sample_every=6", "checkpoint_every=100"]
LIMIT = ["hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s=1", "logger=wandb"]
FOUR = ["seed=0,1", "loss=nonsaturating,hinge"]
EXPLODING = [
    "hydra.launcher.gpus_per_node=1",
    *("loss=least_squares", "optim@g_optimizer=sgd", "optim@d_optimizer=sgd", "iterations=20"),
    *("g_optimizer.lr=1.0", "d_optimizer.lr=1,1e-3"),
]
# BatchNorm would normalise each process's share by itself; in float64 sums commute to 1e-12.
EXACT = [
    *("trainer.precision=64-true", "model.generator.norm=layer", "model.discriminator.norm=layer"),
]
NODES = [
    *("hydra.launcher.nodes=2", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=1"),
    *("batch_size=8", "log_every=1"),  # as trainer=smoke has them
]
LOOPBACK = {"MASTER_ADDR": "127.0.0.1", "GLOO_SOCKET_IFNAME": "lo"}  # all nodes are one machine
HERE = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]),
}


class Outputs:
    """The output_dir of jobs, with one run for each seed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, seed: int = 0) -> Run | None:
        """The run of a seed, as soon as there is one."""
        runs = [Run(path) for path in runs_in(self.folder)]
        return next((run for run in runs if run.config()["seed"] == seed), None)

    def held(self, seed: int = 0) -> bool:
        """Whether a run has come to where it is held (see held.py)."""
        run = self.run(seed)
        return run is not None and (run.path / "metrics.csv").exists() and len(rows(run.path)) == 2

    def jobs(self) -> list[str]:
        """Ids of all jobs so far, in order of submission: each has a folder."""
        files = self.folder.glob("sweeps/*/slurm/*/*_submitted.pkl")
        names = (file.parent.name for file in files)
        return sorted(names, key=lambda name: [*map(int, name.split("_"))])


class Command(Outputs):
    """`python -m ganlab.train -m hydra/launcher=slurm WORDS` in the background.

    Args:
        folder: output_dir; what the command says goes into a file beside it.
        words: of the command line.
        environment: of the command; its jobs inherit it.
    """

    def __init__(self, folder: Path, words: list[str], environment: dict[str, str]) -> None:
        super().__init__(folder)
        self.file = folder.with_suffix(".txt")
        with self.file.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ganlab.train", *SLURM, *smoke(folder, *words)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )

    def end(self) -> tuple[int, str]:
        """Its exit code and what it said, once it has ended."""
        return self.process.wait(timeout=300), self.file.read_text()

    def log(self, job: str) -> str:
        """What a job has printed."""
        (file,) = self.folder.glob(f"sweeps/*/slurm/{job}/*_log.out")
        return file.read_text()


class Scene:
    """What waits is started together, so that jobs of one command use the waits of others."""

    def __init__(self, cluster: SlurmCluster, folder: Path) -> None:
        self.cluster, self.folder, self.commands = cluster, folder, list[Command]()
        cluster.environment.update(HERE)
        self.limited = self.start("limited", *SIX, *LIMIT, HELD="1")
        self.spread = self.start("spread", *SIX, *EXACT, *NODES, HELD="1", **LOOPBACK)
        self.moved = self.start("moved", *SIX, "seed=0,1,2", HELD="1")
        self.plain = Outputs(folder / "plain")
        self.plain_job = self._submit_script(*smoke(self.plain.folder, *SIX))

    def start(self, name: str, *words: str, **environment: str) -> Command:
        """Runs a command in the background."""
        environment = self.cluster.environment | environment
        self.commands.append(Command(self.folder / name, [*words], environment))
        return self.commands[-1]

    def _submit_script(self, *words: str) -> str:
        """The script of docs/slurm.md, as it stands there."""
        page = (ROOT / "docs" / "slurm.md").read_text()
        file = self.folder / "train.sh"
        file.write_text(re.search(r"```bash\n(#!/bin/bash\n.*?)```", page, re.DOTALL)[1])
        where = f"--output={self.folder / 'plain.txt'}"
        said = self.cluster.ask("sbatch", "--parsable", where, str(file), *words, HELD="1")
        return said.strip()

    def restarts(self, job: str) -> int:
        """How often Slurm has started a job again."""
        shown = self.cluster.ask("scontrol", "show", "job", job)
        return int(re.search(r"Restarts=(\d+)", shown)[1])

    def local(self, name: str, *words: str) -> dict[str, torch.Tensor]:
        """Final weights of a run in this process that nothing has disturbed."""
        return final(Run(trained(self.folder / f"{name}-local", *words)))

    def requeued(self, outputs: Outputs, job: str, seed: int = 0) -> dict[str, torch.Tensor]:
        """Final weights of a run that was stopped in its third iteration and went on there."""
        run = outputs.run(seed)
        until(lambda: run.finished, f"the end of {job}")
        assert self.restarts(job) == 1
        assert [int(row["iterations"]) for row in rows(run.path)] == [1, 2, 3, 4, 5, 6]
        saved = sorted(file.name for file in run.checkpoints.iterdir())
        assert saved == ["iteration-0000003.ckpt", "iteration-0000006.ckpt"]
        return final(run)


def final(run: Run) -> dict[str, torch.Tensor]:
    """A run's last weights, in the precision in which they were trained."""
    return torch.load(run.last_checkpoint(), weights_only=True)["state_dict"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> Iterator[Scene]:
    if missing := missing_programs():
        pytest.skip(missing)
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "cluster").mkdir()
    with SlurmCluster(folder / "cluster", nodes=3, cpus=3) as cluster:
        made = Scene(cluster, folder)
        yield made
        for command in made.commands:
            command.process.kill()
            command.process.wait()


def test_a_run_on_two_nodes_is_preempted_and_ends_as_one_process_would(scene):
    command = scene.spread
    until(command.held, "the third iteration on two nodes")
    (job,) = command.jobs()
    scene.cluster.ask("scancel", "--signal=USR2", job)
    found = scene.requeued(command, job)
    for name, tensor in scene.local("spread", *SIX, *EXACT).items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-9, atol=1e-11, msg=name)
    code, said = command.end()
    assert code == 0, said
    assert command.run().config()["trainer"]["num_nodes"] == 2


@pytest.fixture(scope="module")
def disturbed(scene) -> list[str]:
    """The jobs of three seeds, caught in the middle: preempted, requeued by hand, cancelled."""
    command, seeds = scene.moved, range(3)
    until(lambda: all(map(command.held, seeds)), "the third iterations of three seeds")
    # Not before: while a job of an array waits, scancel sends a signal to another again and again.
    how = [["scancel", "--signal=USR2"], ["scontrol", "requeue"], ["scancel"]]
    for words, job in zip(how, command.jobs(), strict=True):
        scene.cluster.ask(*words, job)
    return command.jobs()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_preempted_or_requeued_run_goes_on_to_the_same_weights(scene, disturbed, seed):
    found = scene.requeued(scene.moved, disturbed[seed], seed)
    assert same(found, scene.local(f"seed-{seed}", *SIX, f"seed={seed}"))


def test_a_cancelled_job_is_reported_and_the_same_command_runs_what_is_missing(
    scene, disturbed, on_slurm
):
    command = scene.moved
    code, said = command.end()
    assert (code, "Traceback" in said) == (1, False), said
    assert f"Slurm's job {disturbed[2]}: cancelled; its log is {command.folder}/" in said
    cancelled = command.run(2).path
    assert ": 2 finished, 1 interrupted\n" in said
    assert said.endswith(f"  interrupted: seed=2 ({cancelled})\n")
    before = {seed: times(command.run(seed).path) for seed in (0, 1)}
    outcome = run_train(*SLURM, *smoke(command.folder, *SIX, "seed=0,1,2"))
    assert (outcome.code, outcome.out.count("finished already: ")) == (0, 2), outcome
    assert len(command.jobs()) == 4
    assert {seed: times(command.run(seed).path) for seed in (0, 1)} == before
    assert same(final(command.run(2)), scene.local("seed-2", *SIX, "seed=2"))


def times(folder: Path) -> dict[str, int]:
    """When each file was written."""
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_the_script_of_the_page_is_told_requeues_and_goes_on(scene):
    until(scene.plain.held, "the third iteration of a plain script")
    scene.cluster.ask("scancel", "--signal=USR1", scene.plain_job)
    found = scene.requeued(scene.plain, scene.plain_job)
    assert same(found, scene.local("seed-0", *SIX, "seed=0"))


def test_a_job_that_fails_fails_alone_and_is_reported(scene, on_slurm):
    failing = Outputs(scene.folder / "failing")
    code, out, err = run_train(*SLURM, *smoke(failing.folder, *EXPLODING))
    assert (code, "Traceback" in out + err) == (1, False), out + err
    states = {summary(run)["status"]: run for run in runs_in(failing.folder)}
    assert states.keys() == {"failed", "finished"}
    assert ": 1 finished, 1 failed\n" in out
    assert f"\n  failed: d_optimizer.lr=1 ({states['failed']}): by iteration " in out
    shown = scene.cluster.ask("scontrol", "show", "job", failing.jobs()[0])
    assert "TresPerNode=gres:gpu:1" in shown


def test_a_sweep_is_one_array_ends_with_the_weights_of_local_runs_and_is_not_submitted_again(
    scene, on_slurm
):
    four = Outputs(scene.folder / "four")
    outcome = run_train(*SLURM, *smoke(four.folder, *FOUR))
    assert outcome.code == 0, outcome
    (array,) = {job.partition("_")[0] for job in four.jobs()}
    assert four.jobs() == [f"{array}_{i}" for i in range(4)]
    assert run_train("-m", *smoke(scene.folder / "four-local", *FOUR)).code == 0
    pairs = zip(runs_in(four.folder), runs_in(scene.folder / "four-local"), strict=True)
    found = [(final(Run(a)), final(Run(b))) for a, b in pairs]
    assert len(found) == 4
    assert all(same(a, b) for a, b in found)
    assert not same(found[0][0], found[1][0]), "the comparison would pass on anything"
    outcome = run_train(*SLURM, *smoke(four.folder, *FOUR))
    assert (outcome.code, outcome.out.count("finished already: ")) == (0, 4)
    assert len(four.jobs()) == 4


def test_what_slurm_refuses_is_said_and_nothing_was_started(scene, on_slurm, tmp_path):
    words = ["hydra.launcher.partition=nope", "seed=0,1"]
    outcome = run_train(*SLURM, *smoke(tmp_path, *words))
    assert (outcome.code, "Traceback" in outcome.err) == (2, False)
    assert "  hydra.launcher: sbatch: error: " in outcome.err
    assert runs_in(tmp_path) == []


@pytest.fixture
def on_slurm(scene, monkeypatch) -> None:
    """Commands of this process find the cluster."""
    for name, value in scene.cluster.environment.items():
        monkeypatch.setenv(name, value)


def test_without_slurm_its_launcher_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = run_train(*SLURM, *smoke(tmp_path))
    assert outcome.code == 2
    assert '  hydra.launcher: Could not detect "srun"' in outcome.err


def test_a_run_too_long_for_its_job_goes_on_in_the_next(scene):
    """Slurm counts whole minutes and looks every 30 seconds."""
    command = scene.limited
    until(command.run, "a run")
    (job,) = command.jobs()
    found = scene.requeued(command, job)
    code, said = command.end()
    assert code == 0, said
    assert "this job is timed-out" in command.log(job)
    assert same(found, scene.local("seed-0", *SIX, "seed=0"))
    parts = sorted((command.run().path / "wandb").glob("offline-run-*"))
    identity = (command.run().path / "wandb-id").read_text()
    assert [part.name.rpartition("-")[2] for part in parts] == [identity, identity]
