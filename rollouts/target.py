"""The target, what the rollout wants of pool and marker, beside what was read of them."""

from analyzers.judge.verdict import VerdictKind
from rollouts.observation import Failed, MarkerReading, Mode, PoolReading, Standing
from rollouts.rollout import HoldReason, Rollout


def in_place(rollout: Rollout, pool: PoolReading | Failed, marker: MarkerReading | Failed) -> bool:
    """Pool and marker were read, and say what the rollout wants."""
    return (
        isinstance(pool, PoolReading)
        and isinstance(marker, MarkerReading)
        and pool.weights == rollout.weights
        and marker.live is rollout.marker
    )


def wants_write(
    rollout: Rollout, standing: Standing, pool: PoolReading | Failed, marker: MarkerReading | Failed
) -> bool:
    """Whether pool or marker differ from what the stored rollout says, and may be written.

    A person's weights are never written over: drift waits for `adopt` or `reassert`, unless the rollout ends
    by harm, where the way to the baseline is open from wherever the weights are. A raise that is still unwritten
    when harm is found stays unwritten, even where a person is asked before the rollback.
    """
    if standing.mode is not Mode.ACT or standing.off:
        return False
    harmful = rollout.verdict is not None and rollout.verdict.kind is VerdictKind.HARMFUL
    last = pool if isinstance(pool, PoolReading) else rollout.pool_seen
    if harmful and last is not None and last.weights.share(rollout.canary) < rollout.share:
        return False
    if rollout.hold is not None and rollout.hold.reason in (HoldReason.DRIFT, HoldReason.DEPLOYED_TO_LIVE):
        return False
    if rollout.outcome is None and not rollout.attempted and rollout.pool_seen and rollout.marker_seen:
        # What cannot be read and was last read back as wanted is a hold of its own, no write that fails.
        pool = rollout.pool_seen if isinstance(pool, Failed) else pool
        marker = rollout.marker_seen if isinstance(marker, Failed) else marker
    return not in_place(rollout, pool, marker)


def pool_is_ours(rollout: Rollout, pool: PoolReading) -> bool:
    """The weights are the target, the last read-back, what we tried to write since, or the first read after an end."""
    share = pool.weights.share(rollout.canary)
    last = rollout.pool_seen
    return (
        share == rollout.share
        or share in rollout.attempted
        or "pool" in rollout.unread
        or (last is not None and share == last.weights.share(rollout.canary))
    )


def marker_is_ours(rollout: Rollout, marker: MarkerReading) -> bool:
    """The marker says the target, the last read-back, or what a switch wrote before an end overtook it.

    A marker that could not be read when the end was decided (`unread`) is ours, whatever it says.
    """
    last = rollout.marker_seen
    if "marker" in rollout.unread:
        return True
    overtaken = rollout.outcome is not None and rollout.reached_at is not None and marker.live is rollout.canary
    return marker.live is rollout.marker or (last is not None and marker.live is last.live) or overtaken


def missing(rollout: Rollout, pool: PoolReading | Failed) -> str:
    """What is decided but not in place yet; a pool that was read back as wanted is left out."""
    marker = f"{rollout.pin.marker} {rollout.marker}"
    if isinstance(pool, PoolReading) and pool.weights == rollout.weights:
        return marker
    return f"{rollout.share} % for {rollout.canary}, {marker}"
