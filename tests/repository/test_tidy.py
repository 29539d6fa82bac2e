"""House rules that no linter knows. Each failure says where, and what to write instead."""

import ast
import re

from tests.repository.tree import dotted, files, sources, text, tree

CLOCKS = {  # the clock is made once, in controller/wiring.py; everywhere else `now` is an argument
    "datetime.now": "take `now` as an argument",
    "datetime.datetime.now": "take `now` as an argument",
    "datetime.utcnow": "take `now` as an argument",
    "datetime.today": "take `now` as an argument",
    "date.today": "take `now` as an argument",
    "time.time": "take `now` as an argument",
    "time.monotonic": "take a timer as an argument",
    "time.sleep": "take `sleep` as an argument",
    "random.random": "take a seeded generator as an argument",
    "uuid.uuid4": "derive the id from what it names",
}
CLOCKS_ALLOWED = {"controller/wiring.py"}
WITHOUT_A_CLOCK = ("analyzers", "controller", "function_app", "notifying", "rollouts", "shifting", "storing")

# One word per thing: the left one would be a second word for the right one.
WORDS = {
    "stable": "baseline, or live",
    "primary": "live",
    "candidate": "canary",
    "control": "baseline",
}
PHRASES = [  # where such a word is another thing's own name
    r"control (character|sign)s?",
    r"access control",
    r"Cache-Control",
    r"(version|source) control",
    r"control plane",
    r"primary key",
    r'kind="stable"',
    r"stable/20\d\d",  # a folder of Azure's specifications
    r"https?://\S+",
    r"self\.control",  # the lab's half that answers for Azure's control plane
]
PLACES = re.compile(
    r"/root/|/home/[a-z]|/work/|/opt/|/Users/[a-z]|pypi\.org|pythonhosted|registry\.npmjs|\.\./shared|index-url +\S+://"
)
DRAWERS = {"utils", "util", "helpers", "helper", "core", "manager", "managers", "common", "misc", "lib"}
MAX_LINES = 70
MAX_TRIGGER_LINES = 10
THIS = "tests/repository/test_tidy.py"


def functions(file: str) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [one for one in ast.walk(tree(file)) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]


def constants(file: str) -> list[str]:
    """Names in capitals that a module binds, as often as it does."""
    targets = [
        target
        for one in tree(file).body
        if isinstance(one, ast.Assign | ast.AnnAssign)
        for target in (one.targets if isinstance(one, ast.Assign) else [one.target])
    ]
    plain = [part for one in targets for part in (one.elts if isinstance(one, ast.Tuple) else [one])]
    return [one.id for one in plain if isinstance(one, ast.Name) and one.id.isupper()]


def read_here(file: str) -> set[str]:
    return {one.id for one in ast.walk(tree(file)) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)}


def read_elsewhere() -> set[str]:
    """What any module imports by name, or reads from another one as an attribute."""
    nodes = [node for file in sources() for node in ast.walk(tree(file))]
    imported = {name.name for one in nodes if isinstance(one, ast.ImportFrom) for name in one.names}
    return imported | {one.attr for one in nodes if isinstance(one, ast.Attribute)}


def test_time_and_chance_are_arguments() -> None:
    """A clock as the default of an argument is one that a test can replace."""
    found = []
    for file in set(sources(*WITHOUT_A_CLOCK)) - CLOCKS_ALLOWED:
        signatures = [one.args for one in ast.walk(tree(file)) if isinstance(one, ast.FunctionDef)]
        defaults = {id(one) for signature in signatures for one in (*signature.defaults, *signature.kw_defaults)}
        found += [
            f"{file}:{node.lineno}: {dotted(node)}: {CLOCKS[dotted(node)]}"
            for node in ast.walk(tree(file))
            if isinstance(node, ast.Attribute) and dotted(node) in CLOCKS and id(node) not in defaults
        ]
    assert not found


def test_the_clock_of_the_wiring_is_the_only_one() -> None:
    """The exception exists: a rule without a use would hide that it finds nothing."""
    (wiring,) = CLOCKS_ALLOWED
    assert "time.time" in {dotted(node) for node in ast.walk(tree(wiring)) if isinstance(node, ast.Attribute)}


def test_one_word_per_thing() -> None:
    words = re.compile(rf"\b({'|'.join(WORDS)})s?\b", re.IGNORECASE)
    phrases = re.compile("|".join(one.replace(" ", r"[\s#/]+") for one in PHRASES), re.IGNORECASE)
    found = []
    for file in files():
        if file.endswith((".py", ".md", ".yaml", ".yml", ".bicep", ".kql", ".json")) and file != THIS:
            rest = phrases.sub(lambda phrase: "\n" * phrase.group(0).count("\n"), text(file))
            for match in words.finditer(rest):
                line = rest.count("\n", 0, match.start()) + 1
                found.append(f"{file}:{line}: {match.group(0)}: write {WORDS[match.group(1).lower()]}")
    assert not found


def test_no_place_of_one_machine_is_named() -> None:
    """Neither somebody's folder nor a registry's host: a clone works anywhere."""
    found = [
        f"{file}:{number}: {line.strip()[:100]}"
        for file in files()
        if file != THIS
        for number, line in enumerate(text(file).splitlines(), 1)
        if PLACES.search(line)
    ]
    assert not found


def test_every_module_has_a_subject() -> None:
    assert not [one for one in files() if DRAWERS & set(one.removesuffix(".py").split("/"))]


def test_a_function_fits_on_a_screen() -> None:
    found = [
        f"{file}:{one.lineno}: {one.name} has {lines} lines: a noun is missing"
        for file in sources()
        for one in functions(file)
        if (lines := (one.end_lineno or one.lineno) - one.lineno + 1) > MAX_LINES
    ]
    assert not found


def test_a_trigger_only_nudges() -> None:
    """A function of function_app.py is at most ten lines, docstring and signature not counted."""
    found = {}
    for one in functions("function_app.py"):
        body = one.body[1:] if ast.get_docstring(one) is not None else one.body
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
        if one.decorator_list and lines > MAX_TRIGGER_LINES:
            found[one.name] = lines
    assert not found


def test_no_error_is_swallowed() -> None:
    """An `except` that only passes hides what happened: say why nothing has to be done, or do something."""
    found = [
        f"{file}:{node.lineno}"
        for file in sources()
        for node in ast.walk(tree(file))
        if isinstance(node, ast.ExceptHandler) and all(isinstance(one, ast.Pass) for one in node.body)
    ]
    assert not found


def test_every_constant_is_read_and_bound_once() -> None:
    """A number that nothing reads is a limit that does not hold, and the documents would tell it all the same."""
    found, elsewhere = [], read_elsewhere()
    for file in sources():
        bound, read = constants(file), read_here(file) | elsewhere
        found += [f"{file}: {name} is bound twice" for name in {one for one in bound if bound.count(one) > 1}]
        found += [f"{file}: nothing reads {name}: use it, or remove it" for name in bound if name not in read]
    assert not found


def test_every_module_says_what_it_promises() -> None:
    silent = [one for one in sources() if text(one).strip() and ast.get_docstring(tree(one)) is None]
    assert not [one for one in silent if not one.startswith("tests/lab/apps/")]


def test_nothing_is_left_to_do() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    assert not [one for one in files() if one != THIS and marks.search(text(one))]
