"""What must be true between values of canary.yaml: names used once, tolerances that can be met, times that fit."""

import itertools
import math

from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.policy import Pin
from rollouts.policy_file import keys
from rollouts.policy_file.leaves import Path, duration_text
from rollouts.policy_file.sections import Section, spelled

HEALTHY_RATE = 0.05  # a baseline that fails more is itself ill: tolerances are tried at this rate
LEAST_HISTORY_INTERVALS = 10  # fewer consecutive intervals do not show the baseline's own unrest


class Claims:
    """What may be used once in the whole file: who claimed it first, and where."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, ...], Path] = {}

    def claim(self, section: Section, key: keys.Key[object], value: tuple[str, ...], why: str) -> None:
        """Refuse `value` when somebody else has it. Letter case does not tell Azure's names apart."""
        if not section.good(key):
            return
        identity = (key.name, *(part.lower() for part in value))
        path = (*section.path, key.name)
        first = self._owners.setdefault(identity, path)
        if first != path:
            section.trouble(key, f"{spelled(first)} uses it already: {why}")


def check_tolerance(one: Section, indicator: Indicator) -> None:
    """Refuse a tolerance that allows everything, and one that no equal version could meet."""
    if not one.good(keys.POINTS, keys.RATIO, keys.QUANTILE):
        return
    quantile = indicator.quantile if indicator.kind is IndicatorKind.QUANTILE else None
    rate = HEALTHY_RATE if quantile is None else max(HEALTHY_RATE, 1 - quantile)
    got = f"points {indicator.points * 100:g} and ratio {indicator.ratio:g}"
    if indicator.points + indicator.ratio * rate >= 1:
        advice = (
            f"with {rate * 100:g} % bad requests of the baseline this tolerates 100 % of the canary's: "
            "write what is tolerable, such as points: 0.5 and ratio: 1.25"
        )
        one.problems.add(one.path, got, advice)
    if 0 < indicator.ratio < 1 or indicator.points == indicator.ratio == 0:
        # 0.25, meant as "a quarter more", would roll back an equal canary as soon as both fail a little.
        advice = (
            "this asks the canary to be better than a baseline that fails more: "
            "write ratio: 1 or more (1.25 = a quarter more), or 0 beside points above 0 for a fixed limit"
        )
        one.problems.add(one.path, got, advice)


def check_pin(section: Section, gate: Section, expert: Section, pin: Pin) -> None:
    """Refuse shares and durations of one service that contradict each other; compared only where both are good."""
    _steps(section, pin.steps)
    if expert.good(keys.INTERVAL):
        _rhythm(section, pin)
        _gate_time(gate, pin)
        if expert.good(keys.SETTLE):
            _times(section, pin)


def _steps(section: Section, steps: tuple[int, ...]) -> None:
    if not section.good(keys.STEPS):
        return
    if not steps or steps[-1] != 100:
        section.trouble(keys.STEPS, "end with 100, such as [10, 50, 100]")
    elif len(steps) == 1:
        section.trouble(keys.STEPS, "write a share below 100 first, so that something is judged: [10, 50, 100]")
    if any(later <= earlier for earlier, later in itertools.pairwise(steps)):
        section.trouble(keys.STEPS, f"write increasing shares, such as {sorted(set(steps) | {100})}")


def _rhythm(section: Section, pin: Pin) -> None:
    """Durations that are counted in intervals are whole intervals."""
    interval = pin.interval_seconds
    spans = (
        (keys.BAKE, pin.bake_seconds),
        (keys.DEADLINE, pin.deadline_seconds),
        (keys.WATCH, pin.watch_seconds),
        (keys.HISTORY, pin.history_seconds),
    )
    for key, span in spans:
        if section.good(key) and span % interval:
            nearest = duration_text(max(1, round(span / interval)) * interval)
            advice = f"write a multiple of the interval of {duration_text(interval)}, such as {nearest}"
            section.trouble(key, advice)
    least = LEAST_HISTORY_INTERVALS * interval
    if section.good(keys.HISTORY) and pin.history_seconds < least:
        section.trouble(keys.HISTORY, f"write {duration_text(least)} or more ({LEAST_HISTORY_INTERVALS} intervals)")


def _times(section: Section, pin: Pin) -> None:
    """What must fit into what."""
    if section.good(keys.BAKE, keys.DEADLINE) and pin.bake_seconds > pin.deadline_seconds:
        key = keys.BAKE if section.wrote(keys.BAKE) else keys.DEADLINE
        bake, deadline = duration_text(pin.bake_seconds), duration_text(pin.deadline_seconds)
        advice = f"bake ({bake}) must fit into deadline ({deadline}): write a shorter bake or a longer deadline"
        section.trouble(key, advice)
    interval, settle = pin.interval_seconds, duration_text(pin.settle_seconds)
    seen = math.ceil((pin.propagation_seconds + pin.settle_seconds) / interval + 1) * interval
    if section.good(keys.DEADLINE) and pin.deadline_seconds < seen:
        advice = f"no interval is settled sooner after a raise (expert.settle is {settle})"
        section.trouble(keys.DEADLINE, f"{advice}: write {duration_text(seen)} or more")
    if section.good(keys.WATCH) and pin.watch_seconds <= pin.settle_seconds:
        advice = f"a fault would show after its end: write more than expert.settle ({settle})"
        section.trouble(keys.WATCH, advice)
    if section.good(keys.STEPS, keys.DEADLINE, keys.WATCH) and pin.horizon > keys.MAX_HORIZON:
        advice = (
            f"all deadlines and the watch are {pin.horizon} intervals: write shorter ones, "
            f"or a longer expert.interval, for at most {keys.MAX_HORIZON}"
        )
        section.trouble(keys.DEADLINE, advice)


def _gate_time(gate: Section, pin: Pin) -> None:
    if not gate.good(keys.SUCCESSES, keys.GATE_DEADLINE):
        return
    least = pin.gate.successes * pin.interval_seconds
    if pin.gate.deadline_seconds < least:
        advice = f"{pin.gate.successes} successes, one each {duration_text(pin.interval_seconds)}, take longer: "
        gate.trouble(keys.GATE_DEADLINE, f"{advice}write {duration_text(least)} or more, or fewer successes")
