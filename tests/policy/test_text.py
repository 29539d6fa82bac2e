"""From YAML text: what is not plain YAML is refused, and every problem knows its line."""

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller import config
from controller.config import MAX_BYTES, MAX_DEPTH, load
from rollouts.errors import PolicyError
from rollouts.policy_file.parse import parse
from rollouts.policy_file.presets import PRESETS
from rollouts.policy_file.schema import schema
from tests.policy import trees

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "canary.yaml").read_text(encoding="utf-8")


@pytest.fixture(params=["libyaml", "python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with libyaml and one without read the same."""
    if request.param == "python":
        monkeypatch.setattr(config, "_LOADER", yaml.BaseLoader)


def refused(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        load(text)
    return caught.value.problems


def test_the_documented_example_is_legal_and_says_the_defaults() -> None:
    """canary.yaml in the repository is what a newcomer copies."""
    pin = load(EXAMPLE).services["checkout"].pin
    bare = parse(trees.spoiled("preset", "standard")).services["checkout"].pin
    for name in ("steps", "bake_seconds", "deadline_seconds", "limits", "alpha", "settle_seconds", "history_seconds"):
        assert getattr(pin, name) == getattr(bare, name), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "got nothing"),
        ("# only a comment\n", "got nothing"),
        ("services: {a: b: c}", "not YAML"),
        ("services:\n\tcheckout: {}", "(line 2): got text that is not YAML"),
        ("services:\n\tcheckout: {}", "the line begins with a tab: indent with spaces"),
        ("services: [1, 2", "not YAML"),
        ("services: 'open", "not YAML"),
        ("services: {}\x00", "character"),
        ("a: &x [1]\nb: *x", "anchor"),
        ("services: !!python/object/apply:os.system [echo]", "tag"),
        ("services: {}\n---\nservices: {}", "second document"),
        ("[" * 5000, "levels"),
        ("just words", "mapping"),
        ("- a\n- b", "mapping"),
        ("<html><body>Sign in</body></html>", "mapping"),
        ("? [a, b]\n: c", "list or mapping"),
        ("x" * (MAX_BYTES + 1), "at most"),
        ("services: {" + ", ".join(f"s{n}: 1" for n in range(26_000)) + "}", "values"),
    ],
    ids=range(18),
)
def test_text_that_is_not_plain_yaml_is_refused(text: str, said: str) -> None:
    """No traceback, no gigabytes, no object: one clear line."""
    assert said in "\n".join(refused(text))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nservices: {a: b: c}", ("(line 2)", "(column 16)")),
        ("a: [1,\n2\nb: c", ("(line 3)", "(column 2)")),
        ("services:\n  - 'open\nb: 1", ("(line 3)", "(column 5)")),
        ("a: 1\nb: 2\nc: \x00", ("(line 3)",)),
        ("a:\n  - b\n  - c: &y 1", ("(line 3)",)),
        ("a:\n  b: 1\n  c: !!str d", ("(line 3)",)),
        ("[]\n---\n[]", ("(line 2)",)),
    ],
)
def test_what_cannot_be_read_is_told_where_it_stands(text: str, place: tuple[str, ...]) -> None:
    """As an editor counts: from 1; where reading stopped, not where the list began that is still open."""
    [problem] = refused(text)
    assert all(one in problem for one in place), problem


