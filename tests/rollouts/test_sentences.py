"""What a verdict says: both numbers, each of its own slot, against its own limit, with the name of its knob."""

from typing import Any, Literal

import pytest
from msgspec.structs import replace

from analyzers.judge.verdict import Verdict, VerdictKind
from rollouts.draft import Draft
from rollouts.explain import lines, to_come, verdict_sentence
from rollouts.observation import MarkerReading, Mode, Observation, PoolReading, Slot, Standing
from rollouts.rollout import Phase
from rollouts.states import Event
from tests.storing.examples import START, pin, rollout, verdict

[ONE] = verdict().indicators
EVIDENCE = replace(
    ONE,
    canary=replace(ONE.canary, bad=31, requests=400, rate=0.0775),
    baseline=replace(ONE.baseline, bad=38, requests=4100, rate=0.00927),
    harm=12.3,
    harm_limit=5.3,
    safe=2.2,
    safe_limit=4.6,
)
BOTH = (
    "failures: canary 31/400 (7.75 %) bad against baseline 38/4100 (0.93 %), tolerated 1.75 % "
    "(indicators.failures.points 0.5, indicators.failures.ratio 1.25)"
)


def said(kind: VerdictKind, **changes: Any) -> str:
    given = {"indicators": (EVIDENCE,), "indicator": "failures", "alpha": 0.02, "beta": 0.03}
    return verdict_sentence(replace(verdict(), kind=kind, **(given | changes)), pin())


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (VerdictKind.HARMFUL, {}, f"{BOTH}: worse than tolerated, evidence 12.3 of 5.3 (expert.alpha 2 %)"),
        (
            VerdictKind.SAFE,
            {},
            "failures canary 31/400 (7.75 %), baseline 38/4100 (0.93 %), evidence 2.2 of 4.6 (expert.beta 3 %)",
        ),
        (VerdictKind.BASELINE_WORSE, {}, f"{BOTH}: the baseline is the worse one, beyond the tolerance"),
        (
            VerdictKind.ONE_INSTANCE,
            {"instance": "green-7"},
            f"{BOTH}: the harm sits in one instance, green-7; without it the evidence is not there",
        ),
        (
            VerdictKind.SHARED,
            {"why": "Since 05:28."},
            f"{BOTH}: the baseline itself left its history, the canary is not worse. Since 05:28.",
        ),
        (VerdictKind.BLIND, {"why": "no rows of either slot"}, "no rows of either slot"),
        (VerdictKind.UNOBSERVED, {"why": "4 rows of 900"}, "4 rows of 900"),
        (VerdictKind.UNDECIDED, {"why": "nothing is settled yet"}, "nothing is settled yet"),
    ],
)
def test_a_verdict_can_be_read_alone(kind: VerdictKind, changes: dict[str, Any], sentence: str) -> None:
    assert said(kind, **changes) == sentence


def test_the_operation_that_decides_is_named() -> None:
    assert "worse than tolerated in operation POST /pay, evidence" in said(VerdictKind.HARMFUL, operation="POST /pay")


def test_what_is_not_proven_yet_says_what_it_waits_for() -> None:
    """Each indicator against the limit of proof, not of harm; a note goes before a forecast."""
    waiting = replace(EVIDENCE, requests_needed=1200, seconds_needed=600)
    shown = "failures canary 31/400 (7.75 %), baseline 38/4100 (0.93 %), evidence 2.2 of 4.6"
    assert said(VerdictKind.UNDECIDED, indicators=(waiting,)) == (
        f"not proven yet: {shown}, about 1200 more requests (10 min)"
    )
    noted = replace(waiting, note="T is not pinned yet")
    assert said(VerdictKind.UNDECIDED, indicators=(noted,)) == f"not proven yet: {shown} (T is not pinned yet)"
    near, proven = replace(waiting, safe=4.9, safe_limit=5.0), replace(waiting, safe=5.0, safe_limit=5.0, harm_limit=9)
    assert said(VerdictKind.UNDECIDED, indicators=(near, proven)).count("evidence") == 1
    assert said(VerdictKind.UNDECIDED, indicators=(proven,)) == "nothing is judged yet"


def test_a_line_of_a_card_holds_each_evidence_against_its_own_limit() -> None:
    judged: Verdict = replace(verdict(), indicators=(EVIDENCE,))
    [line] = lines(judged, pin(), {})
    assert (line.canary, line.baseline) == ("31/400 (7.75 %)", "38/4100 (0.93 %)")
    assert (line.tolerated, line.harm, line.safe) == ("1.75 %", "12.3 of 5.3", "2.2 of 4.6")


def test_what_comes_next_names_the_next_share_and_the_policy_of_the_deadline() -> None:
    late = pin(at_deadline="rollback")
    assert [to_come(late, step).split(" when")[0] for step in (-1, 0, 1)] == ["Next: 10 %", "Next: 50 %", "Next: 100 %"]
    assert to_come(late, 0).endswith("not before 10 min (bake); neither proven nor refuted in 2 h (deadline): rollback")


@pytest.mark.parametrize(
    ("event", "policy", "harm"),
    [
        (True, "auto", "is asked about (rollback: ask)"),
        (False, "ask", "is asked about (rollback: ask)"),
        (False, "auto", "takes it back"),
    ],
)
def test_the_card_of_a_switch_says_what_harm_does_from_now_on(
    event: bool, policy: Literal["auto", "ask"], harm: str
) -> None:
    """Whoever wished to be asked, the event or the policy."""
    before = rollout(
        phase=Phase.SWITCH, share=100, marker=Slot.GREEN, ask_before_rollback=event, pin=pin(rollback=policy)
    )
    pool, marker = PoolReading(weights=before.weights, etag="1"), MarkerReading(live=Slot.GREEN, etag="1")
    seen = Observation(pool=pool, marker=marker, telemetry=None, probes={}, standing=Standing(mode=Mode.ACT))
    draft = Draft(before, before, seen, START)
    draft.act(Event.SWITCHED, "both were read back")
    [notice] = draft.notices
    assert notice.text.endswith(f". Next: promoted in 30 min (watch); until then harm {harm}")
