"""Pipelines: valid by the published schemas, their shell clean, and their scripts run for real with stand-ins."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cli.main import app
from sample_function.function_app import packaged_version
from tests.infrastructure.reading import BICEP, ROOT
from tests.infrastructure.stand_in import put, run

PIPELINES = sorted((ROOT / "pipelines").glob("*.yml"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCRIPTS = sorted([*(ROOT / "pipelines").glob("*.sh"), *(BICEP / "hooks").glob("*.sh"), BICEP / "check.sh"])
STAGES = ["Build", "DeployCode", "Canary", "RingA", "GA"]
# Stands for canary and az: writes its call down, prints the next answer of the case and ends with its code.
STAND_IN = """
import json, os, sys
call = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(call + "\\n")
path = os.environ["ANSWERS"]
answers = json.load(open(path))
for pattern, queue in answers.items():
    if call.startswith(pattern):
        code, text = queue.pop(0)
        json.dump(answers, open(path, "w"))
        sys.stdout.write(text)
        sys.exit(code)
"""
DECISION = json.dumps({"decision": {"phase": "step", "share": 10, "sentence": "10 % to green"}}) + "\n"
Case = dict[str, list[tuple[int, str]]]


def summary(outcome: str | None = None, hold: str | None = None) -> str:
    """The last line of `canary wait --json`."""
    return json.dumps({"id": "r1", "outcome": outcome, "hold": hold}) + "\n"


PROMOTED = (0, DECISION + summary("promoted"))
ASKED = (3, DECISION + summary(hold="approval"))
DRIFT = (3, DECISION + summary(hold="drift"))
ROLLED_BACK = (1, DECISION + summary("rolled_back"))
TIMED_OUT = (3, DECISION)


class Ran:
    """One run of a script."""

    def __init__(self, done: "subprocess.CompletedProcess[str]", calls: list[str]) -> None:
        self.code, self.output, self.error = done.returncode, done.stdout, done.stderr
        self.calls = calls


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """Runs a script of pipelines/ with these answers."""
    put(tmp_path / "bin", ("az", "canary"), STAND_IN)

    def of(name: str, *arguments: str, answers: Case | None = None, **environment: str) -> Ran:
        script = ROOT / "pipelines" / name
        return Ran(*run(script, *arguments, folder=tmp_path, answers=answers or {}, environment=environment))

    return of


def tool(name: str) -> str:
    """A tool of the environment that runs the tests."""
    return str(Path(sys.executable).with_name(name))


def shell_in(tree: Any) -> list[str]:
    """Every piece of shell in a pipeline or workflow."""
    if isinstance(tree, list):
        return [piece for one in tree for piece in shell_in(one)]
    if not isinstance(tree, dict):
        return []
    own = [tree[key] for key in ("script", "bash", "run", "inlineScript") if isinstance(tree.get(key), str)]
    return own + [piece for one in tree.values() for piece in shell_in(one)]


@pytest.mark.parametrize(
    ("schema", "files"),
    [
        # The schema holds a pattern that only the older regular expressions of JavaScript allow.
        (["--builtin-schema", "vendor.azure-pipelines", "--regex-variant", "nonunicode"], PIPELINES),
        (["--builtin-schema", "vendor.github-workflows"], WORKFLOWS),
    ],
    ids=["azure-pipelines", "github-workflows"],
)
def test_pipelines_are_valid_by_the_published_schemas(schema: list[str], files: list[Path]) -> None:
    """check-jsonschema carries both; nothing is fetched."""
    done = subprocess.run(
        [tool("check-jsonschema"), *schema, *map(str, files)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_shell_passes_shellcheck(tmp_path: Path) -> None:
    """The scripts, and every piece of shell in the YAML with its expressions filled."""
    pieces = []
    for path in [*PIPELINES, *WORKFLOWS]:
        for number, piece in enumerate(shell_in(yaml.safe_load(path.read_text()))):
            filled = re.sub(r"\$\{\{[^}]*\}\}|\$\([A-Za-z.]+\)", "filled", piece)
            pieces.append(tmp_path / f"{path.stem}-{number}.sh")
            pieces[-1].write_text(f"#!/usr/bin/env bash\n{filled}\n")
    assert len(pieces) > 10
    done = subprocess.run(
        [tool("shellcheck"), *map(str, SCRIPTS), *map(str, pieces)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_expressions_of_callers_never_become_shell() -> None:
    """${{ ... }} inside a script is pasted as text: values travel by the environment."""
    for path in [*PIPELINES, *WORKFLOWS]:
        for piece in shell_in(yaml.safe_load(path.read_text())):
            assert "${{" not in piece and "$(" not in piece, f"{path.name}: {piece}"


def test_both_pipelines_have_the_stages_that_the_users_know() -> None:
    """Each waits for the one before, and the last three stand behind environments (their approval gates)."""
    azure = yaml.safe_load((ROOT / "pipelines/azure-devops.yml").read_text())["stages"]
    assert [stage["stage"] for stage in azure] == STAGES
    assert [stage.get("dependsOn") for stage in azure] == [None, *STAGES[:-1]]
    jobs = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())["jobs"]
    assert [job["name"] for job in jobs.values()] == STAGES
    assert [job.get("needs") for job in jobs.values()] == [None, *list(jobs)[:-1]]
    gates = [stage["jobs"][0]["environment"] for stage in azure[2:]]
    assert gates == [job["environment"] for job in list(jobs.values())[2:]] == ["canary", "ring-a", "ga"]


def test_github_signs_in_by_oidc_and_stores_no_secret_of_azure() -> None:
    """The only secret is the analyzer's function key."""
    for path in WORKFLOWS:
        text = path.read_text()
        assert "id-token: write" in text and "azure/login@v2" in text
        assert "creds:" not in text and "client-secret" not in text
        assert set(re.findall(r"secrets\.(\w+)", text)) <= {"CANARY_KEY"}


