"""Commands of people: every command in every phase, under whatever is seen of the world, decides or is refused."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from analyzers.judge.verdict import Verdict, VerdictKind
from rollouts.command import Command, CommandKind, command, shift_after
from rollouts.decision import Decision
from rollouts.errors import Refused
from rollouts.holds import HOLDS
from rollouts.notice import NoticeKind
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading, Probe, Slot, Standing, Weights
from rollouts.returning import begin_return, return_to_baseline
from rollouts.rollout import Hold, HoldReason, Outcome, Phase, Rollout
from rollouts.rule import drift
from rollouts.states import TABLE
from rollouts.target import wants_write
from tests.storing.examples import START, pin, rollout

NOW = START + 60
SHARES = (0, 5, 10, 30, 50, 70, 99, 100)
HARMFUL = Verdict(
    kind=VerdictKind.HARMFUL, indicators=(), alpha=0.01, beta=0.01, looks=9, step_looks=9, share=10, one_sample=False
)


def reading(share: int) -> PoolReading:
    return PoolReading(weights=Weights.of(Slot.GREEN, share), etag="1")


def marker(live: Slot) -> MarkerReading:
    return MarkerReading(live=live, etag="1")


def standing_at(phase: Phase, share: int, live: Slot, **changes: Any) -> Rollout:
    return rollout(
        phase=phase,
        share=share,
        marker=live,
        step={0: 0, 10: 0, 50: 1}.get(share, 2),
        pool_seen=reading(share),
        marker_seen=marker(live),
        **changes,
    )


ROLLOUTS = {
    "gate": standing_at(Phase.GATE, 0, Slot.BLUE),
    "step 10": standing_at(Phase.STEP, 10, Slot.BLUE),
    "step 50": standing_at(Phase.STEP, 50, Slot.BLUE),
    "step 50, suspected in the watch": standing_at(Phase.STEP, 50, Slot.GREEN),
    "switch": standing_at(Phase.SWITCH, 100, Slot.GREEN),
    "watch": standing_at(Phase.WATCH, 100, Slot.GREEN),
    "rolling back": standing_at(Phase.CLOSING, 0, Slot.BLUE, outcome=Outcome.ROLLED_BACK),
    "promoting": standing_at(Phase.CLOSING, 100, Slot.GREEN, outcome=Outcome.PROMOTED),
    "rolled back": standing_at(Phase.CLOSED, 0, Slot.BLUE, outcome=Outcome.ROLLED_BACK),
    "promoted": standing_at(Phase.CLOSED, 100, Slot.GREEN, outcome=Outcome.PROMOTED),
}
COMMANDS = [Command(kind=kind, actor="ada") for kind in CommandKind if kind is not CommandKind.SHIFT] + [
    Command(kind=CommandKind.SHIFT, actor="ada", share=share) for share in SHARES
]
LOWERING = (CommandKind.ABORT, CommandKind.ROLLBACK)
MAY_BE_SHIFTED = (Phase.STEP, Phase.SWITCH, Phase.WATCH)


def worlds() -> Iterator[Observation]:
    """Every pool, marker, mode and switch."""
    pools = [*map(reading, (0, 5, 10, 30, 50, 100)), Failed(what="pool", detail="no answer")]
    markers = [marker(Slot.BLUE), marker(Slot.GREEN), Failed(what="marker", detail="it says teal")]
    for pool, live, mode, off in itertools.product(pools, markers, Mode, (False, True)):
        yield Observation(
            pool=pool, marker=live, telemetry=None, probes={}, standing=Standing(mode=mode, off=off, channels=("team",))
        )


def tried(before: Rollout, asked: Command, seen: Observation) -> Decision | str:
    """What is decided, or the reason why not."""
    try:
        return command(before, asked, seen, NOW)
    except Refused as refused:
        return str(refused)


def named(asked: Command) -> str:
    return asked.kind if asked.share is None else f"{asked.kind} {asked.share}"


def given(before: Rollout, seen: Observation) -> int:
    """The share that the canary has, as far as it was read."""
    return seen.pool.weights.share(Slot.GREEN) if isinstance(seen.pool, PoolReading) else before.share


def undisturbed(before: Rollout, seen: Observation) -> bool:
    """Pool and marker were read and are as the rollout wants them, and are ours to write."""
    return (
        isinstance(seen.pool, PoolReading)
        and isinstance(seen.marker, MarkerReading)
        and (seen.pool.weights, seen.marker.live) == (before.weights, before.marker)
        and seen.standing == Standing(mode=Mode.ACT, channels=("team",))
    )


@pytest.mark.parametrize("asked", COMMANDS, ids=named)
@pytest.mark.parametrize("name", ROLLOUTS)
def test_every_command_in_every_phase_decides_or_says_why_not(name: str, asked: Command) -> None:
    """The phase moves by the table alone, nobody gains share on harm or past another hand, weights stay in 0..100."""
    for verdict, seen in itertools.product((None, HARMFUL), worlds()):
        before = replace(ROLLOUTS[name], verdict=verdict)
        after = tried(before, asked, seen)
        if isinstance(after, str):
            assert before.id in after or asked.kind in after, "a refusal names what it is about"
            continue
        assert before.phase is not Phase.CLOSED
        moves = {phase for phase, _ in TABLE[before.phase].values()} | {before.phase}
        assert after.rollout.phase in moves
        if after.rollout.share > before.share:
            assert verdict is None, "a harmful version never gains share"
        if after.rollout.share > max(before.share, given(before, seen)):
            assert undisturbed(before, seen)
        if after.rollout.phase is Phase.CLOSING and asked.kind in LOWERING and seen.standing.mode is Mode.ACT:
            assert (after.rollout.share, after.rollout.marker) == (0, Slot.BLUE)


@pytest.mark.parametrize("name", [one for one in ROLLOUTS if ROLLOUTS[one].phase is not Phase.CLOSED])
@pytest.mark.parametrize("kind", [CommandKind.ABORT, CommandKind.ROLLBACK])
def test_an_end_is_carried_out_past_another_hand_or_refused_where_nothing_is_written(
    name: str, kind: CommandKind
) -> None:
    """What was seen when it was said stands in nobody's way; but nothing ends as rolled back with traffic on it."""
    if (name, kind) == ("gate", CommandKind.ROLLBACK):
        return  # `canary abort` ends a gate
    for verdict, seen in itertools.product((None, HARMFUL), worlds()):
        before = replace(ROLLOUTS[name], verdict=verdict)
        after = tried(before, Command(kind=kind, actor="ada"), seen)
        if seen.standing.mode is not Mode.ACT and given(before, seen) and name != "gate":
            assert isinstance(after, str)
            assert "`canary shift checkout 0 --slot green --direct` takes it out" in after
            continue
        assert isinstance(after, Decision), after
        assert drift(after.rollout, seen) is None
        there = isinstance(seen.pool, PoolReading) and seen.pool.weights == after.rollout.weights
        if seen.standing.mode is Mode.ACT and not seen.standing.off and not there:
            assert wants_write(after.rollout, seen.standing, seen.pool, seen.marker)


