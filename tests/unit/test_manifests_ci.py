"""The hooks of this repository and the workflow of the guide: they are valid, and what they run does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli import main as cli
from support.go_tools import go_tool
from support.manifest_cases import clean, planted
from support.sarif_schema import check_sarif

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "guide" / "manifests.md"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
CONFIG = "here: {country: DE}\nregions:\n  eu-central-1: {country: DE}\n  us-west-2: {country: US}\n"
CONFIG += "region_defaults: {retention: same, telemetry: same}\n"
CASES = """\
apiVersion: residency/v1
kind: PolicyTests
cases:
  - name: health data of Germans stays
    request: {country: DE, classes: [health], at: 2026-11-21}
    expect: {legal: [eu-central-1]}
"""


def block(name: str) -> str:
    """Return the file of the guide that has this name."""
    found = re.search(rf"<!-- file: {re.escape(name)} -->\n```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def environment(folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BORDERPOST_", "GIT_"))}
    kept |= {
        "PATH": f"{Path(sys.executable).parent}:{kept['PATH']}",
        "HOME": str(folder),
        "PRE_COMMIT_HOME": str(folder),
    }
    return kept | {"GIT_CONFIG_NOSYSTEM": "1", "PRE_COMMIT_COLOR": "never", "BORDERPOST_GEOIP__MAX_AGE_DAYS": "3650"}


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, cwd=folder, env=environment(folder.parent), capture_output=True, text=True, timeout=100, check=False
    )


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a configuration, and one manifest in order."""
    folder = tmp_path / "repository"
    (folder / "deploy").mkdir(parents=True)
    (folder / "borderpost.yaml").write_text(CONFIG)
    (folder / "deploy" / "mesh.yaml").write_text(clean("mesh.yaml"))
    assert run(folder, "git", "init", "--quiet", ".").returncode == 0
    return folder


def spoil(repository: Path) -> None:
    case = next(case for case in planted() if case.file == "mesh.yaml" and case.rule == "BPM005")
    (repository / "deploy" / "mesh.yaml").write_text(case.text)


def commands() -> list[str]:
    """Return what the workflow of the guide runs of ours."""
    job = yaml.safe_load(block("workflow.yaml"))["jobs"]["check"]
    return [step["run"] for step in job["steps"] if "borderpost " in step.get("run", "")]


@pytest.mark.slow
def test_the_workflow_finds_what_is_wrong(repository: Path) -> None:
    spoil(repository)
    ended = [run(repository, "bash", "-eo", "pipefail", "-c", command) for command in commands()]
    assert [done.returncode for done in ended] == [0, 1, 0]
    assert ended[1].stdout.startswith("::error file=deploy/mesh.yaml,line=")
    log = json.loads((repository / "policy.sarif").read_text())
    check_sarif(log)
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["BPM005"]


def local_hooks() -> dict[str, Any]:
    """Return the guide's configuration with this repository's hooks in it, run from where they are installed."""
    hooks = {hook["id"]: hook for hook in yaml.safe_load(HOOKS.read_text())}
    (used,) = yaml.safe_load(block(".pre-commit-config.yaml"))["repos"]
    merged = [hooks[hook["id"]] | hook | {"language": "system"} for hook in used["hooks"]]
    assert {hook["id"] for hook in merged} == hooks.keys()
    return {"repos": [{"repo": "local", "hooks": merged}]}


@pytest.mark.parametrize("hook", yaml.safe_load(HOOKS.read_text()), ids=lambda hook: hook["id"])
def test_each_hook_runs_a_command_that_there_is(hook: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = hook["entry"].split()
    assert program == "borderpost"
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    assert ended.value.code == 0
    assert "FILE" in capsys.readouterr().out


@pytest.mark.full
def test_the_hooks_are_valid_and_run(repository: Path) -> None:
    (repository / ".pre-commit-config.yaml").write_text(block(".pre-commit-config.yaml"))
    assert run(repository, "pre-commit", "validate-config").returncode == 0
    assert run(repository, "pre-commit", "validate-manifest", str(HOOKS)).returncode == 0
    (repository / ".pre-commit-config.yaml").write_text(json.dumps(local_hooks()))
    (repository / "tests").mkdir()
    (repository / "tests" / "cases.yaml").write_text(CASES)
    assert run(repository, "git", "add", ".").returncode == 0
    done = run(repository, "pre-commit", "run", "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"^borderpost .*\.Passed$", done.stdout, re.MULTILINE)) == 4, done.stdout
    spoil(repository)
    (repository / "borderpost.yaml").write_text("region:\n" + CONFIG)
    (repository / "tests" / "cases.yaml").write_text(CASES.replace("legal: [eu-central-1]", "legal: [us-west-2]"))
    assert run(repository, "git", "add", ".").returncode == 0
    done = run(repository, "pre-commit", "run", "--all-files")
    assert done.returncode == 1
    assert len(re.findall(r"^borderpost .*\.Failed$", done.stdout, re.MULTILINE)) >= 3, done.stdout


@pytest.mark.full
def test_actionlint_has_nothing_to_say_of_the_workflow(tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text(block("workflow.yaml"))
    done = run(tmp_path, str(go_tool("actionlint")), "-no-color", "workflow.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    (tmp_path / "workflow.yaml").write_text(block("workflow.yaml").replace("runs-on", "run-on"))
    assert run(tmp_path, str(go_tool("actionlint")), "workflow.yaml").returncode == 1