def test_provisioning_stands_apart_and_shows_itself_first() -> None:
    """No pipeline of code provisions; provisioning never starts by a push."""
    for path in (ROOT / "pipelines/azure-devops.yml", ROOT / ".github/workflows/deploy.yml"):
        assert "azd" not in path.read_text()
    for path in (ROOT / "pipelines/provision-azure-devops.yml", ROOT / ".github/workflows/provision.yml"):
        text = path.read_text()
        assert text.index("azd provision --preview") < text.index("azd provision --no-prompt")
        assert "environment: infrastructure" in text
    assert yaml.safe_load((ROOT / "pipelines/provision-azure-devops.yml").read_text())["trigger"] == "none"


def test_a_workflow_provisions_with_every_variable_of_the_parameters_file() -> None:
    """azd's environment dies with the job: a name left out here falls back to its default, such as another service."""
    given = (BICEP / "main.parameters.json").read_text()
    wanted = set(re.findall(r"\$\{(\w+)", given)) - {"CREATE_POOL", "CREATE_MARKER", "CREATE_PREVIEW_KEY"}  # the hook's
    workflow = yaml.safe_load((ROOT / ".github/workflows/provision.yml").read_text())
    assert wanted <= set(workflow["env"])
    # With a default the hook would take it for a person's answer to which slot is live.
    assert workflow["env"]["LIVE_SLOT"] == "${{ vars.LIVE_SLOT }}"


@pytest.mark.parametrize(
    "name", ["docs/infrastructure.md", "pipelines/provision-azure-devops.yml", ".github/workflows/provision.yml"]
)
def test_who_provisions_is_told_the_right_that_a_custom_role_needs(name: str) -> None:
    """modules/traffic-role.bicep: roleDefinitions/write, which Role Based Access Control Administrator has not."""
    text = " ".join((ROOT / name).read_text().replace("\n#", "").split())
    assert "Contributor and User Access Administrator" in text
    assert "Contributor and Role Based Access Control Administrator" not in text


def test_the_package_brings_its_version(script: Any, tmp_path: Path) -> None:
    """Code and version arrive together: an app setting would be a second change, which provisioning undoes."""
    ran = script("build.sh", "2026.1.4", str(tmp_path / "out/package.zip"))
    assert ran.code == 0, ran.error
    with zipfile.ZipFile(tmp_path / "out/package.zip") as package:
        assert {"function_app.py", "host.json", "requirements.txt", "version.txt"} <= set(package.namelist())
        assert not [name for name in package.namelist() if "__pycache__" in name or "local.settings" in name]
        package.extractall(tmp_path / "app")
    assert packaged_version(tmp_path / "app") == {"APP_VERSION": "2026.1.4"}
    assert packaged_version(tmp_path) == {}


