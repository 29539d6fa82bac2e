"""The keys of canary.yaml, as data: what parse.py reads and what the JSON Schema and the docs are made of.

A key that is not here does not exist. Defaults are the presets' (presets.py); a key that no preset
holds is either required or means None when it is left out.
"""

from typing import Final, Generic, TypeVar, get_args

import msgspec

from rollouts.observation import Mode
from rollouts.policy import ChannelKind, NonHttp, PresetName, PromoteWhen, Rollback, Via, WhenOver
from rollouts.policy_file import leaves
from rollouts.policy_file.leaves import Leaf, listed, optional

T_co = TypeVar("T_co", covariant=True)

MAX_SERVICES = 500  # one policy text must fit into one record of the store
MAX_CHANNELS = 50
MAX_NOTIFIED = 10  # channels of one service: two notices to each fit one transaction of 100 writes
MAX_STEPS = 20  # more steps than that cannot each be proven in a day
MAX_INDICATORS = 20  # alpha is shared between them: more would only blunt each
MAX_HORIZON = 20_000  # judged intervals of one rollout: two weeks of minutes; the judge's cost grows with it


class Key(msgspec.Struct, Generic[T_co], frozen=True):
    """One key of one mapping."""

    name: str
    leaf: Leaf[T_co]
    says: str  # one sentence for editors and docs
    required: bool = False


_BACKEND = leaves.resource_name(what="the name of a backend of the API Management service", example="blue-backend")

# channels.<name>
KIND: Final[Key[ChannelKind]] = Key(
    "kind",
    leaves.choice(*get_args(ChannelKind)),
    "What the messages are written for.",
    True,
)
URL_SETTING: Final = Key(
    "url_setting",
    leaves.text(
        r"[A-Za-z_][A-Za-z0-9_]{0,99}",
        what="the name of the app setting that holds the URL, never the URL itself",
        example="TEAMS_WEBHOOK_URL",
        secret=True,
    ),
    "Name of the app setting that holds the URL (event_grid: the topic's endpoint); never the URL.",
    True,
)
CHANNEL_KEYS: Final = (KIND, URL_SETTING)

