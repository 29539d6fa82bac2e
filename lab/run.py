"""One run of a scenario: its hands and eyes on the lab, and the result that it leaves."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import requests

from lab.world import Lab
from rollouts.observation import Slot

POLL_SECONDS = 0.25
KEPT_SECONDS = 3.0  # a state that the scenario is about must last so long
LIMIT_SECONDS = 240.0  # for anything to happen
Summary = dict[str, Any]


class NotReachedError(Exception):
    """The world did not come to where the scenario wants it: says where it is instead."""


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line may change. None = as the scenario says."""

    seed: int = 1
    rate: float | None = None  # requests a second
    base_errors: float | None = None  # percent that both versions fail
    canary_errors: float | None = None  # percent that the new version fails
    canary_slowdown: float | None = None  # factor
    onset: float | None = None  # seconds from its first traffic to a late fault
    history: float = 12.0  # seconds of traffic before the deployment
    policy: Mapping[str, Any] = {}  # overrides for a shorter run


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a run came to; the last line of `canary lab run --json`."""

    scenario: str
    outcome: str | None  # None = it ended held, or nothing started
    phase: str | None
    hold: str | None
    shares: list[int]  # of the canary, in order, as read back
    final_weights: dict[str, int]  # by slot, as ARM stores them
    canary: str | None
    marker: str
    notices: list[dict[str, str]]  # channel, kind, text
    reasons: list[str]  # the sentences of the recorded decisions
    seconds: float
    started_by: str | None


class Run:
    """`watch` is called with every look at the newest rollout: the terminal draws from it."""

    def __init__(
        self,
        lab: Lab,
        options: Options,
        *,
        errors: float | None,
        slowdown: float | None,
        watch: Callable[[Summary | None], None] | None = None,
    ) -> None:
        self.lab = lab
        self.options = options
        self._errors = errors
        self._slowdown = slowdown
        self._watch = watch
        self._began = time.monotonic()
        self._since = 0.0  # rollouts that started before do not count

    def errors(self, default: float) -> float:
        """Percent that the new version fails when it fails."""
        return self.options.canary_errors if self.options.canary_errors is not None else default

    def begin(self, *, sound: bool = False, **settings: str | float) -> None:
        """Let the history grow, deploy 1.1.0 to green, announce it. `sound`: its faults, if it has any, come later."""
        self.keep(self.options.history)
        given = self.options
        fails = given.canary_errors if given.canary_errors is not None else self._errors
        if fails is not None and not sound:
            settings.setdefault("FAIL_PERCENT", fails)
        slowdown = given.canary_slowdown if given.canary_slowdown is not None else self._slowdown
        if slowdown is not None:
            settings.setdefault("SLOW_MS", self.lab.setup.slow_ms * slowdown)
        self.lab.deploy(Slot.GREEN, "1.1.0", **settings)
        self.lab.announce("1.1.0", Slot.GREEN, cloud=given.seed % 2 == 0)

    def newest(self) -> Summary | None:
        """The newest rollout that counts; None while there is none or the host is being restarted."""
        try:
            found = self.lab.newest()
        except requests.RequestException:
            return None
        if found is not None and found["started_at"] <= self._since:
            found = None
        if self._watch is not None:
            self._watch(found)
        return found

    def until(self, what: str, holds: Callable[[Summary], object], seconds: float = LIMIT_SECONDS) -> Summary:
        """Wait until the newest rollout is so; NotReachedError says where it is after that many seconds."""
        deadline = time.monotonic() + seconds
        found: Summary | None = None
        while time.monotonic() < deadline:
            found = self.newest()
            if found is not None and holds(found):
                return found
            if found is not None and found["phase"] == "closed":
                found = self.newest() or found
                if found["phase"] == "closed" and found["outcome"] != "superseded":
                    raise NotReachedError(
                        f"{what} was not reached, it is closed ({found['outcome']}): {found['sentence']}"
                    )
            time.sleep(POLL_SECONDS)
        where = (
            f"{found['phase']}, {found['share']} %, held: {found['hold']}: {found['sentence']}"
            if found
            else "no rollout"
        )
        raise NotReachedError(f"{what} was not reached in {seconds:g} s: {where}")

    def until_closed(self) -> None:
        """Wait for the end, and for its last card."""
        ended = self.until("closed", lambda one: one["phase"] == "closed")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if all(one["sent_at"] or one["error"] for one in self.detail(ended["id"])["notices"]):
                return
            time.sleep(POLL_SECONDS)

    def until_held(self, reason: str) -> None:
        """Wait for a hold that lasts a few intervals."""
        deadline = time.monotonic() + LIMIT_SECONDS
        since: float | None = None
        while time.monotonic() < deadline:
            found = self.newest()
            held = found is not None and found["hold"] == reason
            since = (since or time.monotonic()) if held else None
            if since is not None and time.monotonic() - since >= KEPT_SECONDS:
                return
            time.sleep(POLL_SECONDS)
        found = self.newest()
        where = f"{found['phase']}, held: {found['hold']}: {found['sentence']}" if found else "no rollout"
        raise NotReachedError(f"hold {reason} was not reached in {LIMIT_SECONDS:g} s: {where}")

    def until_told(self, kind: str) -> None:
        """Wait for a notice of that kind."""
        self.until(
            f"notice {kind}", lambda one: any(told["kind"] == kind for told in self.detail(one["id"])["notices"])
        )

    def keep(self, seconds: float) -> None:
        """Go on looking for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.newest()
            time.sleep(POLL_SECONDS)

    def forget(self) -> None:
        """From now on only rollouts that start later count."""
        self._since = time.time()

    def detail(self, rollout_id: str) -> dict[str, Any]:
        """A rollout with its decisions and notices."""
        try:
            return self.lab.ask("GET", f"rollouts/{rollout_id}")
        except requests.RequestException:
            return {"rollout": {}, "decisions": [], "notices": []}

    def result(self, scenario: str) -> Result:
        """What it came to, as stored and as ARM shows it."""
        found = self.newest()
        detail = self.detail(found["id"]) if found else {"decisions": [], "notices": []}
        weights = self.lab.weights()
        return Result(
            scenario=scenario,
            outcome=found["outcome"] if found else None,
            phase=found["phase"] if found else None,
            hold=found["hold"] if found else None,
            shares=list(found["shares"]) if found else [],
            final_weights={Slot.BLUE: weights.blue, Slot.GREEN: weights.green},
            canary=found["canary"] if found else None,
            marker=self.lab.live(),
            notices=[{key: one[key] for key in ("channel", "kind", "text")} for one in detail["notices"]],
            reasons=[one["sentence"] for one in detail["decisions"]],
            seconds=round(time.monotonic() - self._began, 1),
            started_by=found["started_by"] if found else None,
        )
