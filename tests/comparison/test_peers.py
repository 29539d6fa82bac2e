"""The peers, re-implemented: each against values computed by hand or published."""

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.judges import peers
from benchmarks.judges.worlds import Traffic


def traffic(canary: list[tuple[int, int]], baseline: list[tuple[int, int]]) -> Traffic:
    """One rollout of (bad, requests) minutes; the dashboards' value is the plain rate."""
    (bad, requests), (baseline_bad, baseline_requests) = (np.array(one).T[:, None, :] for one in (canary, baseline))

    def rate(of: np.ndarray, among: np.ndarray) -> np.ndarray:
        return np.where(among > 0, of / np.maximum(among, 1), np.nan)

    return Traffic(
        requests, bad, bad, baseline_requests, baseline_bad, rate(bad, requests), rate(baseline_bad, baseline_requests),
        baseline_requests, baseline_bad,
    )  # fmt: skip


FINE = [(0, 100)] * 8


def test_argo_fails_when_more_than_its_limit_failed() -> None:
    """Two failed measurements: beyond a limit of 0 and of 1, not of 2; they need not be in a row."""
    seen = traffic([(0, 100), (5, 100), (0, 100), (1, 100), (2, 100), (0, 100), (0, 100), (0, 100)], FINE)
    assert [int(peers.argo(seen, 0.01, limit)[0]) for limit in (0, 1, 2)] == [2, 5, 0]


def test_argo_gets_no_measurement_from_a_minute_without_requests_and_flagger_a_failed_check() -> None:
    """Flagger halts the advancement and counts it."""
    silent = traffic([(0, 0)] * 8, FINE)
    assert int(peers.argo(silent, 0.01)[0]) == 0
    assert int(peers.flagger(silent, 0.01)[0]) == peers.FLAGGER_THRESHOLD


def test_flagger_rolls_back_at_its_fifth_failed_check() -> None:
    """In all, not in a row."""
    seen = traffic([(5, 100), (0, 100), (5, 100), (5, 100), (5, 100), (0, 100), (5, 100), (5, 100)], FINE)
    assert int(peers.flagger(seen, 0.01)[0]) == 7
    assert int(peers.flagger(seen, 0.05)[0]) == 0, "at the threshold is within its range"


def test_the_z_test_is_the_textbooks() -> None:
    """20/200 against 60/1200: pooled 80/1400, z = 0.05 / sqrt(0.05388 * (1/200 + 1/1200)) = 2.82."""
    seen = traffic([(20, 200)], [(60, 1200)])
    pooled = 80 / 1400
    z = 0.05 / np.sqrt(pooled * (1 - pooled) * (1 / 200 + 1 / 1200))
    assert z == pytest.approx(2.820, abs=1e-3)
    assert int(peers.z_test(seen, norm.sf(z) * 1.001)[0]) == 1
    assert int(peers.z_test(seen, norm.sf(z) * 0.999)[0]) == 0


def test_peeking_with_the_z_test_errs_as_published() -> None:
    """Armitage, McPherson, Rowe (1969): ten looks at two-sided 5 % err in 19.3 %, that is 9.7 % on each side."""
    rng = np.random.default_rng(9)
    counts = rng.binomial(5_000, 0.3, (4_000, 10)), rng.binomial(5_000, 0.3, (4_000, 10))
    sent = np.full((4_000, 10), 5_000)
    seen = Traffic(sent, counts[0], counts[0], sent, counts[1], *(one / sent for one in counts), sent, counts[1])
    assert (peers.z_test(seen, 0.025) > 0).mean() == pytest.approx(0.0965, abs=0.015)


def test_growthbooks_half_width_is_equation_134_with_rho_of_equation_161() -> None:
    """alpha 5 %, N* 5,000: rho^2 = (-2 ln 0.1 + ln(1 - 2 ln 0.1)) / 5000 = (4.6052 + 1.7237) / 5000, by hand."""
    rho2 = (4.605170 + 1.723691) / 5_000
    n = 20_000.0
    by_hand = np.sqrt(0.09 * 2 * (n * rho2 + 1) / (n**2 * rho2) * np.log(1 + np.sqrt(n * rho2 + 1) / 0.1))
    assert float(peers.growthbook_halfwidth(np.array(0.09), np.array(n), 0.05)) == pytest.approx(by_hand, rel=1e-6)


def test_growthbook_rolls_back_when_the_lower_end_is_above_zero() -> None:
    """Both sides of the limit, and nothing without variance in both slots."""
    canary, baseline = (40, 1000), (90, 9000)
    p_c, p_b = 0.04, 0.01
    variance = p_c * (1 - p_c) / 999 + p_b * (1 - p_b) / 8999
    width = float(peers.growthbook_halfwidth(np.array(variance * 10_000), np.array(10_000.0), 0.05))
    assert 0 < width < 0.03, "so that the difference of 0.03 is beyond it"
    seen = traffic([canary], [baseline])
    assert int(peers.growthbook(seen)[0]) == 1
    assert int(peers.growthbook(seen, tolerance=(0.03 - width - 1e-6, 1.0))[0]) == 1
    assert int(peers.growthbook(seen, tolerance=(0.03 - width + 1e-6, 1.0))[0]) == 0
    assert int(peers.growthbook(traffic([(40, 1000)], [(0, 9000)]))[0]) == 0


def test_growthbook_keeps_its_five_percent_where_its_asymptotics_hold() -> None:
    """Equal slots with many failures, looked at a hundred times."""
    rng = np.random.default_rng(4)
    sent = np.full((600, 100), 500)
    counts = rng.binomial(sent, 0.3), rng.binomial(sent, 0.3)
    seen = Traffic(sent, counts[0], counts[0], sent, counts[1], *(one / sent for one in counts), sent, counts[1])
    assert (peers.growthbook(seen) > 0).mean() < 0.05
