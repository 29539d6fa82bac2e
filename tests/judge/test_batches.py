"""Many rollouts at once are what each is alone, and every argument of `first_crossings` does its own work."""

import numpy as np
import pytest

from analyzers.judge import first_crossings

ASKED = {"points": 0.002, "ratio": 1.25, "alpha": 0.01, "beta": 0.01}
MINUTES, HISTORY = 50, 30


def world(rollouts: int, canary=0.005, instances: int = 4, seed: int = 1):
    """(requests, bad) of both slots per instance, shape (rollouts, instances, minutes), and the history."""
    rng = np.random.default_rng(seed)
    slots = []
    for mean, rate in ((200, canary), (1800, 0.005)):
        requests = rng.poisson(mean / instances, (rollouts, instances, MINUTES))
        slots.append((requests, rng.binomial(requests, rate)))
    past = rng.poisson(2000, (rollouts, HISTORY))
    return slots[0], slots[1], (past, rng.binomial(past, 0.005))


def crossed(canary, baseline, history, **changes):
    totals = [part.sum(axis=1) for part in (*canary, *baseline)]
    asked = {**ASKED, "history": history, "canary_instances": canary, "baseline_instances": baseline, **changes}
    return first_crossings(*totals, **asked)


def test_each_rollout_is_what_it_is_alone():
    """More of them than are worked on at once, every third with a fault, some on one instance only."""
    rates = np.full((220, 4, MINUTES), 0.005)
    rates[::3, :, 20:] = 0.03
    rates[1::3, 2, 10:] = 0.5
    slots = world(220, rates)
    harm, safe = crossed(*slots)
    assert len(set(harm.tolist())) > 3 < len(set(safe.tolist()))
    for number in (0, 1, 3, 99, 100, 101, 199, 200, 217, 219):
        alone = crossed(*[tuple(part[number : number + 1] for part in pair) for pair in slots])
        assert (harm[number], safe[number]) == (alone[0][0], alone[1][0]), number


def test_each_error_rate_and_the_number_of_indicators_move_their_own_limit():
    slots = world(40, np.where(np.arange(MINUTES) < 25, 0.005, 0.02))
    harm, safe = crossed(*slots)
    for change in ({"beta": 0.2}, {"indicators": 4}, {"alpha": 0.0001}):
        other_harm, other_safe = crossed(*slots, **change)
        assert np.array_equal(harm, other_harm) is ("beta" in change)
        assert np.array_equal(safe, other_safe) is ("beta" not in change)


def test_a_longer_horizon_gives_a_late_fault_less_of_the_prior():
    slots = world(40, np.where(np.arange(MINUTES) < 25, 0.005, 0.02))
    soon, late = (np.where(found == 0, 99, found) for found in (crossed(*slots)[0], crossed(*slots, horizon=5000)[0]))
    assert (late >= soon).all()
    assert late.mean() > soon.mean() + 0.5


@pytest.mark.parametrize(("instances", "alarms"), [(2, True), (3, False)])
def test_of_three_instances_one_may_be_sick(instances, alarms):
    rates = np.full((8, instances, MINUTES), 0.005)
    rates[:, 0, 10:] = 0.5
    harm, _ = crossed(*world(8, rates, instances))
    assert (harm > 0).all() == alarms
    assert (harm > 0).any() == alarms


def test_an_instance_that_served_once_still_tells():
    """The third was scaled in after ten minutes: the sick one of the two that are left is not the version."""
    (requests, _), baseline, history = world(8, instances=3)
    requests[:, 2, 10:] = 0
    rng = np.random.default_rng(3)
    rates = np.full((3, 1), 0.005)
    bad = rng.binomial(requests, rates)
    bad[:, 0, 20:] = rng.binomial(requests[:, 0, 20:], 0.5)
    harm, _ = crossed((requests, bad), baseline, history)
    assert (harm == 0).all()


@pytest.mark.parametrize(("instances", "proven"), [(2, True), (3, False)])
def test_of_three_baseline_instances_a_sick_one_proves_nothing(instances, proven):
    canary, (requests, bad), history = world(8, 0.03, instances)
    bad[:, 0] = np.random.default_rng(5).binomial(requests[:, 0], 0.5)
    _, safe = crossed(canary, (requests, bad), history)
    assert (safe > 0).all() == proven
    assert (safe > 0).any() == proven