@pytest.mark.parametrize("name", [one for one in ROLLOUTS if ROLLOUTS[one].phase is not Phase.CLOSED])
def test_shift_to_0_is_abort_and_to_100_is_promote(name: str) -> None:
    """The same decision, but for the word; where that share is given already, nothing."""
    before = ROLLOUTS[name]
    for seen in worlds():
        for share, kind in ((0, CommandKind.ABORT), (100, CommandKind.PROMOTE)):
            shifted = tried(before, Command(kind=CommandKind.SHIFT, actor="ada", share=share), seen)
            same = tried(before, Command(kind=kind, actor="ada"), seen)
            if isinstance(shifted, Decision) and not shifted.recorded:
                assert before.share == share
                assert "already" in shifted.sentence
            elif before.share == 100 == share:
                assert isinstance(shifted, str), "promote would end the watch: 100 does not"
            elif isinstance(shifted, str):
                assert shifted == same
            else:
                assert isinstance(same, Decision)
                assert shifted.sentence == same.sentence.replace(f"{kind} by ada", "shift by ada")
                assert (shifted.rollout.phase, shifted.rollout.outcome, shifted.rollout.share) == (
                    same.rollout.phase,
                    same.rollout.outcome,
                    same.rollout.share,
                )


@pytest.mark.parametrize("share", range(1, 100))
@pytest.mark.parametrize("name", [one for one in ROLLOUTS if ROLLOUTS[one].phase in MAY_BE_SHIFTED])
def test_a_lower_share_is_always_allowed_and_a_higher_one_only_undisturbed(name: str, share: int) -> None:
    """From what the pool gives: it is what users have."""
    asked = Command(kind=CommandKind.SHIFT, actor="ada", share=share)
    for verdict, seen in itertools.product((None, HARMFUL), worlds()):
        before = replace(ROLLOUTS[name], verdict=verdict)
        after = tried(before, asked, seen)
        has = given(before, seen)
        if seen.standing.mode is not Mode.ACT:
            assert isinstance(after, str) or not after.recorded
        elif share > before.share and verdict is not None:
            assert isinstance(after, str)
            assert "HARMFUL" in after
        elif share < has or share == has == before.share:
            assert isinstance(after, Decision), after
            assert after.rollout.share == share
            assert after.rollout.phase is Phase.STEP
            assert drift(after.rollout, seen) is None or not after.recorded
        elif share > has:
            assert isinstance(after, str) or undisturbed(before, seen)


