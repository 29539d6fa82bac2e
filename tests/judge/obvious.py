"""The judge again, slow and obvious: exact arithmetic, a search instead of a formula, a loop for each sum.

Written from the definitions, sharing no code with analyzers.judge; numbers are mpmath's, 50 digits.
"""

from collections.abc import Sequence

from mpmath import mp, mpf

mp.dps = 50
TINY = mpf(10) ** -12


def projection(n_c, n_b, p_c, p_b, a, rho):
    """The boundary point with the largest expected log-likelihood, by golden-section search over x = q_b."""
    if n_c == 0 or rho == 0:
        return a + rho * p_b, p_b
    low, high = TINY, min(mpf(1), (1 - a) / rho) - TINY
    if n_b == 0:
        x = min(max((p_c - a) / rho, low), high)
        return a + rho * x, x

    def expected(x):
        y = a + rho * x
        return n_c * (p_c * mp.log(y) + (1 - p_c) * mp.log(1 - y)) + n_b * (p_b * mp.log(x) + (1 - p_b) * mp.log(1 - x))

    golden = (mp.sqrt(5) - 1) / 2
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = expected(left), expected(right)
    for _ in range(160):
        if at_left < at_right:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = expected(right)
        else:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = expected(left)
    x = (low + high) / 2
    return a + rho * x, x


def e_value(counts, alternative, null):
    """A likelihood ratio, multiplied out."""
    (f_c, n_c, f_b, n_b), (p_c, p_b), (q_c, q_b) = counts, alternative, null
    canary = (p_c / q_c) ** f_c * ((1 - p_c) / (1 - q_c)) ** (n_c - f_c)
    return canary * (p_b / q_b) ** f_b * ((1 - p_b) / (1 - q_b)) ** (n_b - f_b)


def past(bad: Sequence, requests: Sequence, prior_bad, prior):
    """Half a bad request in fifty, and everything before."""
    return (sum(bad, mpf(0)) + prior_bad + mpf("0.5")) / (sum(requests, mpf(0)) + prior + 50)


def harm(minutes, a, rho, limit, horizon, *, prior=(0, 0), factors, weights, caps, first):
    """Evidence after the last of `minutes` = [(f_c, n_c, f_b, n_b), ...], not its logarithm."""
    late = (1 - first) / (horizon - 1)
    cap = mp.exp(min((limit - mp.log(late)) / 2, limit - mp.log(first) - mpf("0.1")))
    running = [mpf(0)] * len(factors)
    unspent = mpf(1)
    for t, (f_c, n_c, f_b, n_b) in enumerate(minutes):
        p_b = past([m[2] for m in minutes[:t]], [m[3] for m in minutes[:t]], *prior)
        bound = a + rho * p_b
        rates = [1 - (1 - bound) ** factor for factor in factors]
        weight = (first if t == 0 else late) if t < horizon else mpf(0)
        unspent -= weight
        for j, p_c in enumerate(rates):
            e = e_value((f_c, n_c, f_b, n_b), (p_c, p_b), projection(n_c, n_b, p_c, p_b, a, rho))
            running[j] = (running[j] + weight) * min(e, cap, mp.exp(caps[j]))
    return sum(w * r for w, r in zip(weights, running, strict=True)) / sum(weights) + max(unspent, mpf(0))


def safe(minutes, a, rho, *, prior=(0, 0), halfways, weights):
    """Evidence after the last of `minutes` that p_c < a + rho p_b."""
    products = [mpf(1)] * len(halfways)
    for t, (f_c, n_c, f_b, n_b) in enumerate(minutes):
        p_b = past([m[2] for m in minutes[:t]], [m[3] for m in minutes[:t]], *prior)
        bound = a + rho * p_b
        equal = min(p_b, bound)
        for j, halfway in enumerate(halfways):
            p_c = equal + halfway * (bound - equal)
            products[j] *= e_value((f_c, n_c, f_b, n_b), (p_c, p_b), projection(n_c, n_b, p_c, p_b, a, rho))
    return sum(w * product for w, product in zip(weights, products, strict=True))


def split(f_1, f_2, a, b):
    """The chance that f_1 of f_1 + f_2 fall on the first of two intervals, beta-binomial with shapes a and b."""
    return mp.beta(f_1 + a, f_2 + b) / mp.beta(a, b) / (f_1 + f_2 + 1) / mp.beta(f_1 + 1, f_2 + 1)


def flips(f_1, f_2, share):
    """The same where each falls on the first with chance `share`."""
    return share**f_1 * (1 - share) ** f_2 / (f_1 + f_2 + 1) / mp.beta(f_1 + 1, f_2 + 1)


def over_coin_flips(minutes, strength, *, unruly, recent):
    """Likelihood ratio of the newest pair of `minutes` = [(bad, requests), ...], all so far, good ones the more."""
    if not minutes[-1][1] or not minutes[-2][1]:
        return mpf(1)
    bad, requests = sum(m[0] for m in minutes[-recent:]), sum(m[1] for m in minutes[-recent:])
    some = [m[1] for m in minutes if m[1]]
    effect = 1 + (mpf(sum(some)) / len(some) - 1) * strength
    level = (bad / effect + mpf("0.5")) / (requests / effect + 1)
    good = 1 - (bad + mpf("0.5")) / (requests + 1)
    (f_1, n_1), (f_2, n_2) = minutes[-2:]
    f_1, f_2, share = f_1 / good, f_2 / good, mpf(n_1) / (n_1 + n_2)
    shape = 2 * level / (1 - level) / strength
    any_split = unruly * split(f_1, f_2, 2 * share, 2 * (1 - share))
    bursts = (1 - unruly) * split(f_1, f_2, shape * share, shape * (1 - share)) + any_split
    return bursts / ((1 - unruly) * flips(f_1, f_2, share) + any_split)


def others(minutes):
    """Requests of a minute but one, on average over those with any."""
    some = [requests for _, requests in minutes if requests]
    return mpf(sum(some)) / len(some) - 1


def effects(canary, baseline, strengths, *, prior, clustered, power, **rule):
    """How far the design effects of (canary, baseline) lie beyond 1, on average, before the last of their minutes.

    Minutes tell of every other strength; the others lie on the polynomial through their four neighbours.
    """
    on_canary, on_baseline, whole = mpf(0), mpf(0), mpf(0)
    for clusters in (False, True):
        told = [mpf(0)]
        for strength in strengths[::2]:
            likely = mpf(1)
            for end in range(2, len(canary)):
                sizes = others(baseline[:end]) / others(canary[:end]) if clusters else 1
                likely *= over_coin_flips(canary[:end], strength * sizes, **rule) ** power
                likely *= over_coin_flips(baseline[:end], strength, **rule) ** power
            told.append(mp.log(likely))
        for number, (strength, weight) in enumerate(zip([mpf(0), *strengths], prior, strict=True)):
            place, between = divmod(number + 1, 2) if number else (0, 0)
            log = polynomial(told[place - 1 : place + 3], mpf("1.5")) if between else told[place]
            likely = weight * (clustered if clusters else 1 - clustered) * mp.exp(log)
            on_canary += likely * strength * others(baseline if clusters else canary)
            on_baseline += likely * strength * others(baseline)
            whole += likely
    return on_canary / whole, on_baseline / whole


def polynomial(values, at):
    """Lagrange's, through (0, values[0]), (1, values[1]) and so on."""
    return sum(
        value * mp.fprod((at - other) / mpf(number - other) for other in range(len(values)) if other != number)
        for number, value in enumerate(values)
    )
