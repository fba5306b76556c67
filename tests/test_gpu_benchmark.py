"""benchmarks/gpu.py: its parts on a CPU, and what it says of those that fail."""

import sys

import pytest
import torch

import gpu
import graphs
from gpu import Bench, Row, table


def run(monkeypatch, capsys, *words):
    """Exit code and what it prints."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    with pytest.raises(SystemExit) as stop:
        gpu.main()
    return stop.value.code, capsys.readouterr()


def test_without_a_gpu_it_says_so_before_any_work(monkeypatch, capsys):
    code, said = run(monkeypatch, capsys)
    assert code == 2
    assert said.err == ("no CUDA GPU is at hand; device=cpu scale=0.02 runs what a CPU can do\n")


def test_a_part_that_is_not_there_is_named(monkeypatch, capsys):
    code, _ = run(monkeypatch, capsys, "parts=speeed")
    assert code.startswith("parts: there is no 'speeed'; there are graphs, default, resume")


def part(*rows, error=None):
    def found(bench):
        yield from rows
        if error is not None:
            raise error

    return found


def test_one_table_of_all_parts_and_a_check_that_fails_decides(monkeypatch, capsys):
    good, bad = Row("a", "x", "1", "1"), Row("b", "y", "2", "1", good=False)
    monkeypatch.setattr(gpu, "RUN", {"a": part(good), "b": part(bad)})
    code, said = run(monkeypatch, capsys, "parts=a,b", "device=cpu")
    assert code == 1
    assert "| a | x | 1 | 1 | ok |\n" in said.out
    assert "| b | y | 2 | 1 | **no** |\n" in said.out
    assert said.out.endswith("1 of 2 checks failed\n")
    code, said = run(monkeypatch, capsys, "parts=a", "device=cpu")
    assert code == 0
    assert f"torch {torch.__version__}" in said.out


def test_a_part_that_breaks_is_a_row_and_the_others_go_on(monkeypatch, capsys):
    broken = part(Row("a", "x", "1"), error=RuntimeError("no kernel\nmore"))
    monkeypatch.setattr(gpu, "RUN", {"a": broken, "b": part(Row("b", "y", "2"))})
    code, said = run(monkeypatch, capsys, "parts=a,b", "device=cpu")
    assert code == 1
    assert "| a | broke | RuntimeError: no kernel | to end | **no** |" in said.out
    assert "| b | y | 2 |  |  |" in said.out


def test_graphs_are_compared(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "EACH", {name: graphs.EACH[name] for name in ("dcgan", "acgan")})
    found = list(gpu.graphs(Bench("cpu", 1.0, tmp_path)))
    assert [(row.what, row.good) for row in found] == [("dcgan", True), ("acgan", True)]


def test_a_graph_that_cannot_be_captured_fails(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "EACH", {"sgd": {}})
    monkeypatch.setattr(gpu, "apart", lambda *_: (_ for _ in ()).throw(RuntimeError("why")))
    (row,) = gpu.graphs(Bench("cpu", 1.0, tmp_path))
    assert (row.value, row.good) == ("not captured: why", False)


def test_the_default_run_is_checked(tmp_path):
    found = {row.what: row for row in gpu.default(Bench("cpu", 0.01, tmp_path))}
    assert all(row.good for row in found.values()), table(list(found.values()))
    assert found["status"].value == "finished"


def test_a_run_that_goes_on_elsewhere_is_seen(monkeypatch, tmp_path):
    """The distance to an undisturbed run is that of two such runs, on a CPU none."""
    monkeypatch.setattr(gpu, "far", lambda a, b: 1.0)
    monkeypatch.setattr(gpu, "train", lambda config, name, callbacks: Finished())
    monkeypatch.setattr(gpu.checkpoint, "read", lambda path: {"state_dict": {}})
    (row,) = gpu.resume(Bench("cpu", 1.0, tmp_path))
    assert row.good, "off by as much as its control"
    gaps = iter([0.0, 0.5, 1.0])
    monkeypatch.setattr(gpu, "far", lambda a, b: next(gaps))
    (row,) = gpu.resume(Bench("cpu", 1.0, tmp_path))
    assert not row.good


class Finished:
    def last_checkpoint(self):
        return None
