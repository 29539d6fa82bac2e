"""Every partition and key of the state, in one place.

| partition | key | holds |
|---|---|---|
| active | service | that its rollout or its outbox needs ticks |
| s-SERVICE | head | its newest rollout; every start and every lease writes it, so they exclude each other |
| | rollout-R | a rollout; R sorts the newest first |
| | decision-R-NUMBER | a recorded decision with its evidence |
| | counts-R-START-PART, hours-R-START-PART | settled counts; the same hours of past days |
| | out-TIME-INDEX-HASH | a notice for one channel, still to be sent, in order |
| | told-R-TIME-INDEX-HASH | the same once it was sent or given up |
| | deployment-HASH | a deployment id that started a rollout |
| | seen-HASH | a version that was seen |
| | introduced | that we looked at both slots before anything was started |
| | lease | who may deploy to the idle slot now |
| harm-WORKSPACE | SERVICE | when a service last turned harmful |
| policy | version-N, refused-HASH | pushed policies, the newest first; refused ones |
| switches | off, off-SERVICE, mode-SERVICE | `canary off` and the modes set by hand |
| incidents | TIME-HASH | what was not understood, the newest first |

What people choose (versions, deployment ids) is hashed: it may hold what Azure Tables refuses in a key.
"""

import hashlib
import re

ACTIVE = "active"
POLICY = "policy"
SWITCHES = "switches"
INCIDENTS = "incidents"

HEAD = "head"
LEASE = "lease"
INTRODUCED = "introduced"
ROLLOUT = "rollout-"
OUT = "out-"
VERSION = "version-"
OFF = "off"
MODE = "mode-"

FORM = re.compile(r"(?P<service>.+)-(?P<start>[0-9]{8}T[0-9]{6,12}Z?)-(?P<hash>[0-9a-z]{1,64})")
NEWEST_FIRST = str.maketrans("0123456789", "9876543210")
LAST = 10**14  # milliseconds: the year 5138


def service_of(rollout_id: str) -> str | None:
    """The service whose rollout this is; None = that is no rollout's id.

    >>> service_of("check-out-20261124T052831-be1fb2"), service_of("checkout")
    ('check-out', None)
    """
    found = FORM.fullmatch(rollout_id)
    return found["service"] if found else None


def newest_first(rollout_id: str) -> str:
    """What stands for a rollout in keys: later ones sort before earlier ones.

    >>> newest_first("checkout-20261124T052831-be1fb2")
    '79738875T947168-be1fb2'
    """
    found = FORM.fullmatch(rollout_id)
    if found is None:  # not made by intake: still a key, only without an order
        return f"x{_hash(rollout_id, 24)}"
    return f"{found['start'].translate(NEWEST_FIRST)}-{found['hash']}"


def escaped(name: str) -> str:
    """`name` as a part of a key: what Azure Tables refuses is written as =XX.

    >>> escaped("checkout"), escaped("a/b")
    ('checkout', 'a=2Fb')
    """
    return "".join(
        chr(byte) if byte < 128 and (chr(byte).isalnum() or byte in b"._-") else f"={byte:02X}"
        for byte in name.encode("utf-8", "surrogatepass")
    )


def partition(service: str) -> str:
    """Where everything of one service lies."""
    return f"s-{escaped(service)}"


def harm(workspace: str) -> str:
    """Partition of the services of a workspace that turned harmful."""
    return f"harm-{escaped(workspace)}"


def rollout(rollout_id: str) -> str:
    """The rollout itself."""
    return f"{ROLLOUT}{newest_first(rollout_id)}"


def decisions(rollout_id: str) -> str:
    """Prefix of a rollout's decisions."""
    return f"decision-{newest_first(rollout_id)}-"


def decision(rollout_id: str, number: int) -> str:
    """One decision, in order of number."""
    return f"{decisions(rollout_id)}{number:08d}"


def counts(rollout_id: str) -> str:
    """Prefix of a rollout's settled counts."""
    return f"counts-{newest_first(rollout_id)}-"


def same_hours(rollout_id: str) -> str:
    """Prefix of the baseline's counts in the same hours of past days."""
    return f"hours-{newest_first(rollout_id)}-"


def chunk(prefix: str, start: int, part: int) -> str:
    """One chunk of counts from `start` (epoch seconds); `part` counts the records of a chunk too big for one."""
    return f"{prefix}{start:012d}-{part:02d}"


def out(at: float, index: int, notice_id: str, channel: str) -> str:
    """A notice to be sent, in the order of decisions."""
    return f"{OUT}{int(at * 1000):015d}-{index:03d}-{_hash(f'{notice_id} {channel}', 16)}"


def told(rollout_id: str) -> str:
    """Prefix of what was sent or given up about a rollout."""
    return f"told-{newest_first(rollout_id)}-"


def deployment(deployment_id: str) -> str:
    """That this deployment id started a rollout."""
    return f"deployment-{_hash(deployment_id, 32)}"


def seen(version: str) -> str:
    """That this version was seen."""
    return f"seen-{_hash(version, 32)}"


def version(number: int) -> str:
    """A pushed policy, the newest first."""
    return f"{VERSION}{10**9 - number:010d}"


def refused(text: str) -> str:
    """A policy text that was refused."""
    return f"refused-{_hash(text, 32)}"


def off(service: str | None) -> str:
    """The off switch of a service; None = of everything."""
    return OFF if service is None else f"{OFF}-{escaped(service)}"


def mode(service: str) -> str:
    """The mode that a person set."""
    return f"{MODE}{escaped(service)}"


def incident(at: float, kind: str, detail: str) -> str:
    """An incident, the newest first."""
    return f"{LAST - int(at * 1000):015d}-{_hash(f'{kind} {detail}', 12)}"


def _hash(text: str, characters: int) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:characters]
