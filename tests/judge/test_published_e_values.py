"""Where the judge's evidence meets published e-processes, it is theirs.

`savvi` (PyPI, 0.3.1) computes the Dirichlet-multinomial e-process of Lindon and Malek, "Anytime-valid inference for
multinomial count data", arXiv:2011.03567. The values below are what its Multinomial.update printed: the package brings
a convex solver that no test here needs, and `confseq` is C++ source that needs Boost's headers.
"""

import numpy as np
import pytest
from scipy.special import betaln
from scipy.stats import beta

from analyzers.judge.evidence import mixed_over
from analyzers.judge.projection import log_e, project

# (null rate, concentration), counts (bad, good) update by update, log of savvi's odds after each
SAVVI = [
    ((0.1, 100), [(3, 97), (14, 80), (22, 101)], [1.3819591161696252, -0.3948580341713211, -0.11539142549565905]),
    (
        (0.02, 50),
        [(0, 40), (1, 300), (9, 211), (30, 470)],
        [0.21129222107930315, 2.7430377087531164, -1.2092081143046776, 4.5715082946318635],
    ),
    ((0.5, 10), [(60, 40), (70, 30)], [0.6236123462332586, 7.188720499945461]),
]


@pytest.mark.parametrize(("given", "counts", "odds"), SAVVI)
def test_the_closed_form_is_savvis(given, counts, odds):
    """B(k a + f, k (1 - a) + g) / B(k a, k (1 - a)) / (a^f (1 - a)^g): what the next test compares with, by scipy."""
    assert _closed(given, counts) == pytest.approx(odds, abs=1e-9)


@pytest.mark.parametrize(("given", "counts", "odds"), SAVVI)
def test_an_absolute_limits_evidence_mixed_over_a_beta_prior_is_savvis(given, counts, odds):
    """The one-sample form (a ceiling, the watch): alternatives at 20,000 equally likely quantiles of the prior."""
    null, concentration = given
    likely = (np.arange(20_000) + 0.5) / 20_000
    rates = beta.ppf(likely, concentration * null, concentration * (1 - null))[:, None]
    bad, good = np.array(counts, dtype=float).T
    values = log_e((bad, bad + good, 0.0, 0.0), (rates, null), null, 0.0)
    assert mixed_over(np.cumsum(values, axis=-1)) == pytest.approx(odds, abs=5e-3)


@pytest.mark.parametrize(
    ("n_c", "n_b", "p_c", "p_b"), [(100, 900, 0.05, 0.01), (7, 3, 0.9, 0.2), (50, 5000, 0.01, 0.02)]
)
def test_without_a_tolerance_it_is_the_e_variable_of_two_equal_proportions(n_c, n_b, p_c, p_b):
    """Turner, Ly, Grunwald, arXiv:2106.02693v3, theorem 1: both slots at the mean rate, weighted by their requests."""
    q_c, q_b = project((n_c, n_b), (p_c, p_b), 0.0, 1.0)
    pooled = (n_c * p_c + n_b * p_b) / (n_c + n_b)
    assert (float(q_c), float(q_b)) == pytest.approx((pooled, pooled), rel=1e-9)


def _closed(given, counts):
    null, concentration = given
    bad, good = np.cumsum(np.array(counts), axis=0).T
    prior = concentration * null, concentration * (1 - null)
    return betaln(prior[0] + bad, prior[1] + good) - betaln(*prior) - bad * np.log(null) - good * np.log1p(-null)
