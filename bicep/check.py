"""Reads Checkov's report: any finding, any file that it could not read, any idle or silent suppression fails."""

import json
import re
import sys
from pathlib import Path

SUPPRESSION = re.compile(r"// checkov:skip=(\w+)(?::[ ]*(.*))?")
BICEP = Path(__file__).resolve().parent


def problems(report: dict[str, object], log: str) -> list[str]:
    """One line each, with file, rule and what to do."""
    results: dict[str, list[dict[str, str]]] = report["results"]  # type: ignore[assignment]
    found = [f"{path}: Checkov cannot read it: write it more plainly" for path in results["parsing_errors"]]
    found += [
        f"bicep{one['file_path']}: {one['check_id']} {one['check_name']} ({one['resource']}): mend it, or suppress it "
        f"in the resource with its reason (// checkov:skip={one['check_id']}: ...)"
        for one in results["failed_checks"]
    ]
    found += [f"Checkov itself failed: {line}" for line in log.splitlines() if "[ERROR]" in line]
    used = {(one["file_path"], one["check_id"]) for one in results["skipped_checks"]}
    for path in sorted(BICEP.rglob("*.bicep")):
        name = f"/{path.relative_to(BICEP)}"
        for rule, reason in SUPPRESSION.findall(path.read_text()):
            if len(reason) < 20:
                found.append(f"bicep{name}: the suppression of {rule} says no reason")
            if (name, rule) not in used:
                found.append(f"bicep{name}: {rule} is suppressed and finds nothing: remove the suppression")
    return found


def main() -> int:
    """0 when there is nothing to say."""
    report = json.loads(Path(sys.argv[1]).read_text())
    found = problems(report, Path(sys.argv[2]).read_text())
    passed, skipped = (report["summary"][key] for key in ("passed", "skipped"))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.stdout.write(f"bicep: {passed} checks passed, {skipped} suppressed with a reason, {len(found)} problems\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
