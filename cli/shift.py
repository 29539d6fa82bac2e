"""`canary shift`: a share by a person's word, through the function app; or past it, when it is dead or off.

Through the function app the rollout that runs takes the share over and judges on from there. With --direct the
weights are written from here: SHARE is the percent for one slot, the other gets the rest:
- the slot is `--slot`; without it, the one that the marker does not name (so 0 gives all to the live slot).
- 100 moves the marker to that slot, and only after the pool was read back. Repeated without `--slot` it would
  mean the other slot, so from rest (all traffic on the live slot already) it must be named.
- 0 gives all to the other slot and, where the marker named this one, moves the marker back after the pool.
A pool of a named slot never waits for the marker, which may be what is broken.
Whatever is so already is not written: every command may be repeated.
"""

from typing import Annotated

import msgspec
import typer

from cli.acts import Act
from cli.adapters import Adapters
from cli.check import read_policy
from cli.ending import BadInput, ends
from cli.options import Actor, AsJson, PolicyFile, Reason, Service, Url
from cli.screen import Screen
from controller.seams import MarkerShifter, PoolShifter
from rollouts.errors import Conflict, Misconfigured, NotFound, Refused, Unavailable
from rollouts.observation import MarkerReading, PoolReading, Slot, Weights
from rollouts.policy import Pin


@ends
def shift(
    service: Service,
    share: Annotated[int, typer.Argument(min=0, max=100, help="Percent for the slot; the other gets the rest.")],
    *,
    actor: Actor,
    slot: Annotated[
        Slot | None,
        typer.Option(
            "--slot",
            help="Whose share it is; left out: that of the newest rollout's canary, with --direct the idle slot's.",
        ),
    ] = None,
    reason: Reason = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Break glass: write to API Management from here, with your own rights.")
    ] = False,
    policy: PolicyFile = "canary.yaml",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Set the canary's share by hand. 0 aborts, 100 promotes; a share between is judged anew from there.

    A lower share is always allowed; a higher one is refused on harm, and while the pool holds somebody else's weights.
    After a promotion 0 rolls it back. --direct works when the function app is dead: it writes the weights from here,
    and at 100 the marker, after the pool was read back.
    """
    if not direct:
        act = Act("shift", service, url=url, as_json=as_json)
        act.send(share=share, slot=slot and slot.value, actor=actor, reason=reason)
        return
    screen = Screen(as_json=as_json)
    _, read = read_policy(policy)
    found = read.services.get(service)
    if found is None:
        raise NotFound(f"{service}: {policy} has no such service; it has {', '.join(read.services)}")
    adapters = Adapters()
    shifted = Direct(found.pin, adapters.pool, adapters.marker).shift(share, slot)
    _tell(screen, service, shifted)


class Shifted(msgspec.Struct, frozen=True, kw_only=True):
    """What is there now, as read back, and what was written for it."""

    slot: Slot
    pool: PoolReading
    marker: MarkerReading
    wrote: list[str]  # "pool", "marker": in the order of writing


class Direct:
    """The break-glass shift of one service, through the same adapters that the controller uses."""

    def __init__(self, pin: Pin, pools: PoolShifter, markers: MarkerShifter) -> None:
        self._pin, self._pools, self._markers = pin, pools, markers

    def shift(self, share: int, slot: Slot | None) -> Shifted:
        """Pool first, read back, then the marker where it must follow; nothing that is so already is written.

        Where the slot is named the pool does not wait for the marker.
        """
        pin, wrote = self._pin, list[str]()
        pool = self._pools.read(pin.api_management, pin.pool, pin.backends)
        if slot is None:
            slot = self._other(share, self._markers.read(pin.api_management, pin.marker), pool)
        wanted = Weights.of(slot, share)
        if pool.weights != wanted:
            pool = self._pools.write(pin.api_management, pin.pool, pin.backends, wanted, pool.etag)
            wrote.append("pool")
        if pool.weights != wanted:
            raise Refused(
                f"the pool was read back as {_said(pool.weights)}, not {_said(wanted)}: somebody else writes to it. "
                "The marker was not moved; look, then run it again"
            )
        try:
            marker = self._follow({100: slot, 0: slot.other}.get(share), wrote)
        except (Conflict, Misconfigured, Unavailable) as error:
            kind = Unavailable if isinstance(error, Unavailable) else Refused
            raise kind(
                f"the pool gives {_said(pool.weights)} now, the marker is not as it should be: {error}"
            ) from error
        return Shifted(slot=slot, pool=pool, marker=marker, wrote=wrote)

    def _follow(self, live: Slot | None, wrote: list[str]) -> MarkerReading:
        """The marker, brought to `live`; None = it is left as it is."""
        pin = self._pin
        marker = self._markers.read(pin.api_management, pin.marker)
        if live is not None and marker.live is not live:
            marker = self._markers.write(pin.api_management, pin.marker, live, marker.etag)
            wrote.append("marker")
        if live is not None and marker.live is not live:
            raise Conflict(f"it was read back as {marker.live}, not {live}: run it again")
        return marker

    @staticmethod
    def _other(share: int, marker: MarkerReading, pool: PoolReading) -> Slot:
        """The slot that is not live; at 100 from rest it must be named, or a repetition would turn back."""
        idle = marker.live.other
        if share == 100 and pool.weights.share(idle) == 0:
            raise BadInput(
                f"{marker.live} is live and has all traffic: to move it all to {idle}, write --slot {idle} "
                f"(and --slot {marker.live} to leave it where it is)"
            )
        return idle


def _said(weights: Weights) -> str:
    return f"blue {weights.blue} / green {weights.green}"


def _tell(screen: Screen, service: str, shifted: Shifted) -> None:
    weights, live = shifted.pool.weights, shifted.marker.live
    if screen.as_json:
        screen.result(
            {
                "service": service,
                "slot": shifted.slot.value,
                "weights": {"blue": weights.blue, "green": weights.green},
                "marker": live.value,
                "wrote": shifted.wrote,
            }
        )
        return
    done = f"wrote {' and '.join(shifted.wrote)}" if shifted.wrote else "nothing to write, it is so already"
    screen.line(f"{service}: {_said(weights)}, {live} is live ({done})")
    if weights.share(shifted.slot):
        screen.aside(f"to take {shifted.slot} out: canary shift {service} 0 --slot {shifted.slot} --direct")
    screen.aside(
        "a rollout that runs ends as aborted when its canary is at 0; at any other weights it holds as drift: then "
        "canary adopt (these weights) or canary reassert (its own)"
    )
