"""The HTTP API without a framework: a request value in, an answer value out. function_app.py carries both.

Errors become statuses here, in one place: 400 the request is wrong, 404 not there, 409 not now, 503 not
reachable. Every answer is JSON; every error says what, where and what to do.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import msgspec

from controller import intake, requests, signals, views
from controller.config import MAX_BYTES, load
from controller.world import World
from rollouts import limits
from rollouts.command import Command, CommandKind
from rollouts.errors import Conflict, InvariantBroken, Misconfigured, NotFound, PolicyError, Refused, Unavailable
from rollouts.observation import Mode, Slot
from rollouts.rollout import Announcement, Rollout

Body = TypeVar("Body")
VERSION = "0.1.0"
MAX_LISTED = 200
MAX_NAME_CHARACTERS = 200  # of a service or rollout in a route: the store's keys end at 512
Short = Annotated[str, msgspec.Meta(max_length=200)]  # as in an event: it is stored, and told on cards
Long = Annotated[str, msgspec.Meta(max_length=limits.DETAIL_CHARACTERS)]
ACTOR_CHARACTERS = 100  # of a name as it is claimed; a principal is kept whole
MAX_REQUEST_BYTES = MAX_BYTES  # a policy file is the largest thing that anybody sends


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request."""

    params: Mapping[str, str]  # of the route: service, rollout, command
    query: Mapping[str, str]
    body: bytes
    principal: str | None  # authenticated by App Service; None = authentication is off, the actor is a claim


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer, and the services that it makes tick now."""

    status: int
    body: bytes
    wake: tuple[str, ...] = ()


class Asked(msgspec.Struct, kw_only=True):
    """What every POST may carry."""

    actor: str = "unknown"
    reason: str = ""


class AskedTarget(Asked, kw_only=True):
    """POST target."""

    owner: Short
    seconds: float = requests.LEASE_SECONDS
    preempt: bool = False


class AskedRelease(Asked, kw_only=True):
    """POST release."""

    owner: Short


class AskedStart(Asked, kw_only=True):
    """POST start."""

    version: str
    slot: Slot | None = None
    deployment_id: Short | None = None
    link: Long | None = None
    commit: Long | None = None
    ask_before_rollback: bool = False


class AskedCommand(Asked, kw_only=True):
    """POST pause, resume, approve, promote, abort, adopt, reassert, rollback, shift."""

    minutes: float | None = None
    share: int | None = None
    slot: Slot | None = None


class AskedMode(Asked, kw_only=True):
    """POST mode."""

    mode: Mode


class AskedSwitch(Asked, kw_only=True):
    """POST off, on."""

    service: str | None = None


def handled(work: Callable[[World, Request], Answer], world: Callable[[], World], request: Request) -> Answer:
    """`work` with every error of ours as an answer."""
    try:
        return work(world(), request)
    except PolicyError as error:
        return error_answer(400, "the policy has errors", problems=error.problems)
    except msgspec.ValidationError as error:
        return error_answer(400, f"the request's body: {error}")
    except NotFound as error:
        return error_answer(404, str(error))
    except (Refused, Conflict) as error:
        return error_answer(409, str(error))
    except Unavailable as error:
        return error_answer(503, str(error), retry_at=error.retry_at)
    except Misconfigured as error:
        return error_answer(503, str(error))
    except InvariantBroken as error:
        return error_answer(500, f"a bug of ours, nothing was changed: {error}")


def health(world: World, _request: Request) -> Answer:
    """GET /health: settings, policy and state can be read."""
    world.policy()
    world.records.active()
    return ok({"ok": True, "version": VERSION})


def services(world: World, _request: Request) -> Answer:
    """GET /services."""
    return ok({"services": [views.service(world, name) for name in sorted(world.policy().services)]})


def rollouts(world: World, request: Request) -> Answer:
    """GET /rollouts?service=&limit=."""
    wanted = request.query.get("service")
    names = [_named("service", wanted)] if wanted else sorted(world.policy().services)
    limit = _limit(request)
    found = [one for name in names for one in world.records.rollouts(name, limit)]
    if wanted and not found:
        intake.service_policy(world, wanted)  # one that left the file still has its rollouts
    newest = sorted(found, key=lambda one: one.started_at, reverse=True)[:limit]
    return ok({"rollouts": [views.summary(one) for one in newest]})


def rollout(world: World, request: Request) -> Answer:
    """GET /rollouts/{rollout}."""
    return ok(views.detail(world, _rollout(world, request)))


def counts(world: World, request: Request) -> Answer:
    """GET /rollouts/{rollout}/counts: what the judge was given, for `canary replay`."""
    return ok(views.counts(world, _rollout(world, request)))


def incidents(world: World, request: Request) -> Answer:
    """GET /incidents?limit=."""
    return ok({"incidents": world.records.incidents(_limit(request))})


def config(world: World, _request: Request) -> Answer:
    """GET /config: the policy in force, with what is wrong with a pushed one that cannot be read any more."""
    pushed, refused = world.records.policy(), list[str]()
    if pushed is not None:
        try:
            load(pushed.yaml)
        except PolicyError as error:
            refused = [f"pushed version {pushed.version}: {one}" for one in error.problems]
    if pushed is None or refused:
        packaged = {"version": None, "pushed_at": None, "actor": None, "source": "packaged", "yaml": world.packaged()}
        return ok({**packaged, "refused": refused})
    return ok(
        {
            "version": pushed.version,
            "pushed_at": pushed.at,
            "actor": pushed.actor,
            "source": "pushed",
            "yaml": pushed.yaml,
            "refused": [],
        }
    )


def push_config(world: World, request: Request) -> Answer:
    """PUT /config: the body is the YAML text."""
    if len(request.body) > MAX_REQUEST_BYTES:
        raise PolicyError([f"the file: got {len(request.body)} bytes: write at most {MAX_REQUEST_BYTES}"])
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PolicyError([f"the file: byte {error.start} is not UTF-8: save it as UTF-8"]) from error
    asked = Asked(actor=request.query.get("actor", "unknown"), reason=request.query.get("reason", ""))
    return ok(requests.push_config(world, text, _who(request, asked)))


def target(world: World, request: Request) -> Answer:
    """POST /services/{service}/target."""
    asked = _body(request, AskedTarget)
    who = requests.Who(actor=_owner(asked.owner), reason=asked.reason)
    found = requests.target(world, _service(request), who, seconds=asked.seconds, preempt=asked.preempt)
    return ok(found)


def release(world: World, request: Request) -> Answer:
    """POST /services/{service}/release."""
    asked, service = _body(request, AskedRelease), _service(request)
    given = requests.release(world, service, requests.Who(actor=_owner(asked.owner), reason=asked.reason))
    return ok({"service": service, "released": given})


def _owner(owner: str) -> str:
    """Whose lease it is. A blank one would be everybody's: two pipelines with an unset variable would share it."""
    if not owner.strip():
        raise msgspec.ValidationError(
            "owner is blank: write who deploys, such as the pipeline run's id (is its variable set?)"
        )
    return owner


