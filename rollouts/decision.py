"""The decision: what the controller will do, and why, as a value."""

import msgspec

from analyzers.judge.counts import Rows
from analyzers.judge.verdict import Verdict
from rollouts.notice import Notice, NoticeKind
from rollouts.rollout import HoldReason, Outcome, Phase, Rollout


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One decision: the rollout as it will be stored, the sentence, the notices, when to look again."""

    rollout: Rollout  # the next state; saved by compare-and-swap
    at: float
    phase_before: Phase
    share_before: int
    kind: NoticeKind | None  # None = nothing changed that a person must hear of
    sentence: str
    notices: tuple[Notice, ...] = ()  # into the outbox, in the same transaction
    verdict: Verdict | None = None
    hold: HoldReason | None = None
    outcome: Outcome | None = None
    recorded: bool = True  # False: nothing changed, the decision is not worth a row of its own
    settled: Rows | None = None  # counts that became final: stored in the same transaction
