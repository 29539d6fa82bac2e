"""What the Bicep compiler and its linter would complain about, as far as it can be seen without them.

The compiler cannot be had on every machine that runs these tests. Each claim names the rule that it stands for.
"""

import re
from typing import Any

import pytest

from tests.infrastructure.reading import BICEP, Source, nodes, parsed, source, sources, text_of

# Released versions only, each read in the published Bicep types (Azure/bicep-types-az, generated/**/types.json):
# one version a type, so that a resource means the same in every module.
RELEASED = {
    "Microsoft.ApiManagement/service": "2024-05-01",
    "Microsoft.ApiManagement/service/apis": "2024-05-01",
    "Microsoft.ApiManagement/service/apis/operations": "2024-05-01",
    "Microsoft.ApiManagement/service/apis/policies": "2024-05-01",
    "Microsoft.ApiManagement/service/backends": "2024-05-01",
    "Microsoft.ApiManagement/service/namedValues": "2024-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Authorization/roleDefinitions": "2022-04-01",
    "Microsoft.EventGrid/systemTopics": "2025-02-15",
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": "2025-02-15",
    "Microsoft.EventGrid/topics": "2025-02-15",
    "Microsoft.EventGrid/topics/eventSubscriptions": "2025-02-15",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.KeyVault/vaults": "2024-11-01",
    "Microsoft.KeyVault/vaults/secrets": "2024-11-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2023-01-31",
    "Microsoft.OperationalInsights/workspaces": "2023-09-01",
    "Microsoft.Resources/resourceGroups": "2024-03-01",
    "Microsoft.Storage/storageAccounts": "2024-01-01",
    "Microsoft.Storage/storageAccounts/blobServices": "2024-01-01",
    "Microsoft.Storage/storageAccounts/blobServices/containers": "2024-01-01",
    "Microsoft.Storage/storageAccounts/queueServices": "2024-01-01",
    "Microsoft.Storage/storageAccounts/queueServices/queues": "2024-01-01",
    "Microsoft.Storage/storageAccounts/tableServices": "2024-01-01",
    "Microsoft.Storage/storageAccounts/tableServices/tables": "2024-01-01",
    "Microsoft.Web/serverfarms": "2024-04-01",
    "Microsoft.Web/sites": "2024-04-01",
    "Microsoft.Web/sites/basicPublishingCredentialsPolicies": "2024-04-01",
    "Microsoft.Web/sites/config": "2024-04-01",
    "Microsoft.Web/sites/functions": "2024-04-01",
}
DECLARATIONS = ("parameter_declaration", "variable_declaration", "resource_declaration", "module_declaration")
MODULES = [
    pytest.param(bicep, symbol, id=f"{bicep.name}:{symbol}")
    for bicep in sources()
    for symbol in bicep.values.get("modules", {})
]
# bicepconfig.json of the compiler: the hosts that no-hardcoded-env-urls looks for.
HOSTS = re.compile(
    r"core\.windows\.net|database\.windows\.net|vault\.azure\.net|management\.azure\.com|login\.microsoftonline\.com"
    r"|graph\.windows\.net|gallery\.azure\.com|datalake\.azure\.net"
)


def declared(bicep: Source) -> dict[str, Any]:
    """Name -> declaring node; a declaration's name is its first child of that kind."""
    return {
        text_of(next(nodes(one, "identifier", "compatible_identifier"))): one
        for one in bicep.tree.named_children
        if one.type in DECLARATIONS
    }


def used(bicep: Source) -> set[str]:
    """Every identifier that stands for a value: not the declared names, not property names."""
    names: set[str] = set()
    for node in nodes(bicep.tree, "identifier", "compatible_identifier"):
        parent = node.parent
        assert parent is not None
        is_name = parent.type in (*DECLARATIONS, "output_declaration") and parent.named_children[0] == node
        is_key = parent.type == "object_property" and parent.named_children[0] == node
        if not is_name and not is_key:
            names.add(text_of(node))
    return names


def test_parses_without_an_error_in_two_parsers(bicep: Source) -> None:
    """pycep raises on what it cannot read (in `source`); tree-sitter marks it."""
    broken = [f"{node.start_point.row + 1}: {text_of(node)[:60]}" for node in nodes(bicep.tree) if node.is_error]
    assert not broken and not any(node.is_missing for node in nodes(bicep.tree))


def test_everything_declared_is_used(bicep: Source) -> None:
    """no-unused-params, no-unused-vars, no-unused-existing-resources; resources that are deployed need no reader."""
    deployed = set(bicep.resources()) | set(bicep.values.get("modules", {}))
    assert set(declared(bicep)) - used(bicep) - deployed == set()