@pytest.mark.parametrize("share", range(1, 100))
def test_the_next_step_is_the_first_one_above(share: int) -> None:
    """And said again it changes nothing."""
    before = replace(ROLLOUTS["watch"], phase=Phase.WATCH)
    seen = Observation(
        pool=reading(100), marker=marker(Slot.GREEN), telemetry=None, probes={}, standing=Standing(mode=Mode.ACT)
    )
    asked = Command(kind=CommandKind.SHIFT, actor="ada", share=share)
    after = command(before, asked, seen, NOW).rollout
    assert after.pin.steps[after.step + 1] == next(one for one in after.pin.steps if one > share)
    again = command(after, asked, seen, NOW + 1)
    assert (again.rollout, again.recorded) == (after, False)
    assert f"{share} % for green is so already decided; the pool still gives it 100 %" in again.sentence
    assert again.sentence.startswith("shift by ada: ")


@pytest.mark.parametrize("slot", [None, *Slot])
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("name", ["promoted", "rolled back"])
def test_after_the_end_a_shift_is_so_already_or_the_rollback_or_refused(
    name: str, share: int, slot: Slot | None
) -> None:
    """Never a share that nobody would watch; so already is what was read."""
    before = ROLLOUTS[name]
    asked = Command(kind=CommandKind.SHIFT, actor="ada", reason="numbers", share=share, slot=slot)
    canary = 100 - share if slot is Slot.BLUE else share
    for seen in worlds():
        live = {0: Slot.BLUE, 100: Slot.GREEN}.get(canary)
        is_so = isinstance(seen.pool, PoolReading) and seen.pool.weights.share(Slot.GREEN) == canary
        is_so = is_so and isinstance(seen.marker, MarkerReading) and live in (None, seen.marker.live)
        try:
            instead = shift_after(before, asked, seen)
        except Refused as refused:
            assert not is_so
            assert "no rollout of checkout is active" in str(refused)
            continue
        if instead is None:
            assert is_so
        else:
            assert (instead.kind, instead.actor, instead.reason) == (CommandKind.ROLLBACK, "ada", "numbers")
            assert (name, canary) == ("promoted", 0)


def test_a_rollback_after_the_end_starts_from_wherever_the_weights_are() -> None:
    """Another hand since the promotion does not keep the old version from coming back."""
    asked = Command(kind=CommandKind.ROLLBACK, actor="ada")
    promoted = ROLLOUTS["promoted"]
    record = return_to_baseline([promoted], asked, "checkout-20261124T053000-ffffff", NOW)
    old = Probe(healthy=True, version=record.baseline_version, detail="200")
    for seen in worlds():
        if seen.standing.mode is Mode.ACT:
            after = begin_return(record, promoted, asked, replace(seen, probes={Slot.BLUE: old}), NOW).rollout
            assert (after.share, after.marker, after.outcome) == (0, Slot.BLUE, Outcome.ROLLED_BACK)
            assert drift(after, seen) is None


def after_promotion(number: int, **changes: Any) -> Rollout:
    """A rollout of 1.5.NUMBER on the old slot after the promoted one, at its gate to the end."""
    given = {"version": f"1.5.{number}", "canary": Slot.BLUE, "marker": Slot.GREEN, "phase": Phase.CLOSED}
    return rollout(started_at=START + 3600 * number, **(given | {"outcome": Outcome.REJECTED} | changes))


PROMOTED = replace(ROLLOUTS["promoted"], baseline_version="1.4.1")
ASKED = Command(kind=CommandKind.ROLLBACK, actor="ada")
HERE = Observation(
    pool=reading(100), marker=marker(Slot.GREEN), telemetry=None, probes={}, standing=Standing(mode=Mode.ACT)
)
OLD = Probe(healthy=True, version="1.4.1", detail="200")


