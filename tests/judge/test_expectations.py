"""By exact enumeration: no evidence is worth more than 1 on average, under any truth that it is meant to refute.

This is the property from which both promised error rates follow (Ville); a judge that is only a little too
eager fails here, without any simulation.
"""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from analyzers.judge.dispersion import Correlation
from analyzers.judge.evidence import Starts, Streams, Tolerance, harm, safe
from analyzers.judge.projection import log_e, project


def outcomes(n_c: int, n_b: int, p_c: float, p_b: float):
    """All (f_c, f_b) and their probabilities."""
    f_c, f_b = np.meshgrid(np.arange(n_c + 1), np.arange(n_b + 1), indexing="ij")
    chance = binom.pmf(f_c, n_c, p_c) * binom.pmf(f_b, n_b, p_b)
    return f_c.ravel(), f_b.ravel(), chance.ravel()


@pytest.mark.parametrize(("points", "ratio"), [(0.0, 1.0), (0.02, 1.25), (0.1, 0.0), (0.05, 0.5), (0.0, 3.0)])
@pytest.mark.parametrize(("n_c", "n_b"), [(1, 1), (3, 20), (12, 12), (30, 5)])
def test_one_interval_is_worth_at_most_one_under_every_null(points, ratio, n_c, n_b):
    for p_b, worse in product((0.01, 0.1, 0.3), (1, -1)):
        bound = points + ratio * p_b
        p_c = min(0.95, bound * 2.5) if worse > 0 else bound * 0.3
        q_c, q_b = project((n_c, n_b), (p_c, p_b), points, ratio)
        for r_b in (0.0, 0.003, 0.05, 0.1, 0.3, 0.6, 0.99, float(q_b)):
            if worse < 0 and points + ratio * r_b > 1:
                continue  # everything is tolerated there: no canary is beyond it
            edge = min(points + ratio * r_b, 1.0)
            for r_c in (edge, edge * 0.5, 0.0) if worse > 0 else (edge, (edge + 1) / 2, 1.0):
                f_c, f_b, chance = outcomes(n_c, n_b, r_c, r_b)
                worth = (chance * np.exp(log_e((f_c, n_c, f_b, n_b), (p_c, p_b), points, ratio))).sum()
                assert worth <= 1 + 1e-9, (p_c, p_b, r_c, r_b)
        f_c, f_b, chance = outcomes(n_c, n_b, float(q_c), float(q_b))
        worth = (chance * np.exp(log_e((f_c, n_c, f_b, n_b), (p_c, p_b), points, ratio))).sum()
        assert worth == pytest.approx(1.0, abs=1e-9), "at its projection an e-value loses nothing"


def paths(n_c: int, n_b: int, truths: list[tuple[float, float]]):
    """All rollouts of len(truths) intervals, as Streams of shape (paths, intervals), with their chances."""
    one = [outcomes(n_c, n_b, *truth) for truth in truths]
    grids = np.meshgrid(*[np.arange(len(chance)) for _, _, chance in one], indexing="ij")
    picked = [grid.ravel() for grid in grids]
    f_c = np.stack([part[0][at] for part, at in zip(one, picked, strict=True)], axis=-1).astype(float)
    f_b = np.stack([part[1][at] for part, at in zip(one, picked, strict=True)], axis=-1).astype(float)
    chance = np.prod([part[2][at] for part, at in zip(one, picked, strict=True)], axis=0)
    none = np.zeros_like(f_c)
    wide = none[:, :1]
    return Streams(f_c, none + n_c, f_b, none + n_b, wide + 1, wide + 40, Correlation(none, none)), chance


TRUTHS = [[(0.07, 0.04)] * 3, [(0.02, 0.0), (0.52, 0.4), (0.145, 0.1)], [(0.0, 0.3), (0.02, 0.0), (0.97, 0.76)]]


@pytest.mark.parametrize("baseline", TRUTHS)
def test_harm_is_worth_at_most_one_at_every_look_while_the_canary_is_within_tolerance(baseline):
    """Learning from the past, alternatives, late starts and the cap included; the common rate moves at will."""
    truths = [(min(0.02 + 1.25 * p_b, 1.0), p_b) for _, p_b in baseline]
    streams, chance = paths(4, 8, truths)
    worth = chance[:, None] * np.exp(harm(streams, Tolerance(np.array(0.02), np.array(1.25)), Starts.of(3, 9, 5.0)))
    assert (worth.sum(axis=0) <= 1 + 1e-9).all()
    assert worth.sum(axis=0)[0] > 0.5, "and not because it says nothing"


@pytest.mark.parametrize("baseline", TRUTHS)
def test_safety_is_worth_at_most_one_at_every_look_while_the_canary_is_beyond_tolerance(baseline):
    truths = [(min(0.02 + 1.25 * p_b, 1.0), p_b) for _, p_b in baseline]
    streams, chance = paths(4, 8, truths)
    worth = chance[:, None] * np.exp(safe(streams, Tolerance(np.array(0.02), np.array(1.25))))
    assert (worth.sum(axis=0) <= 1 + 1e-9).all()


def test_no_single_interval_decides_and_two_saturated_ones_do():
    for k, alpha, horizon in product((1, 3, 8), (0.001, 0.01, 0.05), (1, 2, 20, 120, 1440)):
        limit = np.log(k / alpha)
        starts = Starts.of(3, horizon, limit)
        bad = np.array([[5000.0, 5000.0, 5000.0]])
        none, calm = np.zeros((1, 1)), np.zeros((1, 3))
        requests = bad + 5000
        streams = Streams(
            bad, requests, none + np.zeros((1, 3)), requests * 9, none, none + 1e5, Correlation(calm, calm)
        )
        evidence = harm(streams, Tolerance(np.array(0.005), np.array(1.25)), starts)[0]
        assert evidence[0] < limit <= evidence[1]
