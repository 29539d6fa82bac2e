"""The leaves of canary.yaml: one small value each, read strictly, with the JSON Schema of what is legal.

A leaf never guesses: 10 is not ten minutes and 0.2 is not 20 %. What does not fit is an `Unfit`, which
says what to write instead; the value itself is shown by `shown`, which repeats no secret.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final, Generic, TypeVar
from urllib.parse import urlsplit

import msgspec

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Word = TypeVar("Word", bound=str)
Path = tuple[str | int, ...]
Schema = dict[str, Any]

MAX_SHOWN_CHARACTERS = 80  # of a refused value: enough to find it, too little to flood a card
MAX_TEXT_CHARACTERS = 500  # of any single text but a query
MAX_QUERY_CHARACTERS = 10_000  # a KQL query of some hundred lines

_UNIT_SECONDS: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?(ms|s|m|h|d)")
_PERCENT: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?%")
_SECRET: Final = re.compile(r"://|(?:sig|code|key|secret|token|password)=|xox[a-z]-", re.IGNORECASE)
_GUID: Final = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"


class Flaw(msgspec.Struct, frozen=True):
    """One thing that is wrong below a leaf: where, what was got, what to write instead."""

    advice: str
    at: Path = ()  # below the leaf: the item of a list
    got: str | None = None  # as shown; None = the leaf's own value


class Unfit(Exception):
    """A value that a leaf does not take; never leaves parsing: it becomes lines of a PolicyError."""

    def __init__(self, advice: str = "", *, flaws: Sequence[Flaw] = ()) -> None:
        super().__init__(advice)
        self.flaws = tuple(flaws) or (Flaw(advice),)


class Leaf(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """How one value is read, what an editor may know of it, and one legal example."""

    read: Callable[[object], T_co]  # raises Unfit
    schema: Schema
    example: object  # as written in the file
    secret: bool = False  # True: a refused value is never repeated


def shown(value: object) -> str:
    """A refused value for a message: short, and without what may be a secret.

    >>> shown([50, 10, 100])
    '[50, 10, 100]'
    >>> shown("https://hooks.example.com/services/T0/B0/abc")
    'https://hooks.example.com/...'
    """
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case int():
            return str(value) if abs(value) < 10**18 else "a number of more than 18 digits"
        case float():
            return f"{value:g}"
        case str():
            return _shown_text(value)
        case dict():
            return "a mapping" if value else "an empty mapping"
        case list() if all(isinstance(item, int | float | str | None) for item in value):
            text = "[" + ", ".join(shown(item) for item in value[:10]) + (", ..." if len(value) > 10 else "") + "]"
            return text if len(text) <= MAX_SHOWN_CHARACTERS * 2 else f"a list of {len(value)}"
        case list():
            return f"a list of {len(value)}"
        case _:
            return f"a {type(value).__name__}"


def may_be_secret(text: str) -> bool:
    """True for URLs, whose path or query may be a key, and for what looks like a token."""
    return _SECRET.search(text) is not None


def _shown_text(text: str) -> str:
    if may_be_secret(text):
        return _without_secret(text)
    text = "".join(one if one.isprintable() else "?" for one in text[: MAX_SHOWN_CHARACTERS + 1])
    return repr(text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "...")


def _without_secret(text: str) -> str:
    """Scheme and host of a URL; of anything else that may carry a secret, nothing."""
    host = re.match(r"(https?)://([A-Za-z0-9.-]{1,100})(:[0-9]{1,5})?(/?)", text)
    if host is None or "@" in text:
        return "a value that may be a secret (not repeated)"
    rest = "" if host.end() == len(text) else "/..."
    return f"{host[1]}://{host[2]}{host[3] or ''}{rest}"


def optional(leaf: Leaf[T]) -> Leaf[T | None]:
    """The same, or null: the same as leaving the line out."""

    def read(value: object) -> T | None:
        return None if value is None else leaf.read(value)

    return Leaf(read=read, schema={"anyOf": [leaf.schema, {"type": "null"}]}, example=leaf.example, secret=leaf.secret)


def listed(leaf: Leaf[T], *, cap: int, what: str) -> Leaf[tuple[T, ...]]:
    """A list of at most `cap` different items; every bad item is told of.

    Letter case makes no difference: the telemetry compares operations and routes without it.
    """

    def read(value: object) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise Unfit(f"write a list of {what}, such as [{leaf.example}]")
        if len(value) > cap:
            raise Unfit(f"write at most {cap} {what}")
        items: list[T] = []
        flaws: list[Flaw] = []
        for position, one in enumerate(value):
            try:
                item = leaf.read(one)
            except Unfit as unfit:
                flaws += [Flaw(flaw.advice, (position, *flaw.at), flaw.got or shown(one)) for flaw in unfit.flaws]
                continue
            if str(item).casefold() in [str(other).casefold() for other in items]:
                flaws.append(Flaw("it is in the list already: write it once", (position,), shown(one)))
            items.append(item)
        if flaws:
            raise Unfit(flaws=flaws)
        return tuple(items)

    schema = {"type": "array", "items": leaf.schema, "maxItems": cap, "uniqueItems": True}
    return Leaf(read=read, schema=schema, example=[leaf.example])


def choice(*names: Word) -> Leaf[Word]:
    """One of a few words."""

    def read(value: object) -> Word:
        for name in names:
            if value == name:
                return name
        raise Unfit(f"write one of {', '.join(names)}")

    return Leaf(read=read, schema={"enum": list(names)}, example=names[0])


def boolean() -> Leaf[bool]:
    """True or false, and no other spelling."""

    def read(value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise Unfit("write true or false")

    return Leaf(read=read, schema={"type": "boolean"}, example=True)


def whole(low: int, high: int, *, example: int, what: str) -> Leaf[int]:
    """A whole number from `low` to `high`."""

    def read(value: object) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        raise Unfit(f"write {what}, a whole number from {low} to {high}, such as {example}")

    return Leaf(read=read, schema={"type": "integer", "minimum": low, "maximum": high}, example=example)


def points() -> Leaf[float]:
    """Percentage points, 0 to below 100, as a fraction: 0.5 -> 0.005."""

    def read(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 100:
            raise Unfit("write percentage points as a number from 0 to below 100, without %, such as 0.5")
        if value == 100:
            raise Unfit("100 points allow every request to fail: write what is tolerable, such as 0.5")
        return float(Decimal(repr(value)) / 100)

    return Leaf(read=read, schema={"type": "number", "minimum": 0, "exclusiveMaximum": 100}, example=0.5)


def factor(high: float, *, example: float) -> Leaf[float]:
    """A factor from 0 to `high`."""

    def read(value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= high:
            return float(value)
        raise Unfit(f"write a factor from 0 to {high:g}, such as {example:g} (1 = no worse than the baseline)")

    return Leaf(read=read, schema={"type": "number", "minimum": 0, "maximum": high}, example=example)


def percent(low: str, high: str, *, example: str, open_low: bool = True) -> Leaf[float]:
    """A percent between two bounds, written with its sign, as a fraction: 95% -> 0.95. `high` is excluded."""
    least, most = Decimal(low), Decimal(high)
    span = f"{'above' if open_low else 'from'} {low}% {'and' if open_low else 'to'} below {high}%"

    def read(value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            raise Unfit(f"write a percent with its sign, {span}, such as {example}")
        found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise Unfit(f"write a percent {span}, such as {example}")
        given = Decimal(found[1])
        if given < least or given >= most or (open_low and given == least):
            raise Unfit(f"write a percent {span}, such as {example}")
        return float(given / 100)

    return Leaf(read=read, schema={"type": "string", "pattern": rf"^{_PERCENT.pattern}$"}, example=example)


def seconds(low: str, high: str, *, example: str) -> Leaf[int]:
    """A duration in whole seconds between two bounds, both legal: 10m -> 600."""
    least, most = _span(low), _span(high)

    def read(value: object) -> int:
        given = _duration(value, example)
        if given != given.to_integral_value():
            raise Unfit(f"write whole seconds, such as {example}")
        if not least <= given <= most:
            raise Unfit(f"write a duration from {low} to {high}, such as {example}")
        return int(given)

    return Leaf(read=read, schema={"type": "string", "pattern": rf"^{_DURATION.pattern}$"}, example=example)


def milliseconds(low: str, high: str, *, example: str) -> Leaf[float]:
    """A duration in milliseconds between two bounds, both legal: 0.8s -> 800.0."""
    least, most = _span(low), _span(high)

    def read(value: object) -> float:
        given = _duration(value, example)
        if not least <= given <= most:
            raise Unfit(f"write a duration from {low} to {high}, such as {example}")
        return float(given * 1000)

    return Leaf(read=read, schema={"type": "string", "pattern": rf"^{_DURATION.pattern}$"}, example=example)


def _span(text: str) -> Decimal:
    return _duration(text, text)


def _duration(value: object, example: str) -> Decimal:
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise Unfit(f"write a duration with its unit (ms, s, m, h, d), such as {example}")
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise Unfit(f"write one number and one unit (ms, s, m, h, d), such as {example}")
    return Decimal(found[1]) * _UNIT_SECONDS[found[2]]


def duration_text(span: float) -> str:
    """Seconds in the words of the file.

    >>> [duration_text(span) for span in (90, 600, 7200, 86400, 0.5)]
    ['90s', '10m', '2h', '1d', '500ms']
    """
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if span and span % size == 0:
            return f"{int(span // size)}{unit}"
    return f"{span * 1000:g}ms"


def text(pattern: str, *, what: str, example: str, secret: bool = False, cap: int = MAX_TEXT_CHARACTERS) -> Leaf[str]:
    """A text that matches `pattern` wholly (in both Python's and JSON Schema's dialect)."""
    compiled = re.compile(pattern)

    def read(value: object) -> str:
        if isinstance(value, str) and len(value) <= cap and compiled.fullmatch(value):
            return value
        raise Unfit(f"write {what}, such as {example}")

    schema = {"type": "string", "pattern": f"^(?:{pattern})$", "maxLength": cap}
    return Leaf(read=read, schema=schema, example=example, secret=secret)


def query() -> Leaf[str]:
    """A KQL query: a text that reads a table, never a management command."""
    advice = "write a KQL query that returns the pinned row shape, such as AppRequests | where ..."

    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise Unfit(advice)
        if len(value) > MAX_QUERY_CHARACTERS:
            raise Unfit(f"write at most {MAX_QUERY_CHARACTERS} characters: move the rest into a saved function")
        if value.lstrip().startswith("."):
            raise Unfit(f"a management command is no query: {advice}")
        return value

    schema = {"type": "string", "minLength": 1, "maxLength": MAX_QUERY_CHARACTERS}
    return Leaf(read=read, schema=schema, example="AppRequests | where ...")


def url(*, example: str) -> Leaf[str]:
    """A base URL, without query, user or trailing slash; plain http on loopback only."""

    def read(value: object) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS or re.search(r"[\s\\]", value):
            raise Unfit(f"write the base URL, such as {example}")
        try:
            parts = urlsplit(value)
            host, _port = parts.hostname, parts.port
        except ValueError as error:
            raise Unfit(f"write the base URL, such as {example}") from error
        if parts.scheme not in {"http", "https"} or not host or not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
            raise Unfit(f"write the base URL, such as {example}")
        if parts.query or parts.fragment or parts.username is not None or "@" in parts.netloc:
            raise Unfit("write it without user, query and fragment: keys belong into app settings")
        if parts.scheme == "http" and not is_loopback(value):
            raise Unfit(f"write https://: only loopback may be plain http, such as {example}")
        return value.rstrip("/")

    return Leaf(read=read, schema={"type": "string", "pattern": "^https?://[^?#@\\s]+$"}, example=example)


def is_loopback(address: str) -> bool:
    """True when the URL's host is this machine itself: the lab.

    >>> is_loopback("http://127.0.0.1:7071"), is_loopback("https://localhost.example.com")
    (True, False)
    """
    host = urlsplit(address).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def arm_id(provider: str, kind: str, *, what: str) -> Leaf[str]:
    """The ARM id of one resource of `provider`/`kind`, in any letter case."""
    subscription = "00000000-0000-0000-0000-000000000000"
    example = f"/subscriptions/{subscription}/resourceGroups/my-group/providers/{provider}/{kind}/my-name"
    spelled = "".join(f"[{s.lower()}{s.upper()}]" if s.isalpha() else re.escape(s) for s in f"{provider}/{kind}")
    pattern = (
        rf"/[sS]ubscriptions/{_GUID}/[rR]esource[gG]roups/[A-Za-z0-9._()-]{{1,90}}"
        rf"/[pP]roviders/{spelled}/[A-Za-z0-9-]{{1,60}}"
    )
    return text(pattern, what=f"the ARM id of {what}", example=example)


def guid(*, what: str) -> Leaf[str]:
    """A GUID."""
    return text(_GUID, what=what, example="00000000-0000-0000-0000-000000000000")


SERVICE_PATTERN: Final = r"[a-z][a-z0-9-]{0,49}"
NAME_PATTERN: Final = r"[A-Za-z][A-Za-z0-9_-]{0,49}"


def resource_name(*, what: str, example: str) -> Leaf[str]:
    """A name inside API Management or storage."""
    return text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", what=what, example=example)


def route() -> Leaf[str]:
    """A path on the app: it begins with a slash and holds no space, query or fragment."""
    return text(
        r"/[^\s?#\\]{0,199}",
        what="a path that begins with / and has no query",
        example="/api/health",
        cap=200,
    )


def route_prefix() -> Leaf[str]:
    """A path whose requests are not judged; never all of them."""
    inner = route()

    def read(value: object) -> str:
        prefix = inner.read(value)
        if not prefix.strip("/"):
            raise Unfit("/ excludes every request, and nothing would be judged: write a longer path, such as /internal")
        return prefix

    return Leaf(read=read, schema=inner.schema, example="/internal")