def returned(history: list[Rollout], old: Probe) -> Decision:
    """What `rollback` leads to when the slot that served before the promotion answers `old`."""
    record = return_to_baseline(history, ASKED, "checkout-20261125T053000-ffffff", NOW)
    return begin_return(record, history[0], ASKED, replace(HERE, probes={Slot.BLUE: old}), NOW)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.ABORTED, Outcome.SUPERSEDED])
def test_a_version_that_never_came_to_the_old_slot_does_not_keep_the_promoted_one_from_going_back(
    outcome: Outcome,
) -> None:
    """With the pool and slots of the newest rollout, which are those of today."""
    latest = after_promotion(2, outcome=outcome, pin=pin(pool="new-pool"))
    decision = returned([latest, after_promotion(1), PROMOTED], OLD)
    after = decision.rollout
    assert (after.version, after.canary, after.share, after.marker) == (PROMOTED.version, Slot.GREEN, 0, Slot.BLUE)
    assert (after.outcome, after.pin.pool) == (Outcome.ROLLED_BACK, "new-pool")
    assert f"blue answers version 1.4.1; 1.5.2 ({latest.id}, {outcome}) never came there" in decision.sentence


@pytest.mark.parametrize(
    ("old", "said"),
    [
        (Probe(healthy=True, version="1.5.1", detail="200"), "1.4.1, which 1.4.2 replaced, is gone"),
        (Probe(healthy=True, version=None, detail="200"), "blue answers version unknown: that 1.4.1 which 1.4.2"),
        (Probe(healthy=False, version="1.4.1", detail="503"), "blue does not answer: 503: that 1.4.1 which 1.4.2"),
    ],
)
def test_after_a_later_rollout_the_old_version_must_answer_for_itself(old: Probe, said: str) -> None:
    """The later deployment may have replaced it: what cannot be proven brings nobody there."""
    with pytest.raises(Refused) as refused:
        returned([after_promotion(1), PROMOTED], old)
    assert said in str(refused.value)
    assert "`canary target checkout`" in str(refused.value)
    with pytest.raises(Refused, match=r"the version which 1\.4\.2 replaced is still there cannot be proven"):
        returned([after_promotion(1), replace(PROMOTED, baseline_version=None)], OLD)


def test_a_rollback_names_what_came_between_a_promotion_and_now() -> None:
    for between, said in (
        (after_promotion(1, arrived=True), "blue got 1.5.1"),
        (after_promotion(1, canary=Slot.GREEN, share=100), "1.5.1 came to green, which is live"),
        (rollout(deployment_id=f"rollback-of-{PROMOTED.id}", outcome=Outcome.ROLLED_BACK), "was rolled back already"),
    ):
        with pytest.raises(Refused, match=said):
            returned([after_promotion(2), between, PROMOTED], OLD)
    with pytest.raises(Refused, match="no promotion before it is kept"):
        returned([after_promotion(1)], OLD)


@pytest.mark.parametrize("kind", [CommandKind.ABORT, CommandKind.ROLLBACK, CommandKind.SHIFT])
@pytest.mark.parametrize("outcome", [Outcome.ROLLED_BACK, Outcome.ABORTED, Outcome.SUPERSEDED])
def test_an_end_that_is_decided_stays_what_it_is(outcome: Outcome, kind: CommandKind) -> None:
    """A nervous `abort` does not make a proven harm a mere abort, and says what users have."""
    before = replace(ROLLOUTS["rolling back"], outcome=outcome)
    seen = Observation(
        pool=reading(10), marker=marker(Slot.BLUE), telemetry=None, probes={}, standing=Standing(mode=Mode.ACT)
    )
    after = command(before, Command(kind=kind, actor="ada", share=0), seen, NOW)
    assert (after.rollout.outcome, after.rollout.ending) == (outcome, before.ending)
    assert f"{outcome} is decided already; green has 10 %" in after.sentence
    assert wants_write(after.rollout, seen.standing, seen.pool, seen.marker)


