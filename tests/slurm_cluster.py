"""A real Slurm on the loopback interface: several nodes that are all this machine."""

import getpass
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")

CONF = """
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# A requeued job waits until its old credential has expired, 120 seconds unless told otherwise.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
# The nodes pretend to have processors and GPUs.
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
# Ended jobs stay in the list: there is no accounting to ask about them.
MinJobAge=3600
KillWait=10
# As unforgiving as some clusters: a process that fails takes the others of its job with it.
KillOnBadExit=1
# Lightning's port follows from the job's id: jobs of two clusters should not meet.
FirstJobId={first_job}
SchedulerParameters=sched_interval=2,bf_interval=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
{nodes}
PartitionName=main Nodes=ALL Default=YES
"""
NODE = (
    "NodeName=n{i} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} "
    "CPUs={cpus} RealMemory=8000 Gres=gpu:1"
)

# Without accounting submitit would wait for ever for a job that has been cancelled.
SACCT = """#!{python} -S
import subprocess
import sys

print("JobID|State|NodeList")
for flag, job in zip(sys.argv, sys.argv[1:]):
    if flag == "-j":
        squeue = ["squeue", "--states=all", "--noheader", "--array", "--format=%i|%T|%N", "-j", job]
        rows = subprocess.run(squeue, capture_output=True, text=True, check=True).stdout
        print(rows, end="")
"""


def missing_programs() -> str:
    """Why no cluster can be started here; empty if one can."""
    missing = [name for name in PROGRAMS if found(name) is None]
    packages = "Debian's munge slurmctld slurmd slurm-client"
    return f"no Slurm here: {', '.join(missing)} missing ({packages})" if missing else ""


def found(program: str) -> str | None:
    """Where a program is; daemons are in folders that only root's PATH names."""
    return shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def until(condition: Callable[[], object], what: str, seconds: float = 240) -> None:
    """Waits for a condition.

    Raises:
        TimeoutError: it did not come true in time; says `what`.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} seconds in vain: {what}")
        time.sleep(0.2)


def free_ports(n: int) -> list[int]:
    """Neighbouring ports below those of outgoing connections, above Lightning's 15000 to 24999."""
    for first in random.sample(range(25_000, 32_000 - n), k=100):
        with ExitStack() as stack:
            try:
                for port in range(first, first + n):
                    listener = stack.enter_context(socket.socket())
                    listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return list(range(first, first + n))
    raise RuntimeError("no free ports on 127.0.0.1")


class SlurmCluster:
    """munged, slurmctld and a slurmd for each node, as long as the `with` lasts.

    Args:
        folder: its configuration, state and logs go here; a short path, as sockets lie in it.
        nodes: how many; they are named n1, n2, ...
        cpus: that each node pretends to have.
    """

    def __init__(self, folder: Path, nodes: int = 3, cpus: int = 2) -> None:
        self.folder, self.cpus = folder, cpus
        self.nodes = [f"n{i + 1}" for i in range(nodes)]
        self.daemons = dict[str, subprocess.Popen]()
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
        self.environment = {
            **inherited,
            "SLURM_CONF": str(folder / "slurm.conf"),
            # This Python first: jobs are to find it, too.
            "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def ask(self, *words: str, **environment: str) -> str:
        """What a command of Slurm answers.

        Raises:
            CalledProcessError: it failed, with a note of what it said.
        """
        env = self.environment | environment
        done = subprocess.run(
            words, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stderr)
            raise
        return done.stdout

    def jobs(self, states: str = "all") -> dict[str, str]:
        """The state of each job, each member of an array by itself; by id, as in 17_3."""
        rows = self.ask("squeue", "-h", "--array", f"--states={states}", "-o", "%i %T")
        return dict(line.split() for line in rows.splitlines())

    def ready(self) -> set[str]:
        """Nodes that take jobs."""
        rows = self.ask("sinfo", "-hN", "-t", "idle,mix,alloc", "-o", "%N")
        return set(rows.split())

    def processes(self) -> list[int]:
        """Ids of all that belongs to this cluster: its daemons, its jobs and their children."""
        mark = str(self.folder / "slurm.conf").encode()
        return [pid for pid in process_ids() if mark in words_of(pid)]

    def _start(self) -> None:
        self._configure()
        munge = [f"--{name}={self.folder / f'munge.{name}'}" for name in ("socket", "key-file")]
        munge += [f"--{n}-file={self.folder / f'munge.{n}'}" for n in ("pid", "log", "seed")]
        self._daemon("munged", "--foreground", "--force", *munge)
        until((self.folder / "munge.socket").exists, "munged")
        self._daemon("slurmctld", "-D", "-c")
        for node in self.nodes:
            self._daemon("slurmd", "-D", "-c", "-N", node, name=node)
        until(self._complete, "the nodes of the cluster")

    def _configure(self) -> None:
        for name in ("state", "bin", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir()
        port, *others = free_ports(1 + len(self.nodes))
        lines = [NODE.format(i=i + 1, port=p, cpus=self.cpus) for i, p in enumerate(others)]
        settings = {"user": getpass.getuser(), "folder": self.folder, "port": port}
        settings |= {"first_job": int(time.time()) % 60_000_000, "nodes": "\n".join(lines)}
        (self.folder / "slurm.conf").write_text(CONF.format(**settings))
        (self.folder / "gpu").touch()
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder / 'gpu'}\n")
        (self.folder / "munge.key-file").write_bytes(os.urandom(1024))
        (self.folder / "munge.key-file").chmod(0o600)
        sacct = self.folder / "bin" / "sacct"
        sacct.write_text(SACCT.format(python=sys.executable))
        sacct.chmod(0o755)

    def _daemon(self, program: str, *words: str, name: str = "") -> None:
        """In the foreground, as a child; with pipes of the caller it would keep them open."""
        name = name or program
        with (self.folder / f"{name}.log").open("wb") as log:
            self.daemons[name] = subprocess.Popen(
                [found(program), *words],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their daemons
            )

    def _complete(self) -> bool:
        for name, daemon in self.daemons.items():
            if daemon.poll() is not None:
                said = (self.folder / f"{name}.log").read_text()[-2000:]
                raise RuntimeError(f"{name} ended with {daemon.returncode}: {said}")
        try:
            return self.ready() == set(self.nodes)
        except subprocess.CalledProcessError:  # slurmctld does not listen yet
            return False

    def _stop(self) -> None:
        if "slurmctld" in self.daemons and self.daemons["slurmctld"].poll() is None:
            self._cancel_jobs()
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(timeout=10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        self.daemons = {}

    def _cancel_jobs(self) -> None:
        """Pending ones first: killed ones would make room for them."""
        user = f"--user={getpass.getuser()}"
        for words in (["--state=PENDING"], ["--signal=KILL", "--full"], []):
            subprocess.run(["scancel", user, *words], env=self.environment, check=False)
        active = "PENDING,RUNNING,COMPLETING,SUSPENDED,CONFIGURING"
        until(lambda: not self.jobs(active), "the end of cancelled jobs")


def process_ids() -> Iterator[int]:
    yield from (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())


def words_of(pid: int) -> bytes:
    """The command line and the environment of a process; empty if it has ended."""
    try:
        return b"".join(Path(f"/proc/{pid}/{part}").read_bytes() for part in ("cmdline", "environ"))
    except OSError:
        return b""
