"""Index a function app with the real Python worker engine, and call its functions, as the host does.

Runs on Python 3.13 with the deployed packages only; the engine's own two packages come last on the path.
    driver.py ENGINE APP < [{"function": name, "payload": ...}, ...] > {"engine": ..., "functions": ..., "calls": ...}
The engine's gRPC messages are only built, never sent, so plain records stand for them.
"""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

CALL_SECONDS = 60
NOW = "2026-01-01T10:00:00+00:00"
NUMBERS = {"undefined": 0, "string": 1, "binary": 2, "stream": 3, "in": 0, "out": 1, "inout": 2}  # of bindings


class _Enum(type):
    """A value of an enum in a message: bindings compare numbers, the rest is told by its name."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return NUMBERS.get(name, name)


class Message(SimpleNamespace, metaclass=_Enum):
    """Any message of the worker's protocol."""


class Protos:
    """The protocol's module."""

    def __getattr__(self, name):
        return Message


async def index(app):
    """Function id and bindings by name, as the engine reports them to the host."""
    from azure_functions_runtime import handle_event
    from azure_functions_runtime.utils.threadpool import start_threadpool_executor

    start_threadpool_executor()
    init = SimpleNamespace(capabilities={}, function_app_directory=app)
    request = SimpleNamespace(worker_init_request=init)
    started = await handle_event.worker_init_request(
        SimpleNamespace(request=request, properties={"host": "127.0.0.1", "protos": Protos()})
    )
    if started.result.status != "Success":
        raise RuntimeError(f"the engine cannot index {app}: {started.result.exception}")
    metadata = await handle_event.functions_metadata_request(None)
    return {
        one.name: (one.function_id, [json.loads(binding) for binding in one.raw_bindings])
        for one in metadata.function_metadata_results or []
    }


def trigger_of(bindings):
    (found,) = [one for one in bindings if one["type"].lower().endswith("trigger")]
    return found


def datums(kind, payload):
    """The trigger's value and its metadata, in the form in which the host sends them."""
    from azure_functions_runtime.bindings.datumdef import Datum

    def strings(values):
        return {key: Datum(str(value), "string") for key, value in (values or {}).items()}

    if kind == "httpTrigger":
        parts = {
            "method": Datum(payload["method"], "string"),
            "url": Datum(payload["url"], "string"),
            "body": Datum(payload.get("body", "").encode(), "bytes"),
        }
        mappings = {key: strings(payload.get(key)) for key in ("headers", "query", "params")}
        return Datum(parts | mappings, "http"), {}
    if kind == "queueTrigger":
        values = {"DequeueCount": 1, "InsertionTime": NOW, "ExpirationTime": NOW, "NextVisibleTime": NOW}
        texts = {"Id": Datum(str(uuid4()), "string"), "PopReceipt": Datum("receipt", "string")}
        return Datum(payload, "string"), texts | {key: Datum(json.dumps(one), "json") for key, one in values.items()}
    return Datum(json.dumps(payload), "json"), {}


def plain(datum):
    """A datum as JSON can hold it."""
    if datum is None:
        return None
    if datum.type == "http":
        body = datum.value["body"].value
        return {
            "status": int(datum.value["status_code"].value),
            "body": body.decode() if isinstance(body, bytes) else body,
        }
    return {"type": datum.type, "value": datum.value}


async def call(function, bindings, payload):
    from azure_functions_runtime.native_invocation import invocation_request_native

    trigger = trigger_of(bindings)
    datum, metadata = datums(trigger["type"], payload)
    inputs = [(trigger["name"], datum)]
    invocation = invocation_request_native(str(uuid4()), function, inputs, metadata)
    ok, returned, outputs, error, trace = await asyncio.wait_for(invocation, CALL_SECONDS)
    return {
        "ok": ok,
        "returned": plain(returned),
        "outputs": {name: plain(value) for name, value in outputs},
        "error": error,
        "trace": trace,
    }


async def main(engine, app):
    calls = json.load(sys.stdin)
    sys.path[:] = [app, *(entry for entry in sys.path if entry not in ("", str(Path(__file__).parent))), engine]
    os.chdir(app)
    try:
        functions = await index(app)
        done = [await call(*functions[one["function"]], one["payload"]) for one in calls]
    except Exception:  # noqa: BLE001 - told to whoever started this
        return {"broken": traceback.format_exc()}
    import azure.functions
    from azure_functions_runtime.version import VERSION

    foreign = sorted(
        {name.split(".")[0] for name in sys.modules} & {"aiohttp", "cli", "duckdb", "lab", "rich", "tests", "typer"}
    )
    return {
        "engine": f"azure-functions-runtime {VERSION}, azure-functions {azure.functions.__version__}",
        "functions": {name: bindings for name, (_, bindings) in functions.items()},
        "calls": done,
        "foreign": foreign,
    }


if __name__ == "__main__":
    answer = asyncio.run(main(*sys.argv[1:]))
    sys.__stdout__.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
