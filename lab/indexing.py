"""Any `function_app.py`, indexed and invoked through azure-functions' own decorators and converters.

What the Python worker does, without a worker: so that handlers receive the types that they receive in Azure.
"""

import asyncio
import contextvars
import importlib.util
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
import msgspec
from azure.functions.meta import Datum, get_binding_registry

SETTING = re.compile(r"%([^%\s]+)%")
RETURN = "$return"


class IndexingError(Exception):
    """The app cannot be indexed; Azure would show it without functions. Says which function and why."""


class Output(msgspec.Struct, frozen=True):
    """What a handler gave to one output binding, encoded as the host receives it."""

    binding: dict[str, Any]
    datum: Datum


class _Out(func.Out[Any]):
    """The object behind a handler's `func.Out` parameter."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: Any) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class Indexed:
    """One function: its name, its trigger and outputs as binding dicts, and how to call it."""

    def __init__(self, function: Any, settings: Mapping[str, str]) -> None:
        self.name: str = function.get_function_name()
        self._call: Callable[..., Any] = function.get_user_function()
        bindings = [_expanded(b.get_dict_repr(), settings, self.name) for b in function.get_bindings()]
        triggers = [b for b in bindings if str(b["type"]).lower().endswith("trigger")]
        if len(triggers) != 1:
            raise IndexingError(f"function {self.name}: {len(triggers)} triggers; a function has exactly one")
        self.trigger: dict[str, Any] = triggers[0]
        self.outputs: list[dict[str, Any]] = [b for b in bindings if b is not self.trigger]
        self._in = _converter(self.trigger["type"], self.name)
        self._out = {b["name"]: _converter(b["type"], self.name) for b in self.outputs}
        self._is_async = inspect.iscoroutinefunction(self._call)
        self._check_parameters()
        self._check_annotations()

    @property
    def kind(self) -> str:
        """The trigger's type: httpTrigger, timerTrigger, queueTrigger, eventGridTrigger."""
        return str(self.trigger["type"])

    def _check_parameters(self) -> None:
        bound = {self.trigger["name"], *self._out} - {RETURN}
        parameters = set(inspect.signature(self._call).parameters)
        if bound != parameters:
            raise IndexingError(
                f"function {self.name}: parameters {sorted(parameters)}, bindings {sorted(bound)}; "
                "name every binding's arg_name after a parameter and the other way round"
            )

    def _check_annotations(self) -> None:
        """The worker's rules: what it refuses in Azure must not run here."""
        hints = typing.get_type_hints(self._call)
        for parameter in inspect.signature(self._call).parameters:
            if parameter not in hints:
                continue
            annotation = hints[parameter]
            if parameter == self.trigger["name"]:
                fits = _is_type(annotation) and self._in.check_input_type_annotation(annotation)
            else:
                held = typing.get_args(annotation)
                fits = typing.get_origin(annotation) is func.Out and len(held) == 1 and _is_type(held[0])
                fits = fits and self._out[parameter].check_output_type_annotation(held[0])
            if not fits:
                raise IndexingError(
                    f"function {self.name}: the worker refuses the annotation {annotation} of {parameter}; write the "
                    "trigger's own class, or func.Out[...] of one class or of typing.List (not of list[...])"
                )
        if RETURN in self._out and "return" in hints:
            self._check_return(hints["return"])

    def _check_return(self, annotation: Any) -> None:
        if not _is_class(annotation) or not self._out[RETURN].check_output_type_annotation(annotation):
            raise IndexingError(
                f"function {self.name}: the worker refuses the return annotation {annotation}; an HTTP function "
                "returns func.HttpResponse or str"
            )

    async def invoke(
        self, datum: Datum, metadata: Mapping[str, Datum], threads: Executor
    ) -> tuple[Datum | None, list[Output]]:
        """Decode, call, encode: the HTTP response and the other outputs. Raises what the handler raises."""
        arguments = {self.trigger["name"]: self._in.decode(datum, trigger_metadata=metadata)}
        arguments |= {b["name"]: _Out() for b in self.outputs if b["name"] != RETURN}
        if self._is_async:
            returned = await self._call(**arguments)
        else:
            context = contextvars.copy_context()
            loop = asyncio.get_running_loop()
            returned = await loop.run_in_executor(threads, lambda: context.run(self._call, **arguments))
        return self._encoded(returned, arguments)

    def _encoded(self, returned: Any, arguments: Mapping[str, Any]) -> tuple[Datum | None, list[Output]]:
        if returned is not None and RETURN not in self._out:
            raise TypeError(f"function {self.name} without a $return binding returned a {type(returned).__name__}")
        answer = None
        outputs = []
        for binding in self.outputs:
            value = returned if binding["name"] == RETURN else arguments[binding["name"]].get()
            if value is None:
                continue
            datum = self._out[binding["name"]].encode(value, expected_type=None)
            if binding["type"] == "http":
                answer = datum
            else:
                outputs.append(Output(binding, datum))
        return answer, outputs


def index(app: func.FunctionRegister, settings: Mapping[str, str]) -> list[Indexed]:
    """Every function of `app`, with %SETTING% expanded in its bindings."""
    found = [Indexed(function, settings) for function in app.get_functions()]
    if not found:
        raise IndexingError("the app has no functions")
    return found


def load(folder: Path) -> func.FunctionRegister:
    """Import `folder`/function_app.py as the worker does (its folder first on sys.path) and find its app."""
    script = folder / "function_app.py"
    if not script.is_file():
        raise IndexingError(f"there is no function_app.py in {folder}")
    sys.path[:] = [str(folder), *(entry for entry in sys.path if entry not in ("", str(folder)))]
    spec = importlib.util.spec_from_file_location("function_app", script)
    if spec is None or spec.loader is None:
        raise IndexingError(f"{script} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    spec.loader.exec_module(module)
    return _only_app(module)


def _only_app(module: ModuleType) -> func.FunctionRegister:
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        raise IndexingError(f"function_app.py holds {len(apps)} function apps; one is needed: app = func.FunctionApp()")
    return next(iter(apps.values()))


def _is_type(annotation: Any) -> bool:
    """A class, or typing's own generic form of one: list[str] and A | B are neither for the worker."""
    if isinstance(annotation, types.GenericAlias | types.UnionType):
        return False
    return _is_class(annotation) or isinstance(typing.get_origin(annotation), type)


def _is_class(annotation: Any) -> bool:
    return isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias)


def _converter(binding: str, name: str) -> Any:
    found = get_binding_registry().get(binding)  # type: ignore[no-untyped-call]  # azure-functions leaves it untyped
    if found is None:
        raise IndexingError(f"function {name}: azure-functions has no converter for the binding {binding!r}")
    return found


def _expanded(binding: dict[str, Any], settings: Mapping[str, str], name: str) -> dict[str, Any]:
    def expand(value: Any) -> Any:
        return (
            SETTING.sub(lambda match: _setting(match.group(1), settings, name), value)
            if isinstance(value, str)
            else value
        )

    return {key: expand(value) for key, value in binding.items()}


def _setting(key: str, settings: Mapping[str, str], name: str) -> str:
    if key not in settings:
        raise IndexingError(f"function {name}: %{key}% is used in a binding and not set; add {key} to the app settings")
    return settings[key]
