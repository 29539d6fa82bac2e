"""The presets: complete defaults for a service, in the words of canary.yaml, each with its reason.

A service names one and overrides what it knows better; parse.py reads both by the same rules.
"""

from collections.abc import Mapping
from typing import Final

from rollouts.policy import PresetName

STANDARD: Final[Mapping[str, object]] = {
    # Who installs a controller wants it to act; `observe` is for trying it out.
    "mode": "act",
    # The name that the users' own provisioning gives the named value.
    "marker": "current-slot-name",
    # One user in ten meets a fault first, then half; the switch to 100 follows two judgements.
    "steps": [10, 50, 100],
    # Ten minutes outlast caches, token refreshes and warm-up, the faults that show late.
    "bake": "10m",
    # At 2,000 requests a minute a faultless canary is proven in half an hour; four times that is not luck.
    "deadline": "2h",
    # The side-by-side proof ends at 100; half an hour catches what only full load shows.
    "watch": "30m",
    # An hour of minutes estimates T and the baseline's own unrest, and is not yet another time of day.
    "history": "60m",
    # Promotion is a claim about the version, so it wants a proof; silence is none.
    "promote_when": "proven",
    # Asked for by `unrefuted` only: 100 requests without a fault exclude a rate above 3 % (rule of three).
    "min_requests": 100,
    # A version that is neither proven nor refuted needs a person, not a guess.
    "at_deadline": "hold",
    # Proven harm must not wait for a person to wake up.
    "rollback": "auto",
    # Approval is an organisation's choice, never a default.
    "approvals": [],
    # Weights split requests only: a new version's queues and timers run at once, so somebody must have said yes.
    "non_http": "refused",
    "indicators": {
        # Half a point is what a client's retry hides; a quarter more of what the baseline fails is noise.
        "failures": {"points": 0.5, "ratio": 1.25},
        # Callers' own mistakes vary more than faults do; a version that refuses everybody is far beyond it.
        "rejected": {"points": 1, "ratio": 1.5},
        # 20 % at the 95th percentile is what users begin to notice; one point allows for T's own error.
        "p95": {"quantile": "95%", "slowdown": "20%", "points": 1, "ratio": 1.0},
    },
    # Nothing is known of the service's operations and routes: the ten largest are judged anyway.
    "critical_operations": [],
    "excluded_routes": [],
    "gate": {
        # The path that the sample function and most services answer on.
        "path": "/api/health",
        # An update may leave old and new code answering in turn: three in a row is not one lucky instance.
        "successes": 3,
        # A rolling site update takes up to about 3 minutes; five times that means it failed.
        "deadline": "15m",
        "via": "direct",
        # Longer than a cold start of a small app, far shorter than the rhythm of ticks.
        "timeout": "5s",
    },
    "limits": {
        # Application Insights recovers from most ingestion delays within a quarter of an hour.
        "blind": "15m",
        # No data never promotes and never rolls back by itself.
        "at_blind": "hold",
        # Requests that leave no row may be failing: three times the ingestion delay, then share 0.
        "unobserved": "10m",
        # A sick machine is replaced within minutes; harm that stays is the version's.
        "one_instance": "10m",
        # A weekend: an approval that nobody gave by Monday was forgotten.
        "approval": "72h",
        # A working day and its night: a pause without an end must not be for ever.
        "pause": "24h",
    },
    # Without names a service tells nobody: channels must be listed on purpose.
    "notify": [],
    "expert": {
        # One healthy rollout in a hundred rolled back, one faulty step in a hundred promoted, at most.
        "alpha": "1%",
        "beta": "1%",
        # Application Insights is queried once a minute for a whole workspace: well under 200 queries in 30 s.
        "interval": "1m",
        # Regional gateways normally follow an update of the pool within about 10 seconds.
        "propagation": "10s",
        # The first half minute of an instance's life is start-up, not the version's latency.
        "cold": "30s",
        # The ten largest operations are nearly all of a service's traffic; more only thins the evidence.
        "operations": 10,
    },
}

CAREFUL: Final[Mapping[str, object]] = {
    **STANDARD,
    # One user in twenty first; four judgements before the switch. For 2,000 requests a minute and more.
    "steps": [5, 25, 50, 75, 100],
    # Leaks of memory and connections need half an hour to show.
    "bake": "30m",
    # Half the tolerance at half the first share needs several times the requests.
    "deadline": "6h",
    # A payment provider's or a queue's trouble comes back within two hours.
    "watch": "2h",
    # Two hours: the smaller tolerance needs a better estimate of the baseline.
    "history": "2h",
    # An unproven version does not stay with users overnight.
    "at_deadline": "rollback",
    "indicators": {
        # The tolerance that the judge's published figures are for: proven in 22 to 31 minutes at 10 %.
        "failures": {"points": 0.2, "ratio": 1.25},
        "rejected": {"points": 0.5, "ratio": 1.25},
        # Half of the standard slowdown, with the same point for T's own error.
        "p95": {"quantile": "95%", "slowdown": "10%", "points": 1, "ratio": 1.0},
    },
    # Who chose careful prefers the known version to an unseen one.
    "limits": {"blind": "15m", "at_blind": "rollback", "unobserved": "5m", "one_instance": "5m"}
    | {"approval": "72h", "pause": "24h"},
}

LOW_TRAFFIC: Final[Mapping[str, object]] = {
    **STANDARD,
    # A tenth of little is nothing: a quarter of the traffic gives evidence at all.
    "steps": [25, 50, 100],
    # Long enough that several users came by.
    "bake": "30m",
    # A night: traffic that is low by day may pause altogether.
    "deadline": "12h",
    "watch": "2h",
    # T needs 1,000 requests of the baseline: at one a minute that is most of a day.
    "history": "24h",
    # Below some 200 requests a minute equality cannot be proven in hours; absence of harm can be required.
    "promote_when": "unrefuted",
    # 150 requests without a fault exclude a rate above 2 %, the tolerance below (rule of three).
    "min_requests": 150,
    "indicators": {
        # Few requests can only show large faults: a tolerance that can be judged beats one that cannot.
        "failures": {"points": 2, "ratio": 1.5},
        "rejected": {"points": 3, "ratio": 1.5},
        "p95": {"quantile": "95%", "slowdown": "50%", "points": 3, "ratio": 1.0},
    },
    # Minutes without a request are normal here: wait for an hour before calling it silence.
    "limits": {"blind": "60m", "at_blind": "hold", "unobserved": "60m", "one_instance": "30m"}
    | {"approval": "72h", "pause": "24h"},
}

PRESETS: Final[Mapping[PresetName, Mapping[str, object]]] = {
    "careful": CAREFUL,
    "standard": STANDARD,
    "low-traffic": LOW_TRAFFIC,
}
