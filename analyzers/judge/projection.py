"""The point of the tolerance boundary nearest to an alternative, in closed form, and the e-value it gives.

The null says p_c <= a + rho p_b (or >=: the boundary is the same line), in every interval anew. Among its
points, the one that maximises the alternative's expected log-likelihood makes the likelihood ratio an
e-variable: expectation at most 1 everywhere in the null, because the null is convex.
Sources: Turner, Ly, Grunwald, "Generic e-variables for exact sequential k-sample tests that allow for
optional stopping", arXiv:2106.02693v3, theorem 1; Grunwald, de Heide, Koolen, "Safe testing",
arXiv:1906.07801v5, theorem 1; the cubic: Miettinen and Nurminen, Statistics in Medicine 4 (1985), appendix
1; Farrington and Manning, Statistics in Medicine 9 (1990), equation 3.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# A rate is never exactly 0 or 1: the logarithm of an impossible event would decide alone.
RATE_MIN = 1e-12

# After the closed form, relative error 3.5e-7 at worst where the ratio is above 0.3; a step squares it, so a last
# step of at most SETTLED leaves 6e-10 (400,000 random cases), and one is enough nearly always.
NEWTON_STEPS = 2
# Where cancellation spoilt the closed form (a ratio near 0), the last step is still long: halve instead.
SETTLED = 1e-6
HALVINGS = 60


def project(
    requests: tuple[ArrayLike, ArrayLike],
    rates: tuple[ArrayLike, ArrayLike],
    points: ArrayLike,
    ratio: ArrayLike,
) -> tuple[Floats, Floats]:
    """(q_c, q_b) on p_c = points + ratio p_b nearest to the alternative `rates` = (p_c, p_b).

    `requests` = (n_c, n_b) of the interval; everything broadcasts. q_b maximises the concave
    `n_c (p_c log y + (1 - p_c) log(1 - y)) + n_b (p_b log x + (1 - p_b) log(1 - x))`, y = points + ratio x.
    Boundaries that leave no room for q_c (points + ratio p_b >= 1) must be masked by the caller.

    >>> q_c, q_b = project((100, 900), (0.05, 0.01), 0.005, 1.25)
    >>> round(float(q_c), 4), round(float(q_b), 4)
    (0.0206, 0.0125)
    """
    n_c, n_b = (np.asarray(value, dtype=np.float64) for value in requests)
    p_c, p_b = (np.asarray(value, dtype=np.float64) for value in rates)
    a, rho = np.asarray(points, dtype=np.float64), np.asarray(ratio, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # The two terms of the objective peak at x = p_b and at y = p_c: the root lies between.
        peak = within((p_c - a) / rho, 0.0, 1.0)
        low, high = np.minimum(p_b, peak), np.maximum(p_b, peak)
        x = within(_cubic_root((n_c, n_b), (p_c, p_b), a, rho), low, high)
        tied = (rho > 0) & (n_c > 0) & (n_b > 0)
        lost = tied
        for _ in range(NEWTON_STEPS):
            slope, curve = _slope(x, (n_c, n_b), (p_c, p_b), a, rho)
            step = slope / curve
            x = within(x - step, low, high)
            lost = ~(np.abs(step) <= SETTLED * x) & tied
            if not lost.any():
                break
        if lost.any():
            x = np.where(lost, _halved(low, high, (n_c, n_b), (p_c, p_b), (a, rho)), x)
    if not tied.all():
        # Without canary requests, or with an absolute limit (rho = 0), the baseline is free: q_b = p_b.
        x = np.where((rho <= 0) | (n_c <= 0), p_b, np.where(n_b <= 0, peak, x))
    x = within(x, RATE_MIN, 1 - RATE_MIN)
    return within(a + rho * x, RATE_MIN, 1 - RATE_MIN), x


def within(values: ArrayLike, low: ArrayLike | None, high: ArrayLike | None) -> Floats:
    """np.clip, at a third of its cost on small arrays."""
    kept = np.asarray(values, dtype=np.float64)
    kept = kept if low is None else np.maximum(kept, low)
    return kept if high is None else np.minimum(kept, high)


def _cubic_root(requests: tuple[Floats, Floats], rates: tuple[Floats, Floats], a: Floats, rho: Floats) -> Floats:
    """The root inside (0, 1) of `n_c rho (p_c - y) x (1 - x) + n_b (p_b - x) y (1 - y) = 0`.

    All three roots are real; the one inside is the middle one, 2 sqrt(Q) sin(arcsin(R / sqrt(Q^3)) / 3) - b / 3
    (Press et al., Numerical Recipes, 5.6.12: cos((theta - 2 pi) / 3) there, theta the arccosine).
    """
    (n_c, n_b), (p_c, p_b) = requests, rates
    weight = n_c * rho
    c3 = weight * rho + n_b * rho * rho
    c2 = -weight * (p_c - a + rho) - n_b * (p_b * rho * rho + rho * (1 - 2 * a))
    c1 = weight * (p_c - a) + n_b * (p_b * rho * (1 - 2 * a) - a + a * a)
    c0 = n_b * p_b * a * (1 - a)
    third, c, d = c2 / (3 * c3), c1 / c3, c0 / c3
    square = third * third
    q = np.maximum(square - c / 3, 0.0)
    r = third * (square - c / 2) + d / 2
    root_q = np.sqrt(q)
    angle = np.arcsin(within(r / (q * root_q), -1.0, 1.0))
    root: Floats = 2 * root_q * np.sin(angle / 3) - third
    return root


def _slope(
    x: Floats, requests: tuple[Floats, Floats], rates: tuple[Floats, Floats], a: Floats, rho: Floats
) -> tuple[Floats, Floats]:
    """First and second derivative by x of the objective that `project` maximises."""
    (n_c, n_b), (p_c, p_b) = requests, rates
    y = a + rho * x
    bad_c, good_c, bad_b, good_b = p_c / y, (1 - p_c) / (1 - y), p_b / x, (1 - p_b) / (1 - x)
    slope = n_c * rho * (bad_c - good_c) + n_b * (bad_b - good_b)
    curve = -n_c * rho * rho * (bad_c / y + good_c / (1 - y)) - n_b * (bad_b / x + good_b / (1 - x))
    return slope, curve


def _halved(
    low: Floats, high: Floats, requests: tuple[Floats, Floats], rates: tuple[Floats, Floats],
    line: tuple[Floats, Floats],
) -> Floats:  # fmt: skip
    """The root of the falling slope in [low, high], by bisection: slow, bounded, always right."""
    a, rho = line
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        slope, _curve = _slope(middle, requests, rates, a, rho)
        low, high = np.where(slope > 0, middle, low), np.where(slope > 0, high, middle)
    return (low + high) / 2


def log_e(
    counts: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike],
    rates: tuple[ArrayLike, ArrayLike],
    points: ArrayLike,
    ratio: ArrayLike,
) -> Floats:
    """Log e-value of one interval: likelihood of the alternative `rates` over that of its projection.

    `counts` = (canary bad, canary requests, baseline bad, baseline requests), whole or reduced by a design
    effect; 0 where there are no canary requests, whatever the baseline did.

    >>> round(float(log_e((5, 100, 9, 900), (0.05, 0.01), 0.005, 1.25)), 3)
    1.779
    """
    f_c, n_c, f_b, n_b = (np.asarray(value, dtype=np.float64) for value in counts)
    p_c, p_b = (np.asarray(value, dtype=np.float64) for value in rates)
    q_c, q_b = project((n_c, n_b), (p_c, p_b), points, ratio)
    canary = f_c * np.log(p_c / q_c) + (n_c - f_c) * np.log((1 - p_c) / (1 - q_c))
    baseline = f_b * np.log(p_b / q_b) + (n_b - f_b) * np.log((1 - p_b) / (1 - q_b))
    return canary + baseline