def start(world: World, request: Request) -> Answer:
    """POST /services/{service}/start."""
    asked, service = _body(request, AskedStart), _service(request)
    if not signals.VERSION.fullmatch(asked.version):
        raise msgspec.ValidationError(f"version is {asked.version[:50]!r}: {signals.VERSION_ADVICE}")
    who = _who(request, asked)
    told = Announcement(
        service=service,
        slot=asked.slot,
        version=asked.version,
        deployment_id=asked.deployment_id or f"start-{asked.version}-{int(world.now())}",
        by=f"person:{who.actor}",
        link=asked.link,
        commit=asked.commit,
        ask_before_rollback=asked.ask_before_rollback,
    )
    return ok({"rollout": views.summary(requests.start(world, told))}, wake=(service,))


def command(world: World, request: Request) -> Answer:
    """POST /services/{service}/{command}: to the service, or to its rollout."""
    of_service = {"target": target, "release": release, "start": start, "mode": mode}
    verb = _param(request, "command")
    if verb in of_service:
        return of_service[verb](world, request)
    if verb not in tuple(CommandKind):
        raise NotFound(f"{verb[:50]!r} is no command: use one of {', '.join((*CommandKind, *of_service))}")
    service, asked = _service(request), _body(request, AskedCommand)
    who = _who(request, asked)
    ordered = Command(
        kind=CommandKind(verb),
        actor=who.actor,
        reason=who.reason,
        minutes=asked.minutes,
        share=asked.share,
        slot=asked.slot,
    )
    done = requests.act(world, service, ordered)
    return ok({"rollout": views.summary(done.rollout), "sentence": done.sentence}, wake=(service,))