def test_every_symbol_that_is_used_is_declared(bicep: Source) -> None:
    """BCP057: a name that does not exist."""
    loops = {text_of(node.named_children[0]) for node in nodes(bicep.tree, "for_statement")}
    lambdas = {text_of(node.named_children[0]) for node in nodes(bicep.tree, "lambda_expression")}
    functions = {text_of(node.named_children[0]) for node in nodes(bicep.tree, "call_expression")}
    functions.add("resourceGroup")  # first in an array, tree-sitter does not see that it is called
    assert used(bicep) - set(declared(bicep)) - loops - lambdas - functions == set()


def test_resource_types_are_pinned_to_released_versions(bicep: Source) -> None:
    """No preview, and one version a type everywhere."""
    found = {one["type"]: one["api_version"] for one in bicep.values.get("resources", {}).values()}
    assert found == {kind: RELEASED.get(kind, "add it to RELEASED with its source") for kind in found}


def test_the_pinned_versions_are_all_in_use() -> None:
    """A version that nothing uses says nothing."""
    kinds = {one["type"] for bicep in sources() for one in bicep.values.get("resources", {}).values()}
    assert set(RELEASED) == kinds


def test_every_parameter_and_output_is_described(bicep: Source) -> None:
    """use-description-params, use-description-outputs: a platform engineer reads these, not the modules."""
    every = {**bicep.values.get("parameters", {}), **bicep.values.get("outputs", {})}
    silent = [
        name
        for name, one in every.items()
        if not any(decorator["type"] == "description" and decorator["argument"] for decorator in one["decorators"])
    ]
    assert not silent


def test_children_name_their_parent_by_symbol(bicep: Source) -> None:
    """use-parent-property: no name with a slash, and each type below another has a parent."""
    for symbol, one in bicep.values.get("resources", {}).items():
        body = bicep.body(symbol)
        assert "/" not in str(body["name"]), symbol
        if one["type"].count("/") > 1:
            assert body.get("parent") in bicep.values["resources"], f"{symbol} needs `parent`"


def test_no_host_of_a_cloud_is_written_down(bicep: Source) -> None:
    """no-hardcoded-env-urls: environment() knows them, in every cloud."""
    assert not HOSTS.findall(bicep.text)


def test_strings_are_interpolated_and_never_for_nothing(bicep: Source) -> None:
    """prefer-interpolation, simplify-interpolation."""
    calls = {text_of(node.named_children[0]) for node in nodes(bicep.tree, "call_expression")}
    assert "format" not in calls
    for node in nodes(bicep.tree, "call_expression"):
        if text_of(node.named_children[0]) == "concat":
            assert not list(nodes(node.named_children[1], "string")), "concat of strings: interpolate"
    for node in nodes(bicep.tree, "string"):
        is_key = node.parent is not None and node.parent.type == "object_property" and node.next_named_sibling
        only = [child.type for child in node.named_children] == ["interpolation"]
        assert is_key or not only, f"{text_of(node)} is the value itself"


def test_loops_run_over_what_is_known_before_the_deployment(bicep: Source) -> None:
    """BCP178: a `for` may not read a resource or a module, not even through a variable; map() may."""
    runtime = {*bicep.values.get("resources", {}), *bicep.values.get("modules", {})}
    variables = {name: node for name, node in declared(bicep).items() if node.type == "variable_declaration"}

    def reads(node: Any) -> set[str]:
        names = {text_of(one) for one in nodes(node, "identifier")}
        return names.union(*(reads(variables[name].named_children[-1]) for name in names if name in variables))

    for node in nodes(bicep.tree, "for_statement"):
        over = node.named_children[1]
        assert not reads(over) & runtime, f"for ... in {text_of(over)}"


def test_names_and_conditions_are_known_before_the_deployment(bicep: Source) -> None:
    """BCP120: a name, scope or condition may not read what only exists afterwards (.properties, .outputs)."""
    for node in nodes(bicep.tree, "resource_declaration", "module_declaration"):
        body = next(nodes(node, "object"))
        early = [
            child.named_children[1]
            for child in body.named_children
            if child.type == "object_property" and text_of(child.named_children[0]) in {"name", "scope", "parent"}
        ] + [child for child in node.named_children if child.type == "if_statement"]
        for value in early:
            if value.type == "if_statement":
                value = value.named_children[0]  # noqa: PLW2901
            assert not re.search(r"\.(properties|outputs|identity)\b", text_of(value)), text_of(value)


@pytest.mark.parametrize(("caller", "symbol"), MODULES)
def test_modules_are_called_with_what_they_ask_for(caller: Source, symbol: str) -> None:
    """BCP035, BCP037: every parameter without a default is given, and none that is not there."""
    path = (BICEP / caller.name).parent / caller.values["modules"][symbol]["detail"]["path"]
    wanted = source(str(path.resolve().relative_to(BICEP))).values.get("parameters", {})
    given = caller.body(symbol).get("params", {})
    assert set(given) <= set(wanted)
    assert {name for name, one in wanted.items() if one.get("default") is None} <= set(given)


