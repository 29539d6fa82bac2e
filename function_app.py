"""The triggers, and nothing else: parse, call the controller or enqueue, return. No event carries a decision.

Event Grid and the timers only wake the controller up; a tick reads the world again. What is heavy is imported
inside, so that the host indexes this file in a fraction of a second and an idle tick costs nothing.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any, List  # noqa: UP035  # the worker accepts typing.List in Out[], not list

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
log = logging.getLogger(__name__)
TICKS = "canary-ticks"
STORAGE = "AzureWebJobsStorage"
Ticks = func.Out[List[str]]  # noqa: UP006


def _wake(ticks: Ticks, services: Iterable[str]) -> None:
    """One queue message for each group of these services, now."""
    from controller.groups import messages
    from controller.wiring import wired

    if found := messages(wired().records, services, wired().now()):
        ticks.set(found)


@app.event_grid_trigger(arg_name="event")
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def on_deployment(event: func.EventGridEvent, ticks: Ticks) -> None:
    """A deployment, a package blob, an ARM write: in Event Grid's schema or as a CloudEvent."""
    from controller.intake import receive
    from controller.signals import arrived
    from controller.wiring import wired

    _wake(ticks, receive(wired().world, arrived(event)))


@app.timer_trigger(arg_name="timer", schedule="%TICK_SCHEDULE%", use_monitor=False)
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def on_tick_timer(timer: func.TimerRequest, ticks: Ticks) -> None:
    """Every interval: one queue message per group of active services. One small read when nothing runs."""
    from controller.wiring import wired

    active = wired().records.active()
    if active:
        log.info("canary.active %d", len(active))  # an alert reads it: a timer that runs while no tick does
    _wake(ticks, active)


@app.queue_trigger(arg_name="message", queue_name=TICKS, connection=STORAGE)
def on_tick(message: func.QueueMessage) -> None:
    """One group of services looks at the world, decides, and acts."""
    from controller.tick import tick_message
    from controller.wiring import wired

    tick_message(wired().world, message.get_body())


@app.queue_trigger(arg_name="message", queue_name=f"{TICKS}-poison", connection=STORAGE)
def on_poison(message: func.QueueMessage) -> None:
    """A tick that failed again and again: recorded and visible. The timer wakes its services anyway."""
    from controller.wiring import wired

    world = wired().world
    world.records.record_incident("poison", message.get_body().decode("utf-8", "replace"), world.now())


@app.timer_trigger(arg_name="timer", schedule="%LOOKOUT_SCHEDULE%", use_monitor=False)
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def on_lookout_timer(timer: func.TimerRequest, ticks: Ticks) -> None:
    """Slower: is there a version on an idle slot that nobody announced?"""
    from controller.intake import lookout_all
    from controller.wiring import wired

    _wake(ticks, lookout_all(wired().world))


def _answer(name: str, request: func.HttpRequest, ticks: Ticks | None = None, **params: str) -> func.HttpResponse:
    """Hand one request to controller.api, and wake what it says."""
    from controller import api
    from controller.principal import principal
    from controller.wiring import wired

    work: Callable[[Any, Any], api.Answer] = getattr(api, name)
    asked = api.Request(
        params={**request.route_params, **params},
        query=dict(request.params),
        body=request.get_body(),
        principal=principal(request.headers),
    )
    answer = api.handled(work, lambda: wired().world, asked)
    if ticks is not None:
        _wake(ticks, answer.wake)
    return func.HttpResponse(answer.body, status_code=answer.status, mimetype="application/json")


@app.route("health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def health(req: func.HttpRequest) -> func.HttpResponse:
    """Are settings, policy and state there? Says nothing that a stranger may not know."""
    return _answer("health", req)


@app.route("services", methods=["GET"])
def services(req: func.HttpRequest) -> func.HttpResponse:
    """Every service: who is live, what runs."""
    return _answer("services", req)


@app.route("rollouts", methods=["GET"])
def rollouts(req: func.HttpRequest) -> func.HttpResponse:
    """The newest rollouts."""
    return _answer("rollouts", req)


@app.route("rollouts/{rollout}", methods=["GET"])
def rollout(req: func.HttpRequest) -> func.HttpResponse:
    """One rollout with its decisions and notices."""
    return _answer("rollout", req)


@app.route("rollouts/{rollout}/counts", methods=["GET"])
def counts(req: func.HttpRequest) -> func.HttpResponse:
    """What the judge was given: every settled count of one rollout."""
    return _answer("counts", req)


@app.route("incidents", methods=["GET"])
def incidents(req: func.HttpRequest) -> func.HttpResponse:
    """Poison messages, unknown events, refused policies."""
    return _answer("incidents", req)


@app.route("config", methods=["GET"])
def config(req: func.HttpRequest) -> func.HttpResponse:
    """The policy in force."""
    return _answer("config", req)


@app.route("config", methods=["PUT"])
def push_config(req: func.HttpRequest) -> func.HttpResponse:
    """Put a policy in force; a bad one is refused whole, with every problem."""
    return _answer("push_config", req)


@app.route("services/{service}/{command}", methods=["POST"])
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def command(req: func.HttpRequest, ticks: Ticks) -> func.HttpResponse:
    """Whatever is asked of one service. One route for all: of two that match, the host takes the first function's name.

    So a literal route beside this one would never be reached.
    """
    return _answer("command", req, ticks)


@app.route("off", methods=["POST"])
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def off(req: func.HttpRequest, ticks: Ticks) -> func.HttpResponse:
    """Stop every write, for one service or for all."""
    return _answer("switch", req, ticks, switch="off")


@app.route("on", methods=["POST"])
@app.queue_output(arg_name="ticks", queue_name=TICKS, connection=STORAGE)
def on(req: func.HttpRequest, ticks: Ticks) -> func.HttpResponse:
    """Allow writes again."""
    return _answer("switch", req, ticks, switch="on")