# services.<name>
PRESET: Final[Key[PresetName]] = Key(
    "preset", leaves.choice(*get_args(PresetName)), "Where all defaults come from.", False
)
MODE: Final[Key[Mode]] = Key(
    "mode",
    leaves.choice(*Mode),
    "How far Flex Canary may go: judge and record; and tell; and move traffic.",
)
API_MANAGEMENT: Final = Key(
    "api_management",
    leaves.arm_id("Microsoft.ApiManagement", "service", what="the API Management service"),
    "ARM id of the API Management service that holds pool and marker.",
    True,
)
POOL: Final = Key(
    "pool",
    leaves.resource_name(what="the name of the backend pool", example="green-blue-pool"),
    "Name of the backend pool that splits this service's traffic.",
    True,
)
MARKER: Final = Key(
    "marker",
    leaves.resource_name(what="the name of the named value that says which slot is live", example="current-slot-name"),
    "Named value that says which slot is live.",
)
WORKSPACE: Final = Key(
    "workspace",
    leaves.guid(what="the Log Analytics workspace's id (its customer id, a GUID)"),
    "Customer id (a GUID) of the Log Analytics workspace with the slots' requests.",
    True,
)
STEPS: Final = Key(
    "steps",
    listed(leaves.whole(1, 100, example=10, what="a share in percent"), cap=MAX_STEPS, what="shares"),
    "Shares of the canary in percent, increasing, the last is 100; those below 100 are judged.",
)
BAKE: Final = Key("bake", leaves.seconds("1s", "7d", example="10m"), "Least time at each judged share.")
DEADLINE: Final = Key(
    "deadline",
    leaves.seconds("1s", "7d", example="2h"),
    "Longest time at each judged share; then `at_deadline`.",
)
WATCH: Final = Key(
    "watch",
    leaves.seconds("1s", "7d", example="30m"),
    "Time after the switch in which it can still go back; held time does not count.",
)
HISTORY: Final = Key("history", leaves.seconds("1s", "7d", example="60m"), "The baseline's window before the rollout.")
PROMOTE_WHEN: Final[Key[PromoteWhen]] = Key(
    "promote_when",
    leaves.choice(*get_args(PromoteWhen)),
    "proven: shown to be no worse; unrefuted: no harm seen in `min_requests` (for low traffic).",
)
MIN_REQUESTS: Final = Key(
    "min_requests",
    leaves.whole(1, 1_000_000_000, example=100, what="requests of the canary"),
    "Requests of the canary that `unrefuted` asks for at each step.",
)
AT_DEADLINE: Final[Key[WhenOver]] = Key(
    "at_deadline",
    leaves.choice(*get_args(WhenOver)),
    "What happens to a version that is neither proven nor refuted.",
)
ROLLBACK: Final[Key[Rollback]] = Key(
    "rollback", leaves.choice(*get_args(Rollback)), "ask: hold and page a person instead of moving traffic back."
)
NON_HTTP: Final[Key[NonHttp]] = Key(
    "non_http",
    leaves.choice(*get_args(NonHttp)),
    "Functions with other triggers (queues, timers) run in both slots, whatever the weights say; accepted: you know.",
)
APPROVALS: Final = Key(
    "approvals",
    listed(leaves.whole(1, 100, example=50, what="a share of steps"), cap=MAX_STEPS, what="shares"),
    "Shares of `steps` that a person must approve before they are set.",
)
CRITICAL_OPERATIONS: Final = Key(
    "critical_operations",
    listed(
        leaves.text(r"\S(?:[^\r\n]{0,198}\S)?", what="an operation as the telemetry names it", example="pay"),
        cap=20,
        what="operations",
    ),
    "Operations judged one by one, whatever their traffic. Of a function app: names of functions.",
)
EXCLUDED_ROUTES: Final = Key(
    "excluded_routes",
    listed(leaves.route_prefix(), cap=50, what="paths"),
    "Path prefixes whose requests are not judged (health and warm-up never are).",
)
NOTIFY: Final = Key(
    "notify",
    listed(
        leaves.text(leaves.NAME_PATTERN, what="the name of a channel under `channels`", example="team"),
        cap=MAX_NOTIFIED,
        what="names of channels",
    ),
    "Channels that are told.",
)
SERVICE_LEAVES: Final = (
    *(PRESET, MODE, API_MANAGEMENT, POOL, MARKER, WORKSPACE),
    *(STEPS, BAKE, DEADLINE, WATCH, HISTORY, PROMOTE_WHEN, MIN_REQUESTS, AT_DEADLINE, ROLLBACK, APPROVALS, NON_HTTP),
    *(CRITICAL_OPERATIONS, EXCLUDED_ROUTES, NOTIFY),
)
SERVICE_SECTIONS: Final = {
    "slots": "The two function apps behind the pool: blue and green.",
    "indicators": "What is compared; keys replace those of the preset's indicator of the same name, `off` removes it.",
    "gate": "What must hold before any traffic.",
    "limits": "How long the bounded holds may last, and what then.",
    "expert": "Numbers that rarely need another value.",
}

# services.<name>.slots.<slot>
BACKEND: Final = Key("backend", _BACKEND, "Name of this slot's backend, the pool's member.", True)
URL: Final = Key(
    "url", leaves.url(example="https://checkout-blue.azurewebsites.net"), "Base URL of the function app.", True
)
ROLE_NAME: Final = Key(
    "role_name",
    leaves.text(r"\S(?:[^\r\n]{0,98}\S)?", what="AppRoleName of this slot's requests", example="checkout-blue"),
    "AppRoleName of this slot's requests in the workspace.",
    True,
)
SITE: Final = Key(
    "site",
    optional(leaves.arm_id("Microsoft.Web", "sites", what="the function app")),
    "ARM id of the function app, so that its ARM writes wake the controller up.",
)
DEPLOYMENT_CONTAINER: Final = Key(
    "deployment_container",
    optional(
        leaves.text(
            r"[a-z0-9](?:[a-z0-9-]{1,61})[a-z0-9]",
            what="the name of the blob container",
            example="package-blue",
        )
    ),
    "Blob container of its packages, so that an upload wakes the controller up.",
)
SLOT_KEYS: Final = (BACKEND, URL, ROLE_NAME, SITE, DEPLOYMENT_CONTAINER)

# services.<name>.indicators.<name>
POINTS: Final = Key(
    "points", leaves.points(), "Tolerance in percentage points, on top of ratio times the baseline.", True
)
RATIO: Final = Key("ratio", leaves.factor(100, example=1.25), "Tolerance as a factor of the baseline's rate.", True)
CEILING: Final = Key(
    "ceiling",
    optional(leaves.percent("0", "100", example="20%")),
    "Absolute limit of the canary's rate, whatever the baseline does.",
)
SLOWER_THAN: Final = Key(
    "slower_than",
    optional(leaves.milliseconds("1ms", "10m", example="800ms")),
    "A request that took longer is bad.",
)
QUANTILE: Final = Key(
    "quantile",
    optional(leaves.percent("0", "100", example="95%")),
    "The baseline's own quantile of latency, pinned at the start.",
)
SLOWDOWN: Final = Key(
    "slowdown",
    optional(leaves.percent("0", "1000", example="20%", open_low=False)),
    "How much slower than that quantile the canary may be.",
)
QUERY: Final = Key(
    "query", optional(leaves.query()), "Own KQL that returns the pinned row shape and counts what is bad."
)
WARM_ONLY: Final = Key(
    "warm_only",
    optional(leaves.boolean()),
    "Judge only requests of warm instances; true for latency unless said otherwise.",
)
INDICATOR_KEYS: Final = (POINTS, RATIO, CEILING, SLOWER_THAN, QUANTILE, SLOWDOWN, QUERY, WARM_ONLY)