@pytest.mark.parametrize(("caller", "symbol"), MODULES)
def test_limits_of_a_parameter_are_the_same_at_every_level(caller: Source, symbol: str) -> None:
    """BCP036, BCP329, BCP334, BCP335: what is handed on unchanged allows no more than what receives it."""
    path = (BICEP / caller.name).parent / caller.values["modules"][symbol]["detail"]["path"]
    wanted = source(str(path.resolve().relative_to(BICEP))).values.get("parameters", {})
    own = caller.values.get("parameters", {})

    def limits(parameter: dict[str, Any]) -> list[Any]:
        kept = {"allowed", "min_value", "max_value"}
        return sorted(str(one) for one in parameter["decorators"] if one["type"] in kept)

    def length(parameter: dict[str, Any], end: str) -> int | None:
        return next((one["argument"] for one in parameter["decorators"] if one["type"] == end), None)

    for name, value in caller.body(symbol).get("params", {}).items():
        if isinstance(value, str) and value in own:
            assert limits(own[value]) == limits(wanted[name]), name
            for end, worst in (("min_length", max), ("max_length", min)):
                given, taken = length(own[value], end), length(wanted[name], end)
                assert given is None or taken is None or worst(given, taken) == given, f"{name}: {end}"


def test_every_output_that_is_read_exists(bicep: Source) -> None:
    """BCP053: module.outputs.x must be an output of that module."""
    modules = bicep.values.get("modules", {})
    for symbol, name in re.findall(r"\b(\w+)!?\.outputs\.(\w+)", bicep.text):
        path = ((BICEP / bicep.name).parent / modules[symbol]["detail"]["path"]).resolve()
        assert name in source(str(path.relative_to(BICEP))).values["outputs"], f"{symbol}.outputs.{name}"


def test_files_that_are_loaded_exist(bicep: Source) -> None:
    """BCP091: loadTextContent and loadJsonContent read at compile time, relative to the file."""
    for path in re.findall(r"load(?:Text|Json)Content\('([^']+)'\)", bicep.text):
        assert ((BICEP / bicep.name).parent / path).is_file(), path


def test_property_names_are_quoted_only_where_they_must_be(bicep: Source) -> None:
    """prefer-unquoted-property-names."""
    for node in nodes(bicep.tree, "object_property"):
        key = text_of(node.named_children[0])
        assert not re.fullmatch(r"'[A-Za-z_]\w*'", key), key


def needs(bicep: Source) -> dict[str, set[str]]:
    """What each resource and module reads of others, through variables, and what those read; not by dependsOn."""
    nodes_of = declared(bicep)
    runtime = {*bicep.values.get("resources", {}), *bicep.values.get("modules", {})}

    def reads(node: Any) -> set[str]:
        if node.type == "object_property" and text_of(node.named_children[0]) == "dependsOn":
            return set()
        if node.type in ("identifier", "compatible_identifier") and text_of(node) in nodes_of:
            name = text_of(node)
            is_variable = nodes_of[name].type == "variable_declaration"
            return reads(nodes_of[name].named_children[-1]) if is_variable else {name}
        return set().union(*(reads(child) for child in node.named_children))

    direct = {name: (reads(node) - {name}) & runtime for name, node in nodes_of.items() if name in runtime}
    for _ in direct:
        for found in direct.values():
            found.update(*(direct[one] for one in tuple(found)))
    return direct


def needless(bicep: Source) -> list[str]:
    """What a dependsOn says that is known without it; the linter does not look at loops."""
    loops = {name for name, node in declared(bicep).items() if list(nodes(node, "for_statement"))}
    read = needs(bicep)
    return [
        f"{symbol} depends on {one}"
        for symbol in read
        for one in bicep.body(symbol).get("dependsOn", [])
        if one in read[symbol] - loops
    ]


def test_nothing_depends_on_what_it_reads(bicep: Source) -> None:
    """no-unnecessary-dependson."""
    assert needless(bicep) == []


def test_the_check_of_dependencies_sees_one_behind_another() -> None:
    """A variable between them, and a resource between them."""
    kind = "'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31'"
    text = f"""
resource one {kind} = {{
  name: 'one'
}}

var known = one.id

resource two {kind} = {{
  name: known
}}

resource three {kind} = {{
  name: two.name
  dependsOn: [
    one
  ]
}}
"""
    assert needless(parsed("broken.bicep", text)) == ["three depends on one"]


def test_no_function_is_called_that_the_linter_would_replace(bicep: Source) -> None:
    """no-explicit-any, use-resource-symbol-reference, simplify-json-null, use-safe-access; no name by the clock."""
    for node in nodes(bicep.tree, "call_expression"):
        function, given = text_of(node.named_children[0]), text_of(node.named_children[1])
        assert function not in {"any", "reference", "json", "utcNow"}, text_of(node)
        assert not (function.startswith("list") and re.match(r"\(\w+\.(id|name)\b", given)), text_of(node)
    for node in nodes(bicep.tree, "ternary_expression"):
        assert not re.match(r"contains\((\w+), '(\w+)'\) \? \1\.\2\b", text_of(node)), "use-safe-access"
