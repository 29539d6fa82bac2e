"""Numbers that no policy tunes, each with its reason; the relations between them are asserted below."""

PROBE_FAILURES = 3  # in a row while the other slot answers: one lost packet is not a death
WRITE_FAILURES = 2  # attempts before "decided, NOT carried out" goes out: one 429 is not news
LATE_WRITE_SECONDS = 180  # pool, read-back and marker, each with all its attempts, take less: later nothing arrives
RAISE_MEMORY_SECONDS = 600  # a shared fault that began so soon after our raise may be our doing
STORM_SERVICES = 3  # services of one workspace harmful within STORM_SECONDS: rather the world than the versions
STORM_SECONDS = 600
T_REQUESTS = 1000  # warm baseline requests before a latency quantile is worth pinning
LOOK_SECONDS = 75  # of one look at a workspace, all its queries together; who is not answered by then is BLIND
TELEMETRY_SECONDS = 90  # of a tick, after which no further look begins: with one more it leaves two minutes to act
SETTLE_INTERVALS = 2400  # stored in one tick, 40 hours of minutes: a week of history, or a long outage, takes several
GROUP_SERVICES = 50  # rollouts of one workspace in one queue message: one query, well below 500,000 rows
PROBE_WORKERS = 16  # threads that look at pools and slots of a group at once
MAX_SHARES_KEPT = 100  # of the history of shares in one record
MAX_SEGMENTS_KEPT = 50  # drifting weights must not grow the record without end
MAX_INSTANCES_KEPT = 300  # whose first appearance is remembered: cold requests are told by it
DETAIL_CHARACTERS = 500  # of any text that came from outside, in a sentence or a record
RETURN_ROLLOUTS = 20  # of a service, in which `canary rollback` looks for the last promotion
HISTORY_DECISIONS = 1000  # shown of one rollout

if not PROBE_FAILURES > WRITE_FAILURES > 0:  # a dead canary must not be slower to see than a failed write
    raise AssertionError("limits: PROBE_FAILURES must exceed WRITE_FAILURES")
