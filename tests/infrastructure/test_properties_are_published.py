"""Each property of each resource is one of its published type: BCP035, BCP036, BCP037 before the compiler says them.

published_types.json lists what is used and was looked up. A new property is looked up first, in the types of the
pinned version (Azure/bicep-types-az, generated/**/types.md), and then written there.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tree_sitter import Node

from tests.infrastructure.reading import Source, nodes, parsed, sources, text_of

PUBLISHED: dict[str, dict[str, str]] = json.loads((Path(__file__).parent / "published_types.json").read_text())["types"]
SYMBOLS = {"parent", "scope", "dependsOn"}  # Bicep's own, of every resource
KINDS = {"string": "string", "number": "int", "boolean": "bool", "array": "array", "object": "object"}
RESOURCES = [
    pytest.param(bicep, node, id=f"{bicep.name}:{text_of(node.named_children[0])}")
    for bicep in sources()
    for node in bicep.tree.named_children
    if node.type == "resource_declaration" and " existing = " not in text_of(node).split("\n", 1)[0]
]
BROKEN = """
@allowed([
  'Enabled'
  'Hidden'
])
param access string

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: 'x'
  location: 'westeurope'
  sku: {
    nam: 'Standard_LRS'
  }
  properties: {
    allowSharedKeyAccess: 'false'
    minimumTlsVersion: 'TLS_1_2'
    networkAcls: [
      1
    ]
    publicNetworkAccess: access
  }
}
"""


def variables(tree: Node) -> dict[str, Node]:
    """Name -> value of each variable."""
    found = [node for node in tree.named_children if node.type == "variable_declaration"]
    return {text_of(node.named_children[0]): node.named_children[-1] for node in found}


def values(node: Node, path: str, known: Mapping[str, Node]) -> Iterator[tuple[str, Node]]:
    """(path, value) of everything that an expression can be, through variables, conditions, loops and map()."""
    match node.type:
        case "object":
            for one in node.named_children:
                if one.type == "object_property":
                    key = text_of(one.named_children[0]).strip("'")
                    yield from values(one.named_children[1], f"{path}.{key}".removeprefix("."), known)
            if not node.named_children:
                yield path, node
        case "array":
            yield path, node
            for one in node.named_children:
                if one.type != "comment":
                    yield from values(one, f"{path}[]", known)
        case "ternary_expression":
            for one in node.named_children[1:]:
                yield from values(one, path, known)
        case "for_statement":
            yield from values(node.named_children[-1], f"{path}[]", known)
        case "call_expression" if text_of(node.named_children[0]) == "map":
            yield from values(next(nodes(node, "lambda_expression")).named_children[-1], f"{path}[]", known)
        case "identifier" if text_of(node) in known:
            yield from values(known[text_of(node)], path, known)
        case "null":
            pass
        case _:
            yield path, node


def published(path: str, fields: Mapping[str, str]) -> str | None:
    """What the path must hold; None = there is no such property. An array may be written as a whole or by its items."""
    for known, kind in fields.items():
        if re.fullmatch(re.escape(known).replace(r"\*", r"[^[\]]+"), path):
            return kind
        if known.startswith((f"{path}[]", f"{path}.")):
            return "array" if known.startswith(f"{path}[]") else "object"
    return None


def problems(node: Node, bicep: Source) -> list[str]:
    """What about a declared resource is not as published."""
    fields = PUBLISHED[kind_of(node)]
    found, seen = [], set()
    for path, value in values(next(nodes(node, "object")), "", variables(bicep.tree)):
        if re.split(r"[.[]", path)[0] in SYMBOLS:
            continue
        seen.add(path)
        kind = published(path, fields)
        if kind is None:
            found.append(f"{path} is no property that was looked up")
        else:
            found += [f"{path}: {text} is not {kind}" for text in unfit(value, kind.rstrip("!"), bicep)]
    for path, kind in fields.items():
        parent = path.rpartition(".")[0]
        there = not parent or any(below(one, parent) for one in seen)
        if kind.endswith("!") and there and not any(one == path or below(one, path) for one in seen):
            found.append(f"{path} is missing")
    return found


def below(path: str, parent: str) -> bool:
    """Whether a path goes through another."""
    return path.startswith((f"{parent}.", f"{parent}["))


def unfit(value: Node, kind: str, bicep: Source) -> list[str]:
    """The texts of a value that cannot be of this kind; what is only known later fits."""
    own, texts = KINDS.get(value.type), [text_of(value)]
    parameter = bicep.values.get("parameters", {}).get(texts[0])
    if parameter is not None:
        own = parameter["type"]
        choices = [one["argument"] for one in parameter["decorators"] if one["type"] == "allowed"]
        texts = [f"'{one}'" for one in choices[0]] if choices and own == "string" else texts
    if own is None or kind == "any":
        return []
    if kind in KINDS.values():
        return [] if own == kind else texts
    literals = [text for text in texts if text.startswith("'") and "${" not in text]
    return [text for text in literals if text.strip("'") not in kind.split("|")] if own == "string" else texts


def kind_of(node: Node) -> str:
    """Type and version of a declared resource."""
    return text_of(next(nodes(node, "string"))).strip("'")


@pytest.mark.parametrize(("holder", "node"), RESOURCES)
def test_each_property_of_a_resource_is_published(holder: Source, node: Node) -> None:
    assert problems(node, holder) == []


def test_nothing_is_listed_that_is_not_used() -> None:
    """What nobody uses was looked up for nobody."""
    used: dict[str, set[str]] = {}
    for bicep, node in (one.values for one in RESOURCES):
        found = values(next(nodes(node, "object")), "", variables(bicep.tree))
        used.setdefault(kind_of(node), set()).update(path for path, _ in found)
    assert set(used) == set(PUBLISHED)
    idle = [
        f"{kind}: {path}"
        for kind, fields in PUBLISHED.items()
        for path in fields
        if not any(re.match(re.escape(path).replace(r"\*", r"[^[\]]+"), one) for one in used[kind])
    ]
    assert idle == []


def test_the_check_sees_what_is_wrong() -> None:
    """A typo, what it leaves missing, a wrong kind, a wrong value, a list for an object, a wrong choice."""
    bicep = parsed("broken.bicep", BROKEN)
    assert problems(bicep.tree.named_children[-1], bicep) == [
        "sku.nam is no property that was looked up",
        "properties.allowSharedKeyAccess: 'false' is not bool",
        "properties.minimumTlsVersion: 'TLS_1_2' is not TLS1_0|TLS1_1|TLS1_2|TLS1_3",
        "properties.networkAcls: [\n      1\n    ] is not object",
        "properties.networkAcls[] is no property that was looked up",
        "properties.publicNetworkAccess: 'Hidden' is not Enabled|Disabled|SecuredByPerimeter",
        "kind is missing",
        "properties.networkAcls.defaultAction is missing",
        "sku.name is missing",
    ]
