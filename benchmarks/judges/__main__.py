"""`python -m benchmarks.judges [--quick] [--json FILE] [--docs] [--check]`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.judges import measure, page

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "judges.json"


def made(results: dict[str, Any]) -> dict[Path, str]:
    """What is made of the results, by its place."""
    docs = ROOT / "docs"
    return {docs / "comparison.md": page.page(results), docs / "pictures" / page.PICTURE: page.plot(results)}


def stored() -> dict[str, Any]:
    """The committed results."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return found


def text(results: dict[str, Any]) -> str:
    """The stored form: one cell a line, so that a change can be read."""
    lists = {name: value for name, value in results.items() if isinstance(value, list)}
    parts = [f'  "{name}": {json.dumps(value)}' for name, value in results.items() if name not in lists]
    for name, value in lists.items():
        lines = ",\n".join(f"    {json.dumps(one, ensure_ascii=False)}" for one in value)
        parts.append(f'  "{name}": [\n{lines}\n  ]' if value else f'  "{name}": []')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def show(results: dict[str, Any]) -> None:
    """One line for each case and judge."""
    for one in results["cells"]:
        numbers = (
            f"{name} {one[name]}" for name in ("false_rollbacks", "promotion", "rollback", "missed", "bad_responses")
            if one[name] is not None
        )  # fmt: skip
        print(f"{one['plan']:<10} {one['rpm']:>6} {one['case']:<38} {one['judge']:<26} {'  '.join(numbers)}")
    for one in results["exceptions"]:
        print(f"sooner, asked the same: {one}")


def check() -> int:
    """0 when docs/ holds what the stored results say."""
    stale = [
        path for path, content in made(stored()).items() if not path.is_file() or path.read_text("utf-8") != content
    ]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is stale: run python -m benchmarks.judges --docs", file=sys.stderr)
    return 1 if stale else 0


def write(results: dict[str, Any]) -> None:
    """The page and the plot."""
    for path, content in made(results).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def main() -> int:
    """Measure, show, store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judges", description="Judges on the same traffic.")
    parser.add_argument("--quick", action="store_true", help="two rates, few rollouts; prints, stores nothing")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    parser.add_argument("--docs", action="store_true", help="simulate nothing: make the page from the stored results")
    parser.add_argument("--check", action="store_true", help="exit code 1 when the page is not the stored results'")
    asked = parser.parse_args()
    if asked.check:
        return check()
    if asked.docs:
        write(stored())
        return 0
    size = (measure.QUICK_ROLLOUTS, measure.QUICK_RATES) if asked.quick else (measure.FULL_ROLLOUTS, measure.FULL_RATES)
    results = measure.measured(*size, say=lambda line: print(line, file=sys.stderr, flush=True))
    show(results)
    if asked.json:
        asked.json.write_text(text(results), encoding="utf-8")
    if not asked.quick:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(text(results), encoding="utf-8")
        write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