# services.<name>.gate
PATH: Final = Key("path", leaves.route(), "Health path of the slots.")
SUCCESSES: Final = Key(
    "successes",
    leaves.whole(1, 100, example=3, what="healthy looks in a row"),
    "Healthy looks in a row, one a tick.",
)
GATE_DEADLINE: Final = Key(
    "deadline",
    leaves.seconds("1s", "1d", example="15m"),
    "Then the version is rejected; traffic never moved.",
)
VIA: Final[Key[Via]] = Key(
    "via", leaves.choice(*get_args(Via)), "Probe the apps themselves, or through the preview route."
)
GATEWAY_URL: Final = Key(
    "gateway_url",
    optional(leaves.url(example="https://checkout-gateway.azure-api.net/checkout")),
    "The service's base URL at the gateway, where the preview route is; for via: gateway.",
)
TIMEOUT: Final = Key("timeout", leaves.milliseconds("100ms", "30s", example="5s"), "Longest wait for one probe.")
GATE_LEAVES: Final = (PATH, SUCCESSES, GATE_DEADLINE, VIA, GATEWAY_URL, TIMEOUT)
WARM_UP_PATH: Final = Key("path", leaves.route(), "Path that is called before any traffic.", True)
WARM_UP_REQUESTS: Final = Key(
    "requests",
    optional(leaves.whole(1, 1000, example=10, what="requests")),
    "How many calls; 10 when left out.",
)
WARM_UP_KEYS: Final = (WARM_UP_PATH, WARM_UP_REQUESTS)

# services.<name>.limits
BLIND: Final = Key("blind", leaves.seconds("1s", "7d", example="15m"), "Without telemetry for so long: `at_blind`.")
AT_BLIND: Final[Key[WhenOver]] = Key(
    "at_blind", leaves.choice(*get_args(WhenOver)), "What happens when telemetry stays away."
)
UNOBSERVED: Final = Key(
    "unobserved",
    leaves.seconds("1s", "7d", example="10m"),
    "Canary requests without rows for so long: share 0.",
)
ONE_INSTANCE: Final = Key(
    "one_instance",
    leaves.seconds("1s", "7d", example="10m"),
    "Harm in one instance for so long counts as harm.",
)
APPROVAL: Final = Key(
    "approval",
    leaves.seconds("1m", "30d", example="72h"),
    "An approval that nobody gave for so long: share 0.",
)
PAUSE: Final = Key("pause", leaves.seconds("1m", "30d", example="24h"), "End of a pause that named none.")
LIMIT_KEYS: Final = (BLIND, AT_BLIND, UNOBSERVED, ONE_INSTANCE, APPROVAL, PAUSE)

# services.<name>.expert
ALPHA: Final = Key(
    "alpha",
    leaves.percent("0", "50", example="1%"),
    "Healthy rollouts rolled back, at most, over their whole life.",
)
BETA: Final = Key("beta", leaves.percent("0", "50", example="1%"), "Faulty steps promoted, at most.")
INTERVAL: Final = Key(
    "interval", leaves.seconds("1s", "5m", example="1m"), "The bin of counting and the rhythm of judging."
)
SETTLE: Final = Key(
    "settle",
    optional(leaves.seconds("1s", "1h", example="4m")),
    "How long until all rows of an interval are there; left out: 3 minutes plus the slowest judged request.",
)
PROPAGATION: Final = Key(
    "propagation",
    leaves.seconds("0s", "10m", example="10s"),
    "Until every gateway instance uses new weights.",
)
COLD: Final = Key(
    "cold", leaves.seconds("0s", "10m", example="30s"), "The first part of an instance's life, shown apart."
)
OPERATIONS: Final = Key(
    "operations",
    leaves.whole(1, 50, example=10, what="operations"),
    "How many operations are told apart by traffic.",
)
EXPERT_KEYS: Final = (ALPHA, BETA, INTERVAL, SETTLE, PROPAGATION, COLD, OPERATIONS)
