"""The scenarios: what happens to the world, and when the point of it has been reached.

Each is a function that plays its part on a running lab; `SCENARIOS` names them with how the world is set up.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from threading import Thread
from typing import Any

import msgspec

from lab.arm import Break, Fault
from lab.event_grid import Trouble
from lab.log_analytics import Ingestion
from lab.run import Options, Run
from lab.slots import HealthFault
from lab.world import MARKER, POOL, SITE, Setup, overridden
from rollouts.observation import Slot, Weights

NEW = "1.1.0"
BLUE, GREEN = Slot.BLUE, Slot.GREEN


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario: `ends` is the outcome, or the hold, that it is about."""

    name: str
    about: str
    ends: str
    play: Callable[[Run], None]
    setup: Mapping[str, Any] = {}  # changes of lab.world.Setup
    errors: float | None = None  # percent that the new version fails; None = as the old one
    slowdown: float | None = None  # factor on its time to answer; None = as the old one


def of_pool_writes(fault: Fault) -> Fault:
    """The fault, of no other requests than those that write the pool."""
    return replace(fault, method="PUT", path=f"backends/{POOL}")


def rollout(run: Run) -> None:
    """A version is deployed and announced; its faults are there at once, or begin after --onset."""
    if run.options.onset is not None:
        late_fault(run)
        return
    run.begin()
    run.until_closed()


def throttled(run: Run) -> None:
    """ARM answers 429 with Retry-After, 5xx, and times out on a write that it did apply."""
    for fault in (
        of_pool_writes(Fault(kind=Break.STATUS, times=1, status=429, code="TooManyRequests", retry_after="1")),
        of_pool_writes(Fault(kind=Break.STATUS, times=1, status=503)),
        of_pool_writes(Fault(kind=Break.DROP_AFTER, times=1)),
        Fault(kind=Break.STATUS, times=1, status=429, retry_after="1", method="GET", path=f"namedValues/{MARKER}"),
    ):
        run.lab.arm.break_with(fault)
    rollout(run)


def stale_write(run: Run) -> None:
    """Somebody else writes the pool between our read and our write."""
    run.lab.arm.break_with(of_pool_writes(Fault(kind=Break.MEDDLE, times=2)))
    rollout(run)


def crash(run: Run) -> None:
    """The host is killed after the decision is stored and before it is carried out; then started again."""
    died = []

    def kill() -> None:
        died.append(run.lab.host.pid)
        run.lab.host.kill()
        run.lab.set_weights(run.lab.weights())  # the ETag changes: the dead process's write is not applied
        Thread(target=run.lab.host.start, name="restart", daemon=True).start()

    run.lab.arm.break_with(of_pool_writes(Fault(kind=Break.MEDDLE, times=1, meddle=kill)))
    rollout(run)
    if not died:
        raise AssertionError("the host was never killed: no pool write came")


def duplicate_events(run: Run) -> None:
    """All four signals of one deployment, twice, late and out of order."""
    run.lab.deploy(GREEN, NEW)
    for _ in range(2):
        run.lab.publish("Microsoft.Resources.ResourceWriteSuccess", f"{SITE}green".upper(), {})
        run.lab.publish(
            "Microsoft.Storage.BlobCreated", "/blobServices/default/containers/packages-green/blobs/released.zip", {}
        )
        run.lab.announce(NEW, GREEN)
        run.lab.announce(NEW, GREEN, cloud=True)
    run.until_closed()
    run.keep(3)


def late_fault(run: Run) -> None:
    """The new version breaks some time after it got traffic."""
    run.begin(sound=True)
    run.until("step", lambda one: one["share"] > 0 and one["shares"])
    run.keep(run.options.onset if run.options.onset is not None else 8.0)
    run.lab.slots[GREEN].behave(FAIL_PERCENT=run.errors(11.0))
    run.until_closed()


def fault_after_promotion(run: Run) -> None:
    """It breaks at 100 %: back to 50, where both are compared, then to 0."""
    run.begin(sound=True)
    run.until("watch", lambda one: one["phase"] == "watch")
    run.lab.slots[GREEN].behave(FAIL_PERCENT=run.errors(11.0))
    run.until_closed()


def dies_after_promotion(run: Run) -> None:
    """It dies at 100 % while the old version answers: straight back."""
    run.begin()
    run.until("watch", lambda one: one["phase"] == "watch")
    run.lab.slots[GREEN].die()
    run.until_closed()