def test_the_largest_text_is_read() -> None:
    """The limit is in bytes: two for an umlaut."""
    assert "got nothing" in refused("#" * MAX_BYTES)[0]
    assert f"got {MAX_BYTES + 2} bytes" in refused("ä" * (MAX_BYTES // 2 + 1))[0]


def test_the_deepest_text_is_read_and_one_level_more_is_not() -> None:
    assert "levels" not in refused("[" * MAX_DEPTH + "]" * MAX_DEPTH)[0]
    assert f"got more than {MAX_DEPTH} levels" in refused("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1))[0]


def test_an_alias_bomb_is_refused_at_once() -> None:
    """Ten levels of ten references would be ten thousand million values."""
    bomb = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 11))
    assert len(refused(bomb)) == 1


def test_problems_know_their_line() -> None:
    """The line is the key's own, or its parent's where the key is missing."""
    lines = EXAMPLE.splitlines()
    at = next(n for n, line in enumerate(lines, 1) if line.strip().startswith("bake:"))
    assert refused(EXAMPLE.replace("bake: 10m", "bake: 10"))[0].startswith(
        f"services.checkout.bake (line {at}): got 10: "
    )
    at = next(n for n, line in enumerate(lines, 1) if line.strip() == "checkout:")
    without = "\n".join(line for line in lines if not line.strip().startswith("pool:"))
    assert refused(without)[0].startswith(f"services.checkout.pool (line {at}): got nothing: add pool")
    split = refused(EXAMPLE.replace("steps: [10, 50, 100]", "steps:\n      - 10\n      - 500\n      - 100"))[0]
    at = next(n for n, line in enumerate(lines, 1) if line.strip().startswith("steps:"))
    assert split.startswith(f"services.checkout.steps[1] (line {at + 2}): got 500: ")


def test_a_key_twice_is_told_with_both_lines() -> None:
    """YAML parsers take the last silently; a merge conflict at night must not."""
    said = refused(EXAMPLE.replace("    bake: 10m", "    bake: 10m\n    bake: 20m"))
    assert len(said) == 1
    assert "services.checkout.bake" in said[0]
    assert "again in line" in said[0]


def test_words_are_what_they_look_like() -> None:
    """`off` is a word, `010` is ten, a quoted number is text: no surprises of YAML 1.1."""
    policy = load(
        EXAMPLE.replace("[10, 50, 100]", "[010, 050, 100]").replace(
            "rejected: {points: 1, ratio: 1.5}", "rejected: off"
        )
    )
    pin = policy.services["checkout"].pin
    assert pin.steps == (10, 50, 100)
    assert "rejected" not in [one.name for one in pin.indicators]
    assert "whole number" in refused(EXAMPLE.replace("[10, 50, 100]", "['10', 50, 100]"))[0]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=200) | st.text(alphabet="{}[]:,-&*!|>'\"%@`#? \n\tabc019.~", max_size=60))
def test_any_text_is_a_policy_or_a_policy_error(text: str) -> None:
    """No text brings another exception."""
    with pytest.raises(PolicyError) as caught:
        load(text)
    assert caught.value.problems


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, len(EXAMPLE) - 1), st.integers(0, 40), st.text(max_size=5))
def test_the_example_damaged_anywhere_is_a_policy_or_a_policy_error(at: int, cut: int, put: str) -> None:
    """A slip of the editor anywhere in a real file."""
    try:
        load(EXAMPLE[:at] + put + EXAMPLE[at + cut :])
    except PolicyError as error:
        assert error.problems


def test_the_schema_in_docs_is_current_and_takes_what_parsing_takes() -> None:
    """Editors say the same as `canary check`, as far as single values go."""
    held = json.loads((ROOT / "docs/canary.schema.json").read_text(encoding="utf-8"))
    assert held == json.loads(json.dumps(schema())), "stale: run `canary schema > docs/canary.schema.json`"
    checker = jsonschema.Draft202012Validator(held)
    checker.check_schema(held)
    checker.validate(yaml.safe_load(EXAMPLE.replace("rejected: {points: 1, ratio: 1.5}", 'rejected: "off"')))
    for preset in PRESETS.values():
        checker.validate({"services": {"checkout": json.loads(json.dumps(trees.service() | dict(preset)))}})


@pytest.mark.parametrize(
    ("path", "value"),
    [("bake", 10), ("mode", "atc"), ("steps", [0, 100]), ("wach", "1m"), ("slots.blue.url", 5), ("notify", ["a b"])],
)
def test_the_schema_refuses_what_parsing_refuses(path: str, value: object) -> None:
    """Wrong types, words, ranges and unknown keys are red in the editor already."""
    tree = trees.spoiled(path, value)
    assert not jsonschema.Draft202012Validator(schema()).is_valid(tree)
    with pytest.raises(PolicyError):
        parse(tree)