WHERE = {
    "CANARY_URL": "https://func",
    "CANARY_KEY": "key",
    "CANARY_TOPIC": "https://topic",
    "AZURE_RESOURCE_GROUP": "rg",
    "BLUE_NAME": "app-blue",
    "GREEN_NAME": "app-green",
}


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_code_goes_to_the_slot_that_was_named_and_is_then_announced(script: Any, slot: str) -> None:
    """Lease, deployment, announcement: in this order, of one slot."""
    ran = script(
        "deploy.sh", "checkout", "1.4.2", "p.zip", "d1", answers={"canary target": [(0, f"{slot}\n")]}, **WHERE
    )
    assert ran.code == 0, ran.error
    assert [call.split()[:2] for call in ran.calls] == [
        ["canary", "target"],
        ["az", "account"],
        ["az", "functionapp"],
        ["canary", "announce"],
    ]
    assert f"--name app-{slot} " in ran.calls[2]
    assert f"--service checkout --version 1.4.2 --slot {slot} --deployment-id d1" in ran.calls[3]
    assert "--preempt" not in ran.calls[0] and "--retry" not in ran.calls[3] and "--rollback" not in ran.calls[3]


def test_a_lease_of_an_earlier_step_is_used(script: Any, tmp_path: Path) -> None:
    """As both pipelines do; a second lease of the same run would be a second wait."""
    leased = script("lease.sh", "checkout", "1.4.2", "d1", answers={"canary target": [(0, "green\n")]}, **WHERE)
    (tmp_path / "slot").write_text(leased.output)
    ran = script("deploy.sh", "checkout", "1.4.2", "p.zip", "d1", str(tmp_path / "slot"), **WHERE)
    assert ran.code == 0, ran.error
    assert not [call for call in ran.calls if call.startswith("canary target")]
    assert "--name app-green " in ran.calls[1] and "--slot green " in ran.calls[2]


@pytest.mark.parametrize("file", ["pipelines/azure-devops.yml", ".github/workflows/deploy.yml"])
def test_the_lease_is_taken_before_signing_in(file: str) -> None:
    """The wait for it may last hours, a federated sign-in is good for minutes (AADSTS700024)."""
    (job,) = (one for one in (ROOT / file).read_text().split("timeout") if "pipelines/deploy.sh" in one)
    sign_in = job.index("AzureCLI@2" if "azure-devops" in file else "azure/login@v2")
    assert job.index("pipelines/lease.sh") < sign_in < job.index("pipelines/deploy.sh")


def test_the_token_of_the_announcement_is_fetched_before_the_long_build(script: Any) -> None:
    """Later the sign-in may be too old for a resource not asked before. A failure gives the lease back."""
    case: Case = {"canary target": [(0, "blue\n"), (0, "")], "az account": [(5, "")]}
    ran = script("deploy.sh", "checkout", "1.4.2", "p.zip", "d1", answers=case, **WHERE)
    assert ran.code == 5
    assert "--resource https://eventgrid.azure.net " in ran.calls[1]
    assert "--release" in ran.calls[-1] and not [call for call in ran.calls if "functionapp" in call]


def test_a_hotfix_preempts_and_a_migration_asks(script: Any) -> None:
    """Only when the person who started the run said so."""
    ran = script(
        "deploy.sh", "checkout", "1.4.2", "p.zip", "d1",
        answers={"canary target": [(0, "blue\n")]}, **WHERE,
        PREEMPT="true", RETRY="true", ROLLBACK="ask", COMMIT="abc", LINK="https://run",
    )  # fmt: skip
    assert "--preempt" in ran.calls[0]
    assert ran.calls[3].endswith("--commit abc --link https://run --retry --rollback ask")


@pytest.mark.parametrize("answer", [(1, ""), (3, ""), (0, "purple\n"), (0, "")])
def test_without_a_lease_nothing_is_deployed(script: Any, answer: tuple[int, str]) -> None:
    """Refused, out of time, or an answer that is no slot."""
    ran = script("deploy.sh", "checkout", "1.4.2", "p.zip", "d1", answers={"canary target": [answer]}, **WHERE)
    assert ran.code != 0
    assert [call.split()[1] for call in ran.calls] == ["target"]


def test_a_failed_deployment_is_not_announced_and_gives_its_lease_back(script: Any) -> None:
    """The gate would only wait in vain, and so would the next pipeline."""
    case: Case = {"canary target": [(0, "blue\n"), (0, "")], "az functionapp": [(7, "")]}
    ran = script("deploy.sh", "checkout", "1.4.2", "p.zip", "d1", answers=case, **WHERE)
    assert ran.code == 7
    assert [call.split()[:2] for call in ran.calls[2:]] == [["az", "functionapp"], ["canary", "target"]]
    assert ran.calls[-1] == "canary target checkout --release --reason deployment d1 failed"


