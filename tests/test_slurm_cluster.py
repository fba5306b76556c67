"""The tests' own Slurm: it runs jobs, and nothing of it is left behind."""

import subprocess
import time

import pytest

from slurm_cluster import SlurmCluster, free_ports, missing_programs, until

pytestmark = pytest.mark.skipif(bool(missing_programs()), reason=missing_programs())


@pytest.mark.long
def test_a_cluster_runs_jobs_on_all_its_nodes_and_leaves_no_process(tmp_path):
    with SlurmCluster(tmp_path) as cluster:
        assert cluster.ready() == {"n1", "n2", "n3"}
        where = cluster.ask("srun", "-N3", "bash", "-c", "echo $SLURMD_NODENAME $SLURM_PROCID")
        assert {line.split()[0] for line in where.splitlines()} == {"n1", "n2", "n3"}
        script = tmp_path / "array.sh"
        script.write_text(f"#!/bin/bash\necho $1 >{tmp_path}/member-$SLURM_ARRAY_TASK_ID\n")
        cluster.ask("sbatch", "--wait", "--array=0-3", f"--output={tmp_path}/%a", str(script), "a")
        assert {(tmp_path / f"member-{i}").read_text() for i in range(4)} == {"a\n"}
        assert [*cluster.jobs().values()] == ["COMPLETED"] * 5
        assert cluster.processes() != []
    assert cluster.processes() == []


def test_jobs_that_still_run_or_wait_end_with_the_cluster(tmp_path):
    with SlurmCluster(tmp_path, nodes=1, cpus=1) as cluster:
        cluster.ask("sbatch", "--array=0-2", f"--output={tmp_path}/%a", "--wrap", "sleep 600")
        until(lambda: "RUNNING" in cluster.jobs().values(), "a job that runs")
        assert sorted(cluster.jobs().values()) == ["PENDING", "PENDING", "RUNNING"]
    assert cluster.processes() == []


class Misspelt(SlurmCluster):
    """Its configuration has a word that Slurm does not know."""

    def _configure(self) -> None:
        super()._configure()
        with (self.folder / "slurm.conf").open("a") as file:
            file.write("NoSuchWord=1\n")


def test_after_a_failed_start_nothing_is_left(tmp_path):
    """munged runs already when slurmctld refuses."""
    cluster = Misspelt(tmp_path, nodes=1)
    with pytest.raises(RuntimeError, match="slurmctld ended with 1"), cluster:
        pass
    assert cluster.processes() == []


@pytest.mark.long
def test_two_clusters_stand_side_by_side(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    with SlurmCluster(tmp_path / "a", nodes=1) as a, SlurmCluster(tmp_path / "b", nodes=1) as b:
        assert a.ask("srun", "printenv", "SLURM_CONF") != b.ask("srun", "printenv", "SLURM_CONF")
    assert a.processes() == b.processes() == []


def test_the_list_of_jobs_answers_for_the_accounting(tmp_path):
    with SlurmCluster(tmp_path, nodes=1) as cluster:
        cluster.ask("srun", "true")
        (job,) = cluster.jobs()
        while (state := cluster.jobs()[job]) == "COMPLETING":
            time.sleep(0.1)
        asked = cluster.ask("sacct", "-o", "JobID,State,NodeList", "--parsable2", "-j", job)
        assert asked.splitlines() == ["JobID|State|NodeList", f"{job}|{state}|n1"]
        with pytest.raises(subprocess.CalledProcessError):
            cluster.ask("sacct", "-j", "1")


def test_ports_are_free_and_not_lightnings():
    ports = free_ports(4)
    assert ports == list(range(ports[0], ports[0] + 4))
    assert all(not 15_000 <= port < 25_000 for port in ports)
