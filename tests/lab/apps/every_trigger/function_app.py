"""One function for each trigger that the lab's host fires; each writes what it saw into the file SEEN."""

import json
import os
import threading
import time
from pathlib import Path
from typing import List  # noqa: UP035  # the worker does not know list[str]

import azure.functions as func

app = func.FunctionApp()
lock = threading.Lock()
running: list[str] = []


def saw(name: str, **what: object) -> None:
    with lock, Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps({"function": name, **what}) + "\n")


@app.route(route="echo/{word}/{number:int?}", methods=["GET", "POST"])
def echo(req: func.HttpRequest) -> func.HttpResponse:
    body = {
        "type": type(req).__module__,
        "route": dict(req.route_params),
        "query": dict(req.params),
        "body": req.get_body().decode(),
        "url": req.url,
    }
    return func.HttpResponse(json.dumps(body), status_code=201, mimetype="application/json", headers={"x-word": "w"})


@app.route(route="open", auth_level=func.AuthLevel.ANONYMOUS)
async def open_to_all(req: func.HttpRequest) -> str:
    return "open"


@app.route(route="echo/fixed")
def fixed(req: func.HttpRequest) -> str:
    return "the literal route"


@app.route(route="{any}", methods=["PUT"])
def any(req: func.HttpRequest) -> str:  # noqa: A001  # its name comes first
    return "any"


@app.route(route="breaks")
def breaks(req: func.HttpRequest) -> str:
    raise ValueError("no luck with " + os.environ["TEAMS_WEBHOOK_URL"])


@app.route(route="slow")
def slow(req: func.HttpRequest) -> str:
    time.sleep(30)
    return "late"


@app.route(route="send", methods=["POST"])
@app.queue_output(arg_name="work", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
@app.queue_output(arg_name="one", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
def send(req: func.HttpRequest, work: func.Out[List[str]], one: func.Out[str]) -> str:  # noqa: UP006
    given = req.get_json()
    work.set(given["many"])
    one.set(given["one"])
    return "sent"


@app.queue_trigger(arg_name="msg", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None:
    text = msg.get_body().decode()
    saw(
        "work",
        text=text,
        tries=msg.dequeue_count,
        type=type(msg).__name__,
        inserted=msg.insertion_time is not None,
    )
    if text == "hang":
        time.sleep(60)
    if text.startswith("bad"):
        raise ValueError(f"cannot do {text}")


@app.queue_trigger(arg_name="msg", queue_name="work-poison", connection="AzureWebJobsStorage")
async def poisoned(msg: func.QueueMessage) -> None:
    saw("poisoned", text=msg.get_body().decode())


@app.event_grid_trigger(arg_name="event")
def event(event: func.EventGridEvent) -> None:
    if isinstance(event, func.EventGridEvent):
        saw("event", schema="event grid", kind=event.event_type, data=event.get_json())
    else:
        saw("event", schema="cloud events", kind=event.type, data=event.get_json())
    if event.get_json() == {"fail": True}:
        raise ValueError("told to fail")


@app.timer_trigger(arg_name="timer", schedule="%BEAT%")
def beat(timer: func.TimerRequest) -> None:
    running.append("beat")
    saw("beat", overlapping=len(running), past_due=timer.past_due)
    time.sleep(1.2)
    running.pop()


@app.timer_trigger(arg_name="timer", schedule="0 0 0 1 1 *", run_on_startup=True)
@app.queue_output(arg_name="$return", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
async def at_start(timer: func.TimerRequest) -> str:
    return "from the start"


@app.route(route="returns_without_binding")
@app.queue_output(arg_name="out", queue_name="never", connection="AzureWebJobsStorage")
def fills_nothing(req: func.HttpRequest, out: func.Out[str]):  # the worker refuses -> None
    return None
