"""The rollout: one version on its way through one slot. A frozen record; a decision makes the next one."""

from enum import StrEnum

import msgspec

from analyzers.judge.counts import Segment
from analyzers.judge.verdict import Verdict, VerdictKind
from rollouts import limits
from rollouts.notice import Notice
from rollouts.observation import MarkerReading, PoolReading, Slot, Standing, Weights
from rollouts.policy import Pin


class Phase(StrEnum):
    """Where a rollout stands (states.py holds the table)."""

    GATE = "gate"
    STEP = "step"
    SWITCH = "switch"
    WATCH = "watch"
    CLOSING = "closing"  # the end is decided; pool and marker are not yet read back as it wants them
    CLOSED = "closed"


JUDGED = (Phase.STEP, Phase.SWITCH, Phase.WATCH)  # the canary has traffic, or may have some


class Outcome(StrEnum):
    """How a rollout ended."""

    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"  # at its gate: we gave it no traffic
    SUPERSEDED = "superseded"
    ABORTED = "aborted"


class HoldReason(StrEnum):
    """Why a rollout does not move although nobody paused it (holds.py: one row each)."""

    BLIND = "blind"
    UNOBSERVED = "unobserved"
    SHARED = "shared"
    BASELINE_WORSE = "baseline_worse"
    ONE_INSTANCE = "one_instance"
    APPROVAL = "approval"
    DEADLINE = "deadline"
    DRIFT = "drift"
    POOL_UNREADABLE = "pool_unreadable"
    MARKER_UNKNOWN = "marker_unknown"
    CANNOT_WRITE = "cannot_write"
    BASELINE_CHANGED = "baseline_changed"
    BASELINE_DOWN = "baseline_down"
    CANARY_CHANGED = "canary_changed"  # in the watch: the live slot got another version
    ROLLBACK_ASKED = "rollback_asked"  # harm, and the policy or the event says: ask first
    DEPLOYED_TO_LIVE = "deployed_to_live"
    STORM = "storm"  # many services harmful at once: no raising
    OFF = "off"  # `canary off`
    MODE = "mode"  # something is decided already, and the mode now leaves the weights to people


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold in force."""

    reason: HoldReason
    since: float  # epoch seconds
    detail: str
    told_at: float | None = None  # of the last notice about it; None = no channel has heard of it yet
    clocked_at: float | None = None  # held time up to here is in the step's clock already; None = none since `since`
    behind: "Hold | None" = None  # what a look that saw nothing interrupted: it goes on afterwards; None = nothing


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """A person said: not further."""

    actor: str
    reason: str
    since: float
    until: float


class Announcement(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody says: this version is on that slot now."""

    service: str
    slot: Slot | None  # None = the idle one
    version: str
    deployment_id: str
    by: str  # "event:Canary.DeploymentCompleted", "lookout", "person:ada"
    link: str | None = None
    commit: str | None = None
    retry: bool = False  # a version that was live or rolled back may start again
    ask_before_rollback: bool = False
    at: float | None = None  # epoch seconds at which it was said; None = it does not say


class Rollout(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that must survive the process. Times are epoch seconds."""

    id: str
    service: str
    version: str
    deployment_id: str
    canary: Slot
    started_at: float
    started_by: str  # Announcement.by
    pin: Pin
    announced_at: float | None = None  # when its pipeline said so: older announcements come too late; None = unknown
    standing: Standing | None = None  # as it was last: a service that leaves the file finishes on it; None = unknown
    link: str | None = None  # to the pipeline's run
    commit: str | None = None
    ask_before_rollback: bool = False
    phase: Phase = Phase.GATE
    phase_since: float
    step: int = 0  # index into pin.steps of the last step that is not above the share; -1 = below the first
    outcome: Outcome | None = None  # decided when closing begins
    ending: str = ""  # the sentence that decided the end: what is said when it is carried out
    closed_at: float | None = None
    share: int = 0  # percent that the canary should get: the target; the weights follow
    marker: Slot  # what the marker should say: the target
    pool_seen: PoolReading | None = None  # the last read-back of our own write (or of the first look)
    marker_seen: MarkerReading | None = None
    shares: tuple[int, ...] = ()  # of the canary, in order, as read back
    segments: tuple[Segment, ...] = ()
    arrived: bool = False  # the version was seen on the canary slot at least once
    gate_successes: int = 0
    warmed: bool = False
    baseline_version: str | None = None  # as first seen; None = not yet seen
    canary_failures: int = 0  # probes in a row while the baseline answered
    baseline_failures: int = 0
    thresholds_ms: dict[str, float] = {}
    judged_from: tuple[int | None, ...] = ()
    settled_until: int | None = None  # counts up to here are stored; None = none yet
    instances: dict[str, int] = {}  # name -> first interval seen
    pause: Pause | None = None
    hold: Hold | None = None
    approved: tuple[int, ...] = ()
    rollback_possible: bool = True  # False: the old version is gone, a rollback must be asked for
    lowered_for_shared: bool = False  # gone back one share for a shared fault: once only
    raised_at: float | None = None  # of our last raise
    clock_from: float | None = None  # the deadline of the step counts from here; holds move it on
    ticked_at: float | None = None  # of the last decision by a tick: a message older than this has been served
    looked_at: float | None = None  # when the pool was last read with the weights of the open segment
    attempted: tuple[int, ...] = ()  # shares that we tried to write since the last read-back: ours, not drift
    unread: tuple[str, ...] = ()  # "pool", "marker": unreadable when harm or a person ended it, so not known yet
    reached_at: float | None = None  # of a write that an end may miss (late_write_seconds); None = it was read back
    write_failures: int = 0  # failed attempts in a row to write the present target
    write_error: str = ""  # of the last failed attempt
    pending: tuple[Notice, ...] = ()  # to be told when pool and marker are read back as decided
    successor: Announcement | None = None  # the newer version that superseded this one
    harmful_at: float | None = None  # when it was first found harmful: storms are counted by it
    advised: str = ""  # the last advice given (modes observe and advise): told once, not each tick
    decisions: int = 0  # how many were recorded: numbers them
    verdict: Verdict | None = None  # the newest
    reason: str = ""  # the newest decision's sentence

    @property
    def baseline(self) -> Slot:
        """The slot that served when the rollout began."""
        return self.canary.other

    @property
    def weights(self) -> Weights:
        """What the pool should hold."""
        return Weights.of(self.canary, self.share)

    def late_write_seconds(self, now: float) -> float:
        """For how long another tick's write from before the end may still arrive; 0 = none is under way.

        Only two writes can: the first share after a gate, and the marker of a switch. The end finds neither in place,
        so it writes nothing over them and their ETags stay good. Any other late write fails: the end changed its ETag.
        """
        if self.outcome is None or self.reached_at is None:
            return 0.0
        return max(0.0, self.reached_at + limits.LATE_WRITE_SECONDS - now)

    @property
    def proven_harmful(self) -> bool:
        """Found worse by the judge, or dead under traffic by its probe, and nothing took that back since."""
        dead = any(self.shares) and self.canary_failures >= limits.PROBE_FAILURES
        return dead or (self.verdict is not None and self.verdict.kind is VerdictKind.HARMFUL)

    @property
    def closed(self) -> bool:
        """True when nothing more will be decided."""
        return self.phase is Phase.CLOSED
