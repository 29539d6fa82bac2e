"""Both pipelines give the lease back when their deployment fails or is cancelled, whatever killed it."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.infrastructure.reading import ROOT
from tests.infrastructure.stand_in import put

STAND_IN = """
import json, os, sys
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(json.dumps(sys.argv[1:]) + "\\n")
sys.exit(int(os.environ["CODE"]))
"""
FILES = {
    "pipelines/azure-devops.yml": ("script", "condition", "or(failed(), canceled())"),
    ".github/workflows/deploy.yml": ("run", "if", "failure() || cancelled()"),
}


def steps(file: str) -> list[dict[str, Any]]:
    """The steps of the job that deploys."""
    tree = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    jobs = [job for stage in tree["stages"] for job in stage["jobs"]] if "stages" in tree else tree["jobs"].values()
    found = [job["steps"] for job in jobs if "pipelines/deploy.sh" in str(job)]
    assert len(found) == 1
    return list(found[0])


@pytest.mark.parametrize("file", FILES)
def test_the_step_after_the_deployment_runs_when_it_did_not_succeed(file: str) -> None:
    """A cancelled run kills the script that would have given it back; after success there is no lease any more."""
    shell, key, condition = FILES[file]
    *_, deployment, last = steps(file)
    assert "pipelines/deploy.sh" in str(deployment)
    assert last[key] == condition
    assert "--release" in last[shell]
    assert "CANARY_KEY" in last["env"]


@pytest.mark.parametrize("code", [0, 1], ids=["given back", "another's, or away"])
@pytest.mark.parametrize("file", FILES)
def test_it_asks_as_the_same_run_and_hides_no_other_failure(file: str, code: int, tmp_path: Path) -> None:
    """No --owner: by default it is the run's, as it was when the lease was taken."""
    put(tmp_path / "bin", ["canary"], STAND_IN)
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-ec", steps(file)[-1][FILES[file][0]]],
        env={
            "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "JOURNAL": str(tmp_path / "journal"),
            "CODE": str(code),
            "SERVICE": "checkout",
            "DEPLOYMENT": "run-7",
        },
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, "the job has failed already, by what failed first"
    assert (tmp_path / "journal").read_text().splitlines() == [
        '["target", "checkout", "--release", "--reason", "deployment run-7 failed or was cancelled"]'
    ]
