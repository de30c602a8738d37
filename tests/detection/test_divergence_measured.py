"""The measured behaviour of the specification, simulated again: minutes of a laptop, so only when asked for."""

import numpy as np
import pytest

from benchmarks import divergence_methods
from detection.divergence import POLICY, log_beta_binomial, log_e_values, odds_shift

pytestmark = pytest.mark.slow


def test_the_table_of_the_specification_holds():
    rows = divergence_methods.rows()
    assert len(rows) > 90
    assert [row for row in rows if not row["holds"]] == []


@pytest.mark.parametrize("n", range(1, 61))
def test_no_shift_within_the_tolerance_gives_more_than_one_in_the_mean(n):
    x = np.arange(n + 1.0)
    for phi in (5.0, 50.0, 150.0, 1e5):
        for mu in (0.001, 0.02, 0.25, 0.5, 0.97):
            up, down = (np.exp(logs) for logs in log_e_values(x, n, mu, phi))
            for ratio in (POLICY.delta, 1.1, 1.0, 0.7, 0.05):
                for e, true in ((up, odds_shift(mu, ratio)), (down, odds_shift(mu, 1 / ratio))):
                    a, b = np.float64(phi * true), np.float64(phi * (1 - true))
                    mean = float((np.exp(log_beta_binomial(x, np.float64(n), a, b)) * e).sum())
                    assert mean <= 1 + 1e-9
                    assert ratio != POLICY.delta or mean == pytest.approx(1, abs=1e-9)
