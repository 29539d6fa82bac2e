"""One decision in the making: how a ruling becomes the next state, its sentence and its notices."""

from msgspec.structs import replace

from analyzers.judge.verdict import VerdictKind
from rollouts import limits
from rollouts.decision import Decision
from rollouts.errors import InvariantBroken
from rollouts.explain import duration, lines, to_come
from rollouts.holds import HOLDS
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading
from rollouts.rollout import Hold, HoldReason, Outcome, Phase, Rollout
from rollouts.rule import Ruling, unheld_from
from rollouts.states import Event, move
from rollouts.target import in_place, pool_is_ours, wants_write
from rollouts.witness import nearest_step, newly_settled

_OURS_TO_MOVE = frozenset(
    {Event.GATE_PASSED, Event.RAISED, Event.LOWERED, Event.PROVEN, Event.SUSPECTED, Event.HARM, Event.EXPIRED}
)
_ONLY_LATE = (Event.GATE_EXPIRED, Event.EXPIRED)  # nothing is known against the version: no hand is fought for that
_TO_ZERO = (Event.HARM, Event.EXPIRED)
_TOLD_AS = {
    Outcome.PROMOTED: NoticeKind.PROMOTED,
    Outcome.ROLLED_BACK: NoticeKind.ROLLED_BACK,
    Outcome.REJECTED: NoticeKind.REJECTED,
    Outcome.SUPERSEDED: NoticeKind.SUPERSEDED,
    Outcome.ABORTED: NoticeKind.ABORTED,
}
_UNSEEING = (HoldReason.BLIND, HoldReason.POOL_UNREADABLE, HoldReason.MARKER_UNKNOWN)