def test_after_the_end_a_refusal_says_what_is_so_and_what_helps() -> None:
    ended = ROLLOUTS["rolled back"]
    for closed, kind, instead in (
        (ROLLOUTS["promoted"], CommandKind.ABORT, "`canary rollback checkout` goes back"),
        (ended, CommandKind.PROMOTE, f"`canary start checkout {ended.version}` begins it again"),
        (ended, CommandKind.RESUME, f"`canary start checkout {ended.version}` begins it again"),
    ):
        with pytest.raises(Refused, match=instead):
            command(closed, Command(kind=kind, actor="ada"), next(worlds()), NOW)
    everywhere = replace(ROLLOUTS["promoted"], outcome=Outcome.ABORTED)  # deployed to the live slot
    for closed, said in ((everywhere, "100 % of the traffic"), (ROLLOUTS["rolled back"], "no traffic")):
        with pytest.raises(Refused, match=said):
            return_to_baseline([closed], Command(kind=CommandKind.ROLLBACK, actor="ada"), "record", NOW)


@pytest.mark.parametrize("reason", HoldReason)
@pytest.mark.parametrize("verdict", [None, HARMFUL])
def test_resume_ends_only_what_does_not_come_back_at_the_next_look(reason: HoldReason, verdict: Verdict | None) -> None:
    """Else the chat hears "resumed" and a second later "held"; the refusal says what to type instead."""
    before = replace(ROLLOUTS["step 10"], hold=Hold(reason=reason, since=NOW, detail="so"), verdict=verdict)
    seen = next(worlds())
    after = tried(before, Command(kind=CommandKind.RESUME, actor="ada"), seen)
    ends = {HoldReason.DEADLINE, HoldReason.BASELINE_CHANGED}
    if verdict is None:
        ends.add(HoldReason.ROLLBACK_ASKED)
    if reason in ends:
        assert isinstance(after, Decision)
        assert after.rollout.hold is None
    else:
        assert isinstance(after, str)
        assert f"Type {HOLDS[reason].typed(service='checkout', share=10, slot='green')}" in after


def test_a_promotion_by_hand_is_told_with_who_and_why() -> None:
    """The card of the switch says what was read back; without this one the chat would think it was proven."""
    seen = Observation(
        pool=reading(10),
        marker=marker(Slot.BLUE),
        telemetry=None,
        probes={},
        standing=Standing(mode=Mode.ACT, channels=("team",)),
    )
    asked = Command(kind=CommandKind.PROMOTE, actor="ada", reason="trust me")
    told = command(ROLLOUTS["step 10"], asked, seen, NOW).notices
    assert [(one.kind, one.text) for one in told] == [
        (NoticeKind.RECORD, "promote by ada: trust me: from 10 to 100 % without waiting for the proof")
    ]


def test_an_approval_ends_the_waiting_for_its_own_share_alone() -> None:
    hold = Hold(reason=HoldReason.APPROVAL, since=NOW, detail="50 % waits")
    for share, goes_on in ((None, True), (50, True), (10, False), (100, False)):
        asked = Command(kind=CommandKind.APPROVE, actor="ada", share=share)
        after = command(replace(ROLLOUTS["step 10"], hold=hold, approved=(10,)), asked, next(worlds()), NOW).rollout
        assert (after.hold is None) is goes_on
        assert set(after.approved) == {10, share or 50}, "one approval takes no other back"


@pytest.mark.parametrize("minutes", [0, -1, 43_201])
def test_a_pause_lasts_more_than_no_time_and_at_most_30_days(minutes: float) -> None:
    """The longest one is given; one that names no time lasts as the policy says."""
    seen = next(worlds())
    with pytest.raises(Refused, match=f"minutes is {minutes}: give a number above 0 and at most 43200"):
        command(ROLLOUTS["step 10"], Command(kind=CommandKind.PAUSE, actor="ada", minutes=minutes), seen, NOW)
    for given, lasts in ((43_200, 30 * 86_400), (None, ROLLOUTS["step 10"].pin.limits.pause_seconds)):
        paused = command(ROLLOUTS["step 10"], Command(kind=CommandKind.PAUSE, actor="ada", minutes=given), seen, NOW)
        assert paused.rollout.pause is not None
        assert paused.rollout.pause.until == NOW + lasts


def test_a_share_outside_of_0_to_100_or_none_is_refused() -> None:
    """Also after the end."""
    seen = next(worlds())
    for share in (None, -1, 101):
        asked = Command(kind=CommandKind.SHIFT, actor="ada", share=share)
        with pytest.raises(Refused, match=f"share is {share}: give a whole number from 0 to 100"):
            command(ROLLOUTS["step 10"], asked, seen, NOW)
        with pytest.raises(Refused, match="from 0 to 100"):
            shift_after(ROLLOUTS["promoted"], asked, seen)
