"""benchmarks/infinity.py: true distances in closed form, and rows that a wrong one would change."""

import pytest
import torch

import infinity


def rows(printed: str) -> list[list[str]]:
    """The cells of a Markdown table, without its titles."""
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines()[2:]]


def test_each_case_has_a_row_for_each_ratio_and_its_true_distance(capsys):
    """White features: the distance of the means, and of the widths, in d = 8 directions."""
    infinity.main(repeats=3, dims=8)
    found = rows(capsys.readouterr().out)
    names = ["shift", "spread", "equal", "decaying", "one direction"]
    assert [row[0] for row in found] == [name for name in names for _ in infinity.RATIOS]
    assert [int(row[1]) for row in found[:5]] == [40, 60, 80, 120, 200]
    truths = {row[0]: float(row[3]) for row in found}
    widths = 4 * (1 - 1.3) ** 2 + 4 * (1 - 0.65) ** 2
    expected = {"shift": 0.25, "spread": widths, "equal": 0, "decaying": 2, "one direction": 0.25}
    assert truths == pytest.approx(expected, abs=1e-3)
    for row in found:
        if float(row[2]) >= 3:
            assert abs(float(row[4])) < 2 * float(row[5]), "the truth is far outside"


def test_the_exact_moments_are_those_of_many_features():
    variances = torch.tensor([1.0, 4.0], dtype=torch.float64)
    torch.testing.assert_close(infinity.exactly(variances).covariance, variances.diag())
