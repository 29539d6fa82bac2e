"""What docs/ says of the judge is made from stored results and from the code, and is current."""

import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

from benchmarks.judges import __main__ as command
from benchmarks.judges import measure, page
from benchmarks.judges.worlds import CASES, RATES
from docs import judge_pictures

DOCS = Path(__file__).parents[2] / "docs"
JUDGE = (DOCS / "judge.md").read_text(encoding="utf-8")
ARITHMETIC = {"within"}  # numpy's own functions, faster: they state nothing
MAPPED = re.findall(r"^\| `(\w+)\.(\w+)` \|", JUDGE, re.MULTILINE)


def test_the_comparison_is_that_of_the_stored_results() -> None:
    """Page and plot, byte for byte: python -m benchmarks.judges --docs."""
    assert command.check() == 0


def test_the_stored_results_are_complete_and_of_the_seed_that_the_code_names() -> None:
    stored = command.stored()
    assert (stored["seed"], stored["rollouts"]) == (measure.SEED, measure.FULL_ROLLOUTS)
    judges = (measure.OURS, *measure.PEERS, *measure.SAME)
    wanted = {
        (plan, case.name, rpm, judge) for plan in measure.PLANS for case in CASES for rpm in RATES for judge in judges
    }
    assert {(one["plan"], one["case"], one["rpm"], one["judge"]) for one in stored["cells"]} == wanted
    assert command.text(stored) == command.RESULTS.read_text(encoding="utf-8")


def test_our_judge_keeps_its_promise_in_every_stored_cell() -> None:
    """Alpha where minutes are coin flips, twice alpha where overdispersed; faults are promoted within beta."""
    stored = command.stored()
    for one in stored["cells"]:
        if one["judge"] != measure.OURS:
            continue
        dispersed = next(case.dispersion for case in CASES if case.name == one["case"]) is not None
        most = measure.allowed(stored["rollouts"])
        assert (one["false_rollbacks"] or 0) <= (2 * most if dispersed else most), one
        if "late" not in one["case"]:
            assert (one["missed"] or 0) <= most, one


def test_a_small_measurement_is_a_page_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way, from traffic to text, at one rate; the same twice."""
    monkeypatch.setattr(page, "RATES", (60,))
    lines: list[str] = []
    results = measure.measured(12, (60,), lines.append)
    again = measure.measured(12, (60,), lines.append)
    assert json.dumps(results) == json.dumps(again)
    assert len(lines) == 4
    text = page.page(results)
    assert text.count("\n| 10 % |") >= len(CASES)
    assert page.plot(results).startswith("<svg")


def test_a_peer_that_keeps_the_promise_and_is_sooner_is_printed() -> None:
    """Every exception of the results is a row of the page."""
    stored = command.stored()
    text = page.page(stored)
    for one in stored["exceptions"]:
        assert f"| {one['plan']} | {one['case']} | {one['rpm']:,} | {one['judge']} | {one['minutes'][0]} |" in text
    stored["exceptions"] = []
    assert "Nobody, nowhere." in page.page(stored)


@pytest.mark.parametrize("name", judge_pictures.MADE)
def test_the_judges_pictures_are_current(name: str) -> None:
    """python -m docs.judge_pictures"""
    assert (DOCS / "pictures" / name).read_text(encoding="utf-8") == judge_pictures.MADE[name]()
    assert f"pictures/{name}" in JUDGE


@pytest.mark.parametrize(("module", "name"), MAPPED)
def test_every_function_on_the_judges_page_exists(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(f"analyzers.judge.{module}"), name))


@pytest.mark.parametrize("module", ["projection", "evidence", "dispersion"])
def test_every_function_of_the_statistics_is_mapped_to_its_proposition(module: str) -> None:
    code = importlib.import_module(f"analyzers.judge.{module}")
    functions = {
        name
        for name, value in vars(code).items()
        if inspect.isfunction(value) and value.__module__ == code.__name__ and not name.startswith("_")
    }
    assert functions - ARITHMETIC == {name for where, name in MAPPED if where == module}