def unobserved(run: Run) -> None:
    """Its requests fail without leaving a row."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.slots[GREEN].crash_percent = 80.0
    run.until_closed()


def broken_operation(run: Run) -> None:
    """One critical route of it, with half a percent of the traffic, always fails."""
    run.begin(FAIL_ROUTE="pay", FAIL_PERCENT=100.0)
    run.until_closed()


def rejects_everybody(run: Run) -> None:
    """It answers 401, whoever asks."""
    run.begin(REJECT_PERCENT=100.0)
    run.until_closed()


def broken_health(run: Run) -> None:
    """It never becomes healthy."""
    run.lab.slots[GREEN].health_fault = HealthFault.UNAVAILABLE
    rollout(run)


def wrong_version(run: Run) -> None:
    """Something else was deployed than was announced."""
    run.lab.deploy(GREEN, "1.0.9")
    run.lab.announce(NEW, GREEN)
    run.until_closed()


def overlap(run: Run) -> None:
    """A newer version comes on the canary slot while the first has traffic."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.deploy(GREEN, "1.2.0")
    run.lab.announce("1.2.0", GREEN, cloud=True)
    run.until("successor", lambda one: one["version"] == "1.2.0")
    run.until_closed()


def drift(run: Run) -> None:
    """A person changes the weights, and not to 0."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.set_weights(Weights.of(GREEN, 30))
    run.until_held("drift")


def drift_to_zero(run: Run) -> None:
    """A person takes the traffic away."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.set_weights(Weights.of(GREEN, 0))
    run.until_closed()