class Draft:
    """One decision in the making: the rollout so far, the notices so far. Used once, inside this package."""

    def __init__(self, before: Rollout, looked: Rollout, seen: Observation, now: float) -> None:
        self.before = before
        self.rollout = looked
        self.seen = seen
        self.now = now
        self.notices: list[Notice] = []
        self.kind: NoticeKind | None = None
        self.sentence = looked.reason
        self.changed = False
        self.adopted: int | None = None  # the share that a person gives, for Event.ADOPTED; None = the one it has

    def decision(self, *, settled: bool) -> Decision:
        """The finished value, checked against the invariants."""
        rollout = self.rollout
        kinds = (self.before.verdict and self.before.verdict.kind, rollout.verdict and rollout.verdict.kind)
        recorded = self.changed or bool(self.notices) or kinds[0] != kinds[1] or self.before.share != rollout.share
        if recorded:
            rollout = replace(rollout, decisions=rollout.decisions + 1)
        check(self.before, rollout, self.seen.standing.mode)
        return Decision(
            rollout=rollout,
            at=self.now,
            phase_before=self.before.phase,
            share_before=self.before.share,
            kind=self.kind,
            sentence=self.sentence,
            notices=tuple(self.notices),
            verdict=rollout.verdict,
            hold=rollout.hold.reason if rollout.hold else None,
            outcome=rollout.outcome,
            recorded=recorded,
            settled=newly_settled(self.before, rollout, self.seen) if settled else None,
        )

    def remember_attempt(self) -> None:
        """What is about to be written is ours, even if the answer to the write is never heard."""
        rollout, pool, marker = self.rollout, self.seen.pool, self.seen.marker
        if not wants_write(rollout, self.seen.standing, pool, marker):
            return
        if rollout.share not in rollout.attempted:
            self.rollout = replace(rollout, attempted=(*rollout.attempted, rollout.share))
        first = not isinstance(pool, PoolReading) or pool.weights.share(rollout.canary) == 0
        said = marker.live if isinstance(marker, MarkerReading) else None
        switches = rollout.marker is rollout.canary and said is not rollout.canary
        if rollout.outcome is None and (first or switches):
            self.rollout = replace(self.rollout, reached_at=self.now)

    def tell(self, kind: NoticeKind, text: str, *, command: str | None = None) -> None:
        """A notice that goes out with this decision."""
        self.notices.append(self._notice(kind, text, command))
        self.kind = self.kind or kind

    def tell_when_done(self, kind: NoticeKind, text: str) -> None:
        """A notice that waits until pool and marker are read back. It replaces one that waits: that never happened."""
        self.rollout = replace(self.rollout, pending=(self._notice(kind, text, None),))
        self.kind = kind

    def release(self) -> None:
        """Pool and marker are as decided: what waited for that may be told, with the weights as read back."""
        if not in_place(self.rollout, self.seen.pool, self.seen.marker):
            return
        waiting = self.rollout.pending
        self.rollout = replace(self.rollout, write_failures=0, write_error="")
        if self.rollout.outcome is None:
            self.rollout = replace(self.rollout, reached_at=None)
        pool, marker = self.seen.pool, self.seen.marker
        if not isinstance(pool, PoolReading) or not isinstance(marker, MarkerReading):
            return
        self.notices += [replace(one, weights=pool.weights, live=marker.live, at=self.now) for one in waiting]
        self.rollout = replace(self.rollout, pending=())

    def notice_lost_way_back(self) -> None:
        """In the watch a changed baseline takes the way back away: said once, weights stay."""
        rollout = self.rollout
        probe = self.seen.probes.get(rollout.baseline)
        if rollout.phase is not Phase.WATCH or probe is None or not probe.healthy or not rollout.rollback_possible:
            return
        if probe.version is None or probe.version == rollout.baseline_version:
            return
        self.rollout = replace(rollout, rollback_possible=False)
        self.tell(
            NoticeKind.ALARM,
            f"{rollout.baseline} now answers version {probe.version} instead of {rollout.baseline_version}: "
            "the version to roll back to is gone; a rollback will be asked for, not done",
        )

    def apply(self, ruling: Ruling) -> None:
        """Turn a ruling into the next state, its sentence and its notices."""
        if ruling.event is not None and self._may_move(ruling.event):
            self.end_hold(quietly=True)
            self._move(ruling.event, ruling.why)
        elif ruling.event is not None:
            self.end_hold(quietly=True)
            self._advise(ruling.event, ruling.why)
        elif ruling.hold is not None:
            self._hold(ruling)
        else:
            self.end_hold(quietly=False)
            self.sentence = ruling.why
            self.rollout = replace(self.rollout, reason=ruling.why)

    def take_as_known(self) -> None:
        """Pool and marker as seen now may be written over: a person has seen them and decides what follows."""
        self.rollout = replace(self.rollout, **self._known())

    def _known(self) -> dict[str, object]:
        """The changes by which pool and marker, as seen now, are known to us and no drift."""
        rollout, pool, marker = self.rollout, self.seen.pool, self.seen.marker
        changes: dict[str, object] = {}
        if isinstance(pool, PoolReading) and not pool_is_ours(rollout, pool):
            changes["attempted"] = (*rollout.attempted, pool.weights.share(rollout.canary))
        if isinstance(marker, MarkerReading):
            changes["marker_seen"] = marker
        return changes

    def _unread(self) -> tuple[str, ...]:
        """What cannot be read now: whatever weights or marker are found there later, the end goes back from them."""
        seen = {"pool": self.seen.pool, "marker": self.seen.marker}
        return tuple(name for name, one in seen.items() if isinstance(one, Failed))

    def act(self, event: Event, why: str) -> None:
        """A person's event: it moves whatever the mode says of the controller's own moves."""
        self.end_hold(quietly=True)
        self._move(event, why)

    def _may_move(self, event: Event) -> bool:
        standing = self.seen.standing
        if standing.mode is Mode.ACT and not standing.off:
            return True
        if event is Event.GATE_PASSED:
            return standing.mode is not Mode.ACT  # the phase moves on, the weights are people's
        return event not in _OURS_TO_MOVE

    def _advise(self, event: Event, why: str) -> None:
        """What it would have done: told once in mode advise, recorded in mode observe."""
        wanted = {
            Event.RAISED: "raise the canary's share",
            Event.PROVEN: "go to 100 % and move the marker",
            Event.HARM: "roll back to 0",
            Event.SUSPECTED: "go back to the last judged share",
            Event.LOWERED: "go back one share",
            Event.EXPIRED: "go back to 0",
            Event.GATE_PASSED: "give the first share",
        }[event]
        why_not = "`canary off` is in force" if self.seen.standing.off else f"mode {self.seen.standing.mode}"
        self.sentence = f"Would {wanted} ({why_not}): {why}"
        key = f"{event}@{self.rollout.share}"
        if self.rollout.advised != key:
            self._recommend(0 if event in _TO_ZERO else self._target(event)[1])
        self.rollout = replace(self.rollout, advised=key, reason=self.sentence)

    def _recommend(self, share: int) -> None:
        """Say once what a person would type to do it; mode observe only records."""
        self.changed, self.kind = True, NoticeKind.ADVICE
        if self.seen.standing.mode is not Mode.OBSERVE:
            typed = HOLDS[HoldReason.CANNOT_WRITE].typed(
                service=self.rollout.service, share=share, slot=self.rollout.canary
            )
            self.tell(NoticeKind.ADVICE, self.sentence, command=typed)

    def _move(self, event: Event, why: str) -> None:
        rollout = self.rollout
        phase, outcome = move(rollout.id, rollout.phase, event)
        ours = self.seen.standing.mode is Mode.ACT
        changes: dict[str, object] = {"phase": phase, "phase_since": self.now, "advised": ""}
        step, share = self._target(event)
        if event in (Event.RAISED, Event.GATE_PASSED, Event.PROVEN):
            changes["raised_at"] = self.now
        if event is Event.LOWERED:
            changes["lowered_for_shared"] = True
        if phase is Phase.SWITCH:
            changes["marker"] = rollout.canary
        if outcome is not None:
            changes["outcome"] = outcome
            if ours and outcome is not Outcome.PROMOTED and rollout.phase is not Phase.GATE:
                share, changes["marker"] = 0, rollout.baseline
            if ours and outcome is not Outcome.PROMOTED and share == 0 and event not in _ONLY_LATE:
                # Back to 0 from wherever another hand put it: harm and abort always win.
                changes |= self._known() | {"unread": self._unread()}
        if phase is Phase.CLOSED:
            changes["closed_at"] = self.now
        if share != rollout.share and ours:
            changes |= {"share": share, "write_failures": 0, "write_error": ""}
        text = self._sentence(event, outcome, share, why)
        changes |= {"step": step, "reason": text}
        if outcome is not None:
            changes["ending"] = text
        self.rollout = replace(rollout, **changes)
        self.sentence, self.changed = text, True
        if event is Event.GATE_PASSED and not ours:
            self._recommend(share)
        elif kind := _kind(event, outcome):
            self.tell_when_done(kind, text + self._to_come(event))
            self.release()

    def _to_come(self, event: Event) -> str:
        """What a card adds to the sentence while the rollout goes on by itself."""
        rollout, pin = self.rollout, self.rollout.pin
        if self.seen.standing.mode is not Mode.ACT:  # what comes next is people's
            return ""
        match rollout.phase:
            case Phase.STEP:
                return f". {to_come(pin, rollout.step)}"
            case Phase.WATCH if event is Event.SWITCHED:
                asked = rollout.ask_before_rollback or pin.rollback == "ask"
                harm = "is asked about (rollback: ask)" if asked else "takes it back"
                return f". Next: promoted in {duration(pin.watch_seconds)} (watch); until then harm {harm}"
            case _:
                return ""

    def _target(self, event: Event) -> tuple[int, int]:
        """The step index and the share after `event`, before an end takes the share to 0."""
        rollout, steps = self.rollout, self.rollout.pin.steps
        match event:
            case Event.GATE_PASSED:
                step = 0
            case Event.RAISED:
                step = rollout.step + 1
            case Event.LOWERED:
                step = max(0, rollout.step - 1)
            case Event.PROVEN | Event.PROMOTE if rollout.phase is Phase.STEP:
                step = len(steps) - 1
            case Event.SUSPECTED:
                step = max(0, len(steps) - 2)
            case Event.ADOPTED:
                share = rollout.share if self.adopted is None else self.adopted
                return nearest_step(steps, share), share
            case _:
                return rollout.step, rollout.share
        return step, steps[step]

    def _sentence(self, event: Event, outcome: Outcome | None, share: int, why: str) -> str:
        rollout = self.rollout
        what = f"{rollout.service} {rollout.version}"
        back = ""
        if share > 0:  # it stood on the live slot, or the mode leaves the weights to people
            back = f". {rollout.canary} keeps its {share} %"
        elif rollout.phase is not Phase.GATE:
            back = ". Share set to 0"
        if event is Event.CARRIED_OUT:
            return rollout.ending
        if event is Event.SWITCHED:
            return f"{what} is live: {rollout.canary} has 100 % and {rollout.pin.marker} says so"
        if event is Event.GATE_PASSED and self.seen.standing.mode is not Mode.ACT:
            return f"{what}: would give {rollout.canary} {share} % (mode {self.seen.standing.mode}): {why}"
        if event is Event.SUSPECTED:
            return f"{what}: suspicion at 100 %. {why}. Back to {share} %, where both slots are compared side by side"
        match outcome:
            case Outcome.PROMOTED:
                return f"{what} is promoted: {why}"
            case Outcome.ROLLED_BACK:
                return f"{what} is rolled back: {why}{back}"
            case Outcome.REJECTED:
                return f"{what} is rejected, {self._without_us()}: {why}"
            case Outcome.SUPERSEDED:
                return f"{what} is superseded: {why}{back}"
            case Outcome.ABORTED:
                return f"{what} is aborted: {why}{back}"
            case None:
                change = f"{share} % as before" if share == rollout.share else f"{rollout.share} -> {share} %"
                return f"{what}: {change} for {rollout.canary}. {why}"

    def _without_us(self) -> str:
        """The traffic of a version that we gave none: another hand may have given it some."""
        pool = self.seen.pool
        if isinstance(pool, Failed):
            return "we gave it no traffic, and the pool cannot be read"
        has = pool.weights.share(self.rollout.canary)
        return f"we gave it no traffic, another hand gave it {has} %" if has else "it never got traffic"

    def _hold(self, ruling: Ruling) -> None:
        reason = ruling.hold
        if reason is None:
            raise InvariantBroken(f"rollout {self.rollout.id}: a hold without a reason")
        held, row = self.rollout.hold, HOLDS[reason]
        why = ruling.why[: 2 * limits.DETAIL_CHARACTERS]
        if held is None or held.reason is not reason:
            if held is not None:
                self._resume_clock()
            held, self.changed = _next_hold(held, reason, why, self.now), True
        else:
            held = replace(held, detail=why)
        self.sentence = f"{self.rollout.service} {self.rollout.version} is held ({reason}): {why}"
        self.rollout = replace(self.rollout, hold=held, reason=self.sentence)
        lasted = self.now - held.since
        quiet = (
            row.quiet_intervals * self.rollout.pin.interval_seconds
            if row.quiet_intervals is not None
            else row.limit_seconds(self.rollout.pin.limits) or 0
        )
        if held.told_at is None and lasted >= quiet:
            self._tell_hold(NoticeKind.HELD, self.sentence)
        elif held.told_at is not None and self.now - held.told_at >= row.reminder_seconds:
            self._tell_hold(NoticeKind.REMINDER, f"Still held, for {duration(lasted)}: {self.sentence}")

    def _tell_hold(self, kind: NoticeKind, text: str) -> None:
        hold = self.rollout.hold
        if hold is None:
            return
        self.tell(kind, text, command=typed(hold.reason, self.rollout))
        self.rollout = replace(self.rollout, hold=replace(hold, told_at=self.now))

    def end_hold(self, *, quietly: bool = True) -> None:
        """End the hold in force, if there is one; `quietly` without a notice of its own."""
        held = self.rollout.hold
        if held is None:
            return
        self._resume_clock()
        self.rollout = replace(self.rollout, hold=None)
        self.changed = True
        if held.told_at is not None and not quietly:
            self.tell(
                NoticeKind.RESUMED,
                f"{self.rollout.service} {self.rollout.version} goes on, it was held for "
                f"{duration(self.now - held.since)} ({held.reason})",
            )

    def _resume_clock(self) -> None:
        """Time spent held counts neither against the step's deadline nor as watched."""
        self.rollout = replace(self.rollout, clock_from=unheld_from(self.rollout, self.now))

    def _notice(self, kind: NoticeKind, text: str, command: str | None) -> Notice:
        rollout, pool, marker = self.rollout, self.seen.pool, self.seen.marker
        return Notice(
            id=f"{rollout.id}-{rollout.decisions + 1}-{kind}",
            kind=kind,
            service=rollout.service,
            rollout=rollout.id,
            version=rollout.version,
            canary=rollout.canary,
            at=self.now,
            text=text,
            channels=() if self.seen.standing.mode is Mode.OBSERVE else self.seen.standing.channels,
            weights=pool.weights if isinstance(pool, PoolReading) else None,
            live=marker.live if isinstance(marker, MarkerReading) else None,
            lines=lines(rollout.verdict, rollout.pin, rollout.thresholds_ms),
            link=rollout.link,
            command=command,
        )


