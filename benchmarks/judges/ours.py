"""Our judge on the same traffic: `first_crossings`, at one share and on the ladder."""

from typing import NamedTuple

import numpy as np

from analyzers.judge import first_crossings
from benchmarks.judges.worlds import Case, Minutes, Traffic

ALPHA = BETA = 0.01
DEADLINE = 120  # minutes of one step, the default policy's


class Ended(NamedTuple):
    """When each rollout ended: one-based minutes, 0 = never."""

    rolled_back: Minutes
    promoted: Minutes  # 0 also where it was rolled back before


def one_share(case: Case, traffic: Traffic) -> Ended:
    """One step: HARMFUL rolls back, SAFE promotes, whichever comes first; at the deadline it is held."""
    harm, safe = _crossings(case, traffic)
    if case.late:  # the step is still there when the fault begins; the harm test runs on through all steps
        return Ended(harm, np.zeros_like(harm))
    return _first_of(harm, safe)


def ladder(case: Case, low: Traffic, high: Traffic) -> tuple[Ended, Traffic]:
    """Two judged steps: on to the second share when SAFE; safety is proven anew there, harm is looked for in both.

    With the traffic that the rollouts had: each minute at the share that it was given.
    """
    minutes = low.canary.shape[1]
    harm, safe = _crossings(case, low.cut(slice(DEADLINE)), horizon=2 * DEADLINE)
    moved = (safe > 0) & ((harm == 0) | (harm > safe))
    at = np.arange(minutes)
    own = low.pick(np.broadcast_to(at[None] < np.where(moved, safe, minutes)[:, None], low.canary.shape), high)
    ends = np.where(moved, safe + DEADLINE, DEADLINE)
    own = Traffic(*(np.where(at[None] < ends[:, None], part, 0) for part in own[:7]), own.past, own.past_bad)
    harm, _ = _crossings(case, own, horizon=2 * DEADLINE)
    second = safe[:, None] + np.arange(DEADLINE)[None]  # zero-based minutes of the second step
    step = [np.take_along_axis(part, np.minimum(second, minutes - 1), axis=1) for part in high[:5]]
    _, safe_there = _crossings(case, Traffic(*step, *step[:2], *_with_first_step(low, safe)))
    promoted = np.where(moved & (safe_there > 0), safe + safe_there, 0)
    if case.late:
        promoted = np.zeros_like(promoted)
    return _first_of(harm, promoted), own


def _with_first_step(low: Traffic, safe: Minutes) -> tuple[Minutes, Minutes]:
    """The baseline's past as the second step knows it: the history, then the first step; empty minutes in front."""
    known = [np.concatenate(pair, axis=1) for pair in ((low.past, low.baseline), (low.past_bad, low.baseline_bad))]
    length, history = low.past.shape[1] + DEADLINE, low.past.shape[1]
    at = np.arange(length)[None] - (length - history - safe[:, None])
    taken = [np.take_along_axis(part, np.clip(at, 0, part.shape[1] - 1), axis=1) for part in known]
    past, past_bad = (np.where(at >= 0, part, 0) for part in taken)
    return past, past_bad


def _first_of(harm: Minutes, safe: Minutes) -> Ended:
    promoted = (safe > 0) & ((harm == 0) | (harm > safe))
    return Ended(np.where(promoted, 0, harm), np.where(promoted, safe, 0))


def _crossings(case: Case, traffic: Traffic, horizon: int | None = None) -> tuple[Minutes, Minutes]:
    points, ratio = case.tolerance
    return first_crossings(
        traffic.canary,
        traffic.canary_bad,
        traffic.baseline,
        traffic.baseline_bad,
        points=points,
        ratio=ratio,
        alpha=ALPHA,
        beta=BETA,
        horizon=horizon,
        history=(traffic.past, traffic.past_bad),
    )