def shared_outage(run: Run) -> None:
    """Something that both versions need breaks for a while."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    for slot in run.lab.slots.values():
        slot.behave(FAIL_PERCENT=30.0)
    run.until_held("shared")
    for slot in run.lab.slots.values():
        slot.behave(FAIL_PERCENT=run.lab.setup.base_errors)
    run.until_closed()


def telemetry_outage(run: Run) -> None:
    """The workspace does not answer for a while."""
    run.begin()
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.logs.faults.outage = True
    run.until_held("blind")
    run.lab.logs.faults.outage = False
    run.until_closed()


def no_traffic(run: Run) -> None:
    """Nobody calls."""
    run.lab.traffic.rate = 0.0
    run.begin()
    run.until_held("blind")


def sick_instance(run: Run) -> None:
    """One instance of the new version is ill."""
    run.begin(sound=True)
    run.until("step", lambda one: one["shares"] == [10])
    run.lab.slots[GREEN].behave(instance=0, FAIL_PERCENT=60.0)
    run.until_held("one_instance")


def deploy_to_live(run: Run) -> None:
    """The pipeline deployed to the live slot."""
    run.lab.deploy(BLUE, NEW)
    run.lab.announce(NEW, BLUE)
    run.until_held("deployed_to_live")


def approval(run: Run) -> None:
    """50 % waits for a person."""
    run.begin()
    run.until_held("approval")


def retag(run: Run) -> None:
    """An ARM write that is no deployment, while the idle slot holds a version that was rolled back."""
    run.begin()
    run.until_closed()
    run.forget()
    run.lab.publish("Microsoft.Resources.ResourceWriteSuccess", f"{SITE}green", {"operationName": "tags/write"})
    run.keep(8)


def cannot_write(run: Run) -> None:
    """ARM refuses the rollback for a while."""
    run.begin(sound=True)
    run.until("step", lambda one: one["shares"] == [10])
    refusal = of_pool_writes(Fault(kind=Break.STATUS, status=429, retry_after="60"))
    number = run.lab.arm.break_with(refusal)
    run.lab.slots[GREEN].behave(FAIL_PERCENT=run.errors(30.0))
    run.until_told("not_carried_out")
    run.lab.arm.mend(number)
    run.until_closed()


def observe(run: Run) -> None:
    """Mode observe: people move the traffic, nothing is written, the verdict is recorded."""
    run.begin()
    run.until("gate passed", lambda one: one["phase"] == "step")
    run.lab.set_weights(Weights.of(GREEN, 10))
    run.until("the verdict", lambda one: "Would roll back" in one["sentence"])
    run.keep(3)


_LATE = Ingestion(delay_seconds=3.0, jitter_seconds=3.0)
_SAMPLED = Ingestion(delay_seconds=0.6, jitter_seconds=0.6, sampling=2)
_REJECTED = {"failures": {"points": 2, "ratio": 1.25}, "rejected": {"points": 2, "ratio": 1.5}, "p95": "off"}
_LOW = {
    "promote_when": "unrefuted",
    "bake": "8s",
    "min_requests": 20,
    "indicators": {"failures": {"points": 2, "ratio": 1.25}, "rejected": "off", "p95": "off"},
}
# After an outage the minutes vary more than coin flips, and the judge asks for more of them.
_OUTAGE = {"deadline": "4m", "indicators": {"failures": {"points": 4, "ratio": 1.25}, "p95": "off"}}
_TROUBLE = Trouble(copies=2, late_seconds=2.0, shuffled=True)

SCENARIOS: dict[str, Scenario] = {
    one.name: one
    for one in (
        Scenario(name="good", about="A good version", ends="promoted", play=rollout),
        Scenario(
            name="low-traffic",
            about="Too little traffic for proof, promote_when: unrefuted",
            ends="promoted",
            play=rollout,
            setup={"rate": 40.0, "policy": _LOW},
        ),
        Scenario(name="throttled", about="ARM throttles, fails and loses answers", ends="promoted", play=throttled),
        Scenario(name="stale-write", about="A 412 in the middle", ends="promoted", play=stale_write),
        Scenario(name="crash", about="The host is killed between save and converge", ends="promoted", play=crash),
        Scenario(
            name="duplicate-events",
            about="All signals of one deployment, twice, out of order",
            ends="promoted",
            play=duplicate_events,
            setup={"trouble": _TROUBLE},
        ),
        Scenario(
            name="late-telemetry",
            about="Rows arrive 3 to 6 seconds late",
            ends="promoted",
            play=rollout,
            setup={"ingestion": _LATE, "policy": {"expert": {"settle": "8s"}}},
        ),
        Scenario(
            name="sampled",
            about="Telemetry keeps one row in two",
            ends="promoted",
            play=rollout,
            setup={"ingestion": _SAMPLED},
        ),
        Scenario(name="errors", about="It fails 11 % of its requests", ends="rolled_back", play=rollout, errors=11.0),
        Scenario(
            name="rejected",
            about="It answers 401 to everybody",
            ends="rolled_back",
            play=rejects_everybody,
            setup={"policy": {"indicators": _REJECTED}},
        ),
        Scenario(name="slow", about="It is three times slower", ends="rolled_back", play=rollout, slowdown=3.0),
        Scenario(
            name="late-fault", about="It breaks some time after its first traffic", ends="rolled_back", play=late_fault
        ),
        Scenario(
            name="fault-after-promotion",
            about="It breaks at 100 %: back to 50, then 0",
            ends="rolled_back",
            play=fault_after_promotion,
        ),
        Scenario(name="dies-after-promotion", about="It dies at 100 %", ends="rolled_back", play=dies_after_promotion),
        Scenario(name="unobserved", about="Its requests fail without rows", ends="rolled_back", play=unobserved),
        Scenario(
            name="broken-operation",
            about="One critical route with 0.5 % of the traffic always fails",
            ends="rolled_back",
            play=broken_operation,
            setup={"policy": {"critical_operations": ["pay"]}},
        ),
        Scenario(name="broken-health", about="It never becomes healthy", ends="rejected", play=broken_health),
        Scenario(name="wrong-version", about="Another version answers", ends="rejected", play=wrong_version),
        Scenario(name="overlap", about="A newer version overtakes it", ends="promoted", play=overlap),
        Scenario(name="drift", about="Weights changed by hand", ends="drift", play=drift),
        Scenario(name="drift-to-zero", about="Traffic taken away by hand", ends="aborted", play=drift_to_zero),
        Scenario(
            name="shared-outage",
            about="Both versions fail for a while",
            ends="promoted",
            play=shared_outage,
            setup={"policy": _OUTAGE},
        ),
        Scenario(
            name="telemetry-outage", about="The workspace is silent for a while", ends="promoted", play=telemetry_outage
        ),
        Scenario(name="no-traffic", about="Nobody calls", ends="blind", play=no_traffic),
        Scenario(name="sick-instance", about="One of its instances is ill", ends="one_instance", play=sick_instance),
        Scenario(
            name="deploy-to-live", about="Deployed to the live slot", ends="deployed_to_live", play=deploy_to_live
        ),
        Scenario(
            name="approval",
            about="50 % waits for a person",
            ends="approval",
            play=approval,
            setup={"policy": {"approvals": [50]}},
        ),
        Scenario(name="retag", about="An ARM write with no new version", ends="no rollout", play=retag, errors=11.0),
        Scenario(
            name="cannot-write", about="ARM refuses the rollback for a while", ends="rolled_back", play=cannot_write
        ),
        Scenario(
            name="observe",
            about="Mode observe, a bad version",
            ends="observed",
            play=observe,
            setup={"policy": {"mode": "observe"}},
            errors=11.0,
        ),
    )
}


def setup_of(scenario: Scenario, options: Options) -> Setup:
    """The world of a scenario under the command's options."""
    changes = dict(scenario.setup)
    if options.rate is not None:
        changes["rate"] = options.rate
    if options.base_errors is not None:
        changes["base_errors"] = options.base_errors
    policy = overridden(options.policy, changes.get("policy", {}))
    return Setup(**{"seed": options.seed, **changes, "policy": policy})
