"""benchmarks/averages.py: its arithmetic by hand, and one small training."""

import itertools
import json
import sys

import torch

import averages
from conftest import fit, small_gan


def test_the_tables_are_means_and_paired_differences(tmp_path, capsys, monkeypatch):
    """With Student's interval: of two seeds, 6.35 times their distance from each other."""
    labels = [averages.RAW, *(f"0.9, {policy}" for policy in averages.POLICIES)]
    assert labels[1:] == ["0.9, copy", "0.9, average", "0.9, recompute"]
    seeds = [[8.0, 6.0, 5.0, 5.0], [8.0, 8.0, 7.0, 6.8]]
    lines = [["mlp", i, dict(zip(labels, each, strict=True))] for i, each in enumerate(seeds)]
    out = tmp_path / "found.jsonl"
    out.write_text("".join(json.dumps(line) + "\n" for line in lines))
    words = [f"out={out}", "models=mlp", "seeds=2", "averages=0.9"]
    monkeypatch.setattr(sys, "argv", ["averages.py", *words])
    averages.main()
    printed = capsys.readouterr().out.splitlines()
    assert "| no average | 8.00 ± 0.00 |" in printed
    assert "| 0.9, copy | 7.00 ± 12.71 |" in printed
    assert "| 0.9, average | -1.00 ± 0.00 |" in printed, "the seeds' spread cancels"
    assert "| 0.9, recompute | -1.10 ± 1.27 |" in printed


def test_averages_beside_each_other_are_what_each_would_be_alone():
    """Samples, bit for bit, of every average under every policy."""
    names = ["0.5", "ramp=0.05"]
    fit(gan := small_gan(6), callbacks=[beside := averages.Averages(names)])
    seen = []
    for label in averages.each_policy(gan, beside):
        seen.append(gan.sample(4).clone())
        decay, _, policy = label.partition(", ")
        given = {"ema": averages.decay(decay), "ema_statistics": policy} if policy else {}
        fit(alone := small_gan(6, **given))
        assert torch.equal(seen[-1], alone.sample(4)), label
    assert len(seen) == 7
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(seen, 2))