def _next_hold(held: Hold | None, reason: HoldReason, why: str, now: float) -> Hold:
    """The hold that follows `held`. A look that sees nothing only interrupts a hold, whose limit is still reached."""
    behind = held
    if held is not None and held.behind is not None:
        behind = replace(held.behind, since=held.behind.since + now - held.since)  # unseen time does not count
    if behind is not None and behind.reason is reason:
        return replace(behind, detail=why, clocked_at=now)
    if reason not in _UNSEEING or behind is None or HOLDS[behind.reason].limit is None:
        behind = None
    return Hold(reason=reason, since=now, detail=why, behind=behind)


def _kind(event: Event, outcome: Outcome | None) -> NoticeKind | None:
    """What is told of a move; None = it is told by the move that follows it."""
    if outcome is not None:
        return _TOLD_AS[outcome]
    match event:
        case Event.GATE_PASSED | Event.RAISED:
            return NoticeKind.RAISED
        case Event.LOWERED | Event.SUSPECTED:
            return NoticeKind.LOWERED
        case Event.SWITCHED:
            return NoticeKind.SWITCHED
        case Event.ADOPTED:
            return NoticeKind.RECORD
        case _:
            return None


def typed(reason: HoldReason, rollout: Rollout) -> str:
    """What a person types. It names the slot: without it, `shift --direct` means whichever is not live by then."""
    return HOLDS[reason].typed(service=rollout.service, share=rollout.share, slot=rollout.canary)


def check(before: Rollout, after: Rollout, mode: Mode) -> None:
    """The invariants that a decision can break; in code, since tests see only what they try."""
    what = f"rollout {after.id}: "
    if not 0 <= after.share <= 100:
        raise InvariantBroken(f"{what}share {after.share} is outside 0..100")
    harmful = after.verdict is not None and after.verdict.kind is VerdictKind.HARMFUL
    if mode is Mode.ACT and harmful and after.share > before.share:
        raise InvariantBroken(f"{what}a harmful version would gain share ({before.share} -> {after.share})")
    if after.marker is after.canary and after.share == 0:
        raise InvariantBroken(f"{what}the marker would name {after.canary}, which has weight 0")
    if before.closed and after != before:
        raise InvariantBroken(f"{what}it is closed, and would change")