def mode(world: World, request: Request) -> Answer:
    """POST /services/{service}/mode."""
    asked, service = _body(request, AskedMode), _service(request)
    sentence = requests.set_mode(world, service, asked.mode, _who(request, asked))
    return ok({"service": service, "mode": asked.mode, "sentence": sentence}, wake=(service,))


def switch(world: World, request: Request) -> Answer:
    """POST /off and /on."""
    asked, off = _body(request, AskedSwitch), request.params["switch"] == "off"
    requests.switch(world, asked.service, _who(request, asked), off=off)
    return ok({"service": asked.service, "off": off}, wake=tuple(world.records.active()))


def ok(value: Any, *, wake: tuple[str, ...] = ()) -> Answer:
    """200 with JSON."""
    return Answer(status=200, body=msgspec.json.encode(views.plain(value)), wake=wake)


def error_answer(status: int, text: str, *, problems: list[str] | None = None, retry_at: float | None = None) -> Answer:
    """An error with JSON; `retry_at` in epoch seconds, None = it is not known."""
    body: dict[str, Any] = {"error": text} | ({"problems": problems} if problems else {})
    if retry_at is not None:
        body["retry_at"] = retry_at
    return Answer(status=status, body=msgspec.json.encode(body))


def _rollout(world: World, request: Request) -> Rollout:
    wanted = _param(request, "rollout")
    stored = world.records.find(wanted)
    if stored is None:
        raise NotFound(f"rollout {wanted[:100]!r} is not stored: `canary status` lists the newest")
    return stored.value


def _service(request: Request) -> str:
    return _param(request, "service")


def _param(request: Request, name: str) -> str:
    """A part of the route."""
    if not (value := request.params.get(name)):
        raise NotFound(f"the route names no {name}")
    return _named(name, value)


def _named(what: str, value: str) -> str:
    """`value`, unless it is too long to be the key of anything."""
    if len(value) > MAX_NAME_CHARACTERS:
        raise NotFound(f"{what} {value[:50]!r}... has {len(value)} characters: no {what} has so long a name")
    return value


def _limit(request: Request) -> int:
    text = request.query.get("limit", "20")
    if not text.isdigit() or not 0 < int(text) <= MAX_LISTED:
        raise msgspec.ValidationError(f"limit is {text[:20]!r}: give a number from 1 to {MAX_LISTED}")
    return int(text)


def _who(request: Request, asked: Asked) -> requests.Who:
    """The authenticated principal goes before the claimed name."""
    actor = request.principal or f"{asked.actor[:ACTOR_CHARACTERS]} (claimed)"
    return requests.Who(actor=actor, reason=asked.reason[: limits.DETAIL_CHARACTERS])


def _body(request: Request, kind: type[Body]) -> Body:
    if len(request.body) > MAX_REQUEST_BYTES:
        raise msgspec.ValidationError(f"{len(request.body)} bytes: send at most {MAX_REQUEST_BYTES}")
    try:
        return msgspec.json.decode(request.body or b"{}", type=kind)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError as error:
        raise msgspec.ValidationError(f"is not JSON ({error})") from error
