"""The answers of the function app in words: state, share, decisions and evidence, the same in every command."""

from typing import Any

from cli.remote import Answer
from cli.screen import Screen, moment


def state_of(rollout: Answer) -> str:
    """One word for where a rollout stands: its outcome, "held (drift)", or its phase.

    An outcome that is decided and not carried out yet is never said as done.
    """
    phase, outcome, held = rollout.get("phase"), rollout.get("outcome"), hold_of(rollout)
    if outcome and phase != "closing":
        return str(outcome)
    if held:
        return f"held ({held})"
    if outcome:
        return f"closing ({outcome})"
    return "paused" if rollout.get("paused") else str(phase)


def share_of(rollout: Answer) -> str | None:
    """What users have, as read back, and what is wanted where that differs; None without a rollout.

    >>> share_of({"share": 0, "read_back": 10}), share_of({"share": 10, "read_back": None})
    ('10 % (wants 0 %)', '10 %')
    """
    wanted, has = rollout.get("share"), rollout.get("read_back")
    if wanted is None:
        return None
    return f"{wanted} %" if has in (None, wanted) else f"{has} % (wants {wanted} %)"


def hold_of(rollout: Answer) -> str | None:
    """The reason of the hold in force; None = it is not held."""
    hold = rollout.get("hold")
    return str(hold) if hold else None


def decision_line(decision: Answer) -> str:
    """One decision as one line."""
    share = f"{decision.get('share')} %".rjust(5)
    return f"{moment(decision.get('at'))}  {decision.get('phase') or '':<7} {share}  {decision.get('sentence') or ''}"


def says_the_same(before: Answer, decision: Answer) -> bool:
    """Whether a decision repeats the one before: decided, and then read back as decided."""
    return all(before.get(name) == decision.get(name) for name in ("phase", "share", "sentence"))


def evidence(screen: Screen, verdict: dict[str, Any]) -> None:
    """Each indicator: both counts, what is tolerated, and the evidence against both limits."""
    rows = [
        (
            one.get("name"),
            _side(one.get("canary")),
            _side(one.get("baseline")),
            _percent(one.get("boundary")),
            _of(one.get("harm"), one.get("harm_limit")),
            _of(one.get("safe"), one.get("safe_limit")),
            one.get("note") or "",
        )
        for one in verdict.get("indicators", [])
    ]
    title = ": ".join(str(part) for part in ("verdict", verdict.get("kind"), verdict.get("why")) if part)
    screen.table(("indicator", "canary", "baseline", "tolerated", "harm", "safe", "note"), rows, title=title)


def _side(side: dict[str, Any] | None) -> str:
    if not side:
        return "-"
    rate = _percent(side.get("rate"))
    return f"{side.get('bad')}/{side.get('requests')} ({rate})"


def _percent(fraction: object) -> str:
    return f"{fraction * 100:.3g} %" if isinstance(fraction, int | float) else "-"


def _of(value: object, limit: object) -> str:
    if not isinstance(value, int | float) or not isinstance(limit, int | float):
        return "-"
    return f"{value:.1f} of {limit:.1f}"