def test_an_announcement_that_fails_gives_the_lease_back_too(script: Any) -> None:
    """So that the timer, which finds new versions, may start the rollout."""
    case: Case = {"canary target": [(0, "blue\n"), (1, "")], "canary announce": [(4, "")]}
    ran = script("deploy.sh", "checkout", "1.4.2", "p.zip", "d1", answers=case, **WHERE)
    assert ran.code == 4, "the first error is the one that counts"
    assert "--release" in ran.calls[-1]


def test_deploying_names_the_setting_that_is_missing(script: Any) -> None:
    """Before anything is leased."""
    ran = script(
        "deploy.sh", "checkout", "1.4.2", "p.zip", "d1", **{k: v for k, v in WHERE.items() if k != "BLUE_NAME"}
    )
    assert (ran.code, ran.calls) == (2, [])
    assert "BLUE_NAME" in ran.error


ADVANCES = {  # stage, answers of `canary wait`, exit code, does it approve?
    "the first stage ends well when approval is asked": ("wait", [ASKED], 0, False),
    "the first stage ends well when all is done": ("wait", [PROMOTED], 0, False),
    "the first stage fails with a rollback": ("wait", [ROLLED_BACK], 1, False),
    "the first stage says held": ("wait", [DRIFT], 3, False),
    "the first stage says out of time": ("wait", [TIMED_OUT], 3, False),
    "a later stage approves and waits": ("approve", [ASKED, ASKED], 0, True),
    "a later stage fails with a rollback after the approval": ("approve", [ASKED, ROLLED_BACK], 1, True),
    "a later stage finds it promoted": ("approve", [PROMOTED], 0, False),
    "a later stage finds it rolled back": ("approve", [ROLLED_BACK], 1, False),
    "a later stage does not approve another hold": ("approve", [DRIFT], 3, False),
    "the last stage ends promoted": ("finish", [ASKED, PROMOTED], 0, True),
    "the last stage finds it promoted": ("finish", [PROMOTED], 0, False),
    "the last stage does not end with another question": ("finish", [ASKED, ASKED], 3, True),
    "the last stage does not end held": ("finish", [ASKED, DRIFT], 3, True),
}


@pytest.mark.parametrize("case", ADVANCES)
def test_a_stage_ends_as_the_rollout_stands(script: Any, case: str) -> None:
    """Green only for what was proven; an approval only where approval was asked."""
    stage, answers, code, approves = ADVANCES[case]
    ran = script("advance.sh", "checkout", "d1", stage, answers={"canary wait": answers}, **WHERE)
    assert ran.code == code, ran.error
    assert bool([call for call in ran.calls if call.startswith("canary approve checkout")]) is approves
    assert "10 % to green" in ran.output


def test_a_refused_approval_fails_the_stage(script: Any) -> None:
    """Somebody else ended it meanwhile."""
    case: Case = {"canary wait": [ASKED], "canary approve": [(1, "")]}
    assert script("advance.sh", "checkout", "d1", "approve", answers=case, **WHERE).code == 1


OPTIONS = {
    "target": {"--wait", "--timeout", "--reason", "--preempt", "--release"},
    "announce": {"--service", "--version", "--slot", "--deployment-id", "--commit", "--link", "--retry", "--rollback"},
    "wait": {"--service", "--deployment-id", "--timeout", "--patience", "--json"},
    "approve": {"--reason"},
}


@pytest.mark.parametrize("command", OPTIONS)
def test_commands_and_options_are_those_of_the_cli(command: str) -> None:
    """What the scripts call exists, and what is listed here is what they call."""
    known = {option for one in get_command(app).commands[command].params for option in one.opts}  # type: ignore[attr-defined]
    assert OPTIONS[command] <= known


def test_the_scripts_use_no_other_command_or_option() -> None:
    """So that the list above cannot fall behind."""
    text = "\n".join((ROOT / "pipelines" / name).read_text() for name in ("lease.sh", "deploy.sh", "advance.sh"))
    code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    code = re.sub(r"^az .*?--output none$", "", code, flags=re.DOTALL | re.MULTILINE)
    assert set(re.findall(r"(?:^\s*|\()canary (\w+)", code, re.MULTILINE)) == set(OPTIONS)
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", code)) <= set().union(*OPTIONS.values())
