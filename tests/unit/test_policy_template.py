"""The repository that `policy init` writes works as it is, and stops a pull request that widens the law."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from borderpost.cli.file_kinds import KINDS
from borderpost.cli.main import main
from borderpost.cli.policy.init import template_files
from borderpost.config.load import load_config
from borderpost.version import __version__
from borderpost_base.errors import Problems
from borderpost_base.yaml_source import load_yaml_file

FILES = {
    "borderpost.yaml": "config",
    "packs/house.yaml": "pack",
    "tests/health.yaml": "tests",
    "assertions.yaml": "assertions",
    "accepted.yaml": "accepted",
}
HELD = "CARE: {all_of: [EEA]}"
WIDENED = "CARE: {all_of: [EEA], plus: [GG]}"


@pytest.fixture
def law(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["policy", "init", str(tmp_path / "law")]) == 0
    monkeypatch.chdir(tmp_path / "law")
    return tmp_path / "law"


def widen(law: Path) -> None:
    pack = law / "packs/house.yaml"
    assert HELD in pack.read_text()
    pack.write_text(pack.read_text().replace(HELD, WIDENED))


@pytest.mark.parametrize("name", FILES)
def test_each_file_is_valid_and_laid_out(law: Path, name: str) -> None:
    jsonschema.Draft202012Validator(KINDS[FILES[name]].schema()).validate(load_yaml_file(law / name).data)
    assert main(["policy", "fmt", "--check", name]) == 0


def test_it_is_in_order_and_holds_its_promises(law: Path) -> None:
    assert [pack.metadata.id for pack in load_config(law / "borderpost.yaml").bundle.packs] == [
        "base",
        "eu-gdpr",
        "house",
    ]
    assert main(["policy", "test", "tests"]) == 0
    assert main(["policy", "prove", "assertions.yaml"]) == 0


def test_one_territory_more_breaks_a_promise(law: Path, capsys: pytest.CaptureFixture[str]) -> None:
    widen(law)
    assert main(["policy", "prove", "assertions.yaml"]) == 1
    told = capsys.readouterr().out
    assert "Health data of a person in the EEA never reaches a region outside the EEA." in told
    assert "may go to guernsey, by `eu-gdpr/art45,house-health/hospitals`" in told
    assert main(["policy", "test", "tests"]) == 1


def test_nothing_is_overwritten(law: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (law / name).read_bytes() for name, _ in template_files()}
    (law / "assertions.yaml").unlink()
    assert main(["policy", "init", str(law)]) == 2
    assert "BP1266" in capsys.readouterr().err
    assert not (law / "assertions.yaml").exists()
    for name in before.keys() - {Path("assertions.yaml")}:
        assert (law / name).read_bytes() == before[name]


def test_the_workflows_run_what_is_there(law: Path) -> None:
    steps = {}
    for file in sorted((law / ".github/workflows").iterdir()):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            steps[file.name] = [step["run"] for step in job["steps"] if "run" in step]
    assert steps == {
        "policy.yaml": [f'pip install "borderpost=={__version__}"', './check "origin/$GITHUB_BASE_REF"'],
        "release.yaml": [
            f'pip install "borderpost=={__version__}"', "borderpost check-config",
            "tar --create --file law.tar borderpost.yaml packs keys",
        ],
    }  # fmt: skip
    assert os.access(law / "check", os.X_OK)


class Repository:
    """The template in git, with its main branch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("BORDERPOST_", "GIT"))}
        roles = [f"GIT_{role}_{what}" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")]
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        own = {"PATH": path, "HOME": str(folder.parent), "NO_COLOR": "1"}
        self.environment = {**kept, **dict.fromkeys(roles, "a@example.org"), **own}
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.commit("The house's law")

    def run(self, *words: str, code: int = 0, **variables: str) -> str:
        done = subprocess.run(
            words, cwd=self.folder, env={**self.environment, **variables}, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)


@pytest.mark.full
def test_a_pull_request_that_widens_the_law_waits(law: Path) -> None:
    repository = Repository(law)
    repository.run("git", "switch", "--quiet", "--create", "guernsey")
    widen(law)
    repository.commit("Guernsey is adequate")
    told = repository.run("./check", "main", code=1)
    assert "Health data of a person in the EEA never reaches a region outside the EEA." in told
    assert "may go to guernsey" in told.split("policy prove")[1].split("policy diff")[0]
    assert "widened: health and personal data" in told
    assert "of subjects in EEA (37 places) may now go to guernsey" in told.split("policy diff")[1]
    assert "1 change that nobody has accepted" in told

    pack = law / "packs/house.yaml"
    pack.write_text(pack.read_text().replace(WIDENED, HELD).replace('version: "1"', 'version: "2"'))
    repository.commit("Not for health data")
    repository.run("./check", "main", GITHUB_ACTIONS="true")
    assert repository.run("git", "worktree", "list").count("\n") == 1
    assert repository.run("git", "status", "--short") == ""


def test_a_release_is_signed_by_two(law: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("ada", "bo"):
        assert main(["events", "keygen", name]) == 0
        Path(f"{name}.pub.pem").rename(f"keys/{name}.pub.pem")
    config = law / "borderpost.yaml"
    text = config.read_text()
    start = text.index("# pack_signatures:")
    config.write_text(text[:start] + text[start:].replace("# ", ""))
    with pytest.raises(Problems, match="BP1263"):
        load_config(config)
    assert load_config(config, environ={"BORDERPOST_PACK_SIGNATURES__SIGNERS": "{}"}).bundle.packs
    for name in ("ada", "bo"):
        assert main(["policy", "sign", "packs/house.yaml", "--key", f"{name}.key.pem", "--as", name]) == 0
    capsys.readouterr()
    assert main(["policy", "verify", "packs/house.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["packs"][0]["signed_by"] == ["ada", "bo"]
    assert load_config(config).bundle.packs
    widen(law)
    with pytest.raises(Problems, match="BP1264"):
        load_config(config)
