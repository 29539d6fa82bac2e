"""From the text of canary.yaml to a Policy: YAML read safely, every problem with its line.

Only the plain part of YAML is taken: mappings, lists and scalars. No tags, no aliases (a few lines of them
expand to gigabytes), no second document, no key twice; `on`, `off` and `010` are what they look like.
"""

import re
from typing import Any, Final

import yaml

from rollouts.errors import InvariantBroken, PolicyError
from rollouts.policy import Policy
from rollouts.policy_file.leaves import Path
from rollouts.policy_file.parse import parse
from rollouts.policy_file.sections import WHOLE, Problems, spelled

MAX_BYTES = 512 * 1024  # of text: one policy version is one record of the store (768 KiB)
MAX_DEPTH = 12  # canary.yaml itself is 6 deep
MAX_NODES = 50_000  # 500 services with every key written out

# Fifty services are read in 0.1 s by libyaml, in 0.7 s without; it may build nothing but text, lists and mappings.
_LOADER: type[Any] = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
_NULL: Final = re.compile(r"|~|null|Null|NULL")
_TRUTH: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE: Final = re.compile(r"[-+]?[0-9]{1,18}")
_DECIMAL: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,3})?")


def load(text: str, whole: str = WHOLE) -> Policy:
    """The policy that `text` describes; PolicyError holds every problem, with its line; `whole` names the text.

    >>> load("services: &all {}")
    Traceback (most recent call last):
    ...
    rollouts.errors.PolicyError: the file (line 1): got an anchor or alias (& or *): write the values out
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        raise PolicyError([f"{whole}: got {size} bytes: write at most {MAX_BYTES}"])
    root = _compose(text, whole)
    if root is None:
        raise PolicyError([f"{whole}: got nothing: write a mapping with the keys channels and services"])
    lines: dict[Path, int] = {}
    problems = Problems(lines, whole)
    tree = _tree(root, (), lines, problems)
    found = problems.list()
    try:
        policy = parse(tree, lines, whole)
    except PolicyError as error:
        raise PolicyError([*found, *error.problems]) from None
    if found:
        raise PolicyError(found)
    return policy


def _compose(text: str, whole: str) -> yaml.Node | None:
    """The node graph, a tree: aliases are refused before anything is built from them."""
    try:
        _refuse_what_is_not_plain(text, whole)
        return yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1})" if mark else ""
        column = f" (column {mark.column + 1})" if mark else ""
        what = f"{error.problem or error.context or 'it cannot be read'}{column}"
        line = next(iter(text.splitlines()[mark.line :]), "") if mark else ""
        tab = "\t" in line[: len(line) - len(line.lstrip())]
        advice = "the line begins with a tab: indent with spaces" if tab else "mend it there or in the line above"
        raise PolicyError([f"{whole}{place}: got text that is not YAML: {what}: {advice}"]) from error
    except yaml.YAMLError as error:
        # A ReaderError: a character that no YAML text may hold.
        position = getattr(error, "position", None)
        line = "" if position is None else f" (line {text.count(chr(10), 0, position) + 1})"
        raise PolicyError([f"{whole}{line}: got a character that YAML does not allow: write plain text"]) from error


def _refuse_what_is_not_plain(text: str, whole: str) -> None:
    """Walk the events, which expand nothing, and refuse what canary.yaml has no use for."""
    depth = nodes = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise PolicyError([f"{whole} (line {line}): got an anchor or alias (& or *): write the values out"])
        if getattr(event, "tag", None):
            raise PolicyError([f"{whole} (line {line}): got a tag (!): remove it; values are read as they look"])
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise PolicyError([f"{whole} (line {line}): got a second document (---): write one"])
        if isinstance(event, yaml.NodeEvent):
            nodes += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise PolicyError([f"{whole} (line {line}): got more than {MAX_DEPTH} levels: canary.yaml has 6"])
        if nodes > MAX_NODES:
            raise PolicyError([f"{whole} (line {line}): got more than {MAX_NODES} values: split the services"])


def _tree(node: yaml.Node, path: Path, lines: dict[Path, int], problems: Problems) -> object:
    """Plain Python values of `node`; `lines` learns where paths begin. MAX_DEPTH bounds the recursion."""
    match node:
        case yaml.MappingNode():
            return _mapping(node, path, lines, problems)
        case yaml.SequenceNode():
            items = []
            for position, item in enumerate(node.value):
                lines[(*path, position)] = item.start_mark.line + 1
                items.append(_tree(item, (*path, position), lines, problems))
            return items
        case yaml.ScalarNode():
            return _scalar(node)
        case _:
            raise InvariantBroken(f"YAML composed a {type(node).__name__}: neither mapping, list nor scalar")


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int], problems: Problems) -> dict[str, object]:
    mapping: dict[str, object] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            problems.add(path, f"a key in line {line} that is a list or mapping", "write a plain word before the colon")
            continue
        key = key_node.value
        where = (*path, key)
        if key in mapping:
            first = lines[where]
            problems.add(where, f"the key {spelled((key,))} again in line {line}", f"keep one; line {first} has it")
            continue
        lines[where] = line
        mapping[key] = _tree(value_node, where, lines, problems)
    return mapping


def _scalar(node: yaml.ScalarNode) -> object:
    """Quoted text stays text; plain scalars follow YAML 1.2, in which `off` is a word and 010 is ten."""
    text: str = node.value
    if node.style:
        return text
    if _NULL.fullmatch(text):
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    return text
