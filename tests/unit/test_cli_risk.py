"""`risk` as a command, on a file of traffic and on a log."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.foreseen_deployment import AT, asked, deployment, run, write_log


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return deployment(tmp_path, monkeypatch)


def test_risk_of_a_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(capsys, "risk", "traffic.yaml", *AT, code=1)
    first, second = told["workloads"]
    assert (first["workload"], first["criticality"], first["sensitivity"]) == ("triage", 5, 3)
    ends = {(peril["kind"], peril["name"]) for peril in first["ends_with"]}
    assert ends >= {("region", "eu-2"), ("operator", "Loire SA"), ("country", "FR"), ("jurisdiction", "FR")}
    shares = [first["worst"][kind]["share"] for kind in told["kinds_of_loss"]]
    assert first["fragility"] == pytest.approx(sum(shares) / len(shares), abs=1e-4)
    assert first["score"] == pytest.approx(5 * 4 * first["fragility"], abs=1e-2)
    assert first["score"] > second["score"]
    cells = {(cell["kind"], cell["name"]): (cell["served"], cell["lost"]) for cell in told["matrix"][0]["cells"]}
    assert cells["country", "FR"] == (1, 1)
    assert cells["country", "DE"] == (0, 0)
    assert {each["name"] for each in told["concentration"]} >= {"eu-2", "Loire SA"}
    for peril in first["ends_with"]:
        if peril["kind"] in ("region", "operator", "country", "jurisdiction"):
            lost = asked(capsys, "whatif", "traffic.yaml", "--without", f"{peril['kind']}={peril['name']}", *AT, code=1)
            assert lost["totals"]["lost"] == 12.5


def test_risk_in_words_and_its_arguments(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "risk", "traffic.yaml", *AT)
    assert (code, err) == (1, "")
    assert "What to hedge first" in out
    assert "score = criticality" in out
    assert "Workloads by jurisdiction" in out
    told = asked(capsys, "risk", "traffic.yaml", "--criticality", "triage=1", *AT, code=1)
    assert {each["workload"]: each["criticality"] for each in told["workloads"]} == {"triage": 1, "chat": 2}
    for wrong in ("triage=6", "triage=x", "nobody=3", "triage"):
        code, _, err = run(capsys, "risk", "traffic.yaml", "--criticality", wrong, *AT)
        assert code == 2
        assert "BP0004" in err


def test_risk_of_a_log_is_by_tenant_and_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 4, "care": 3, "american": 2, "cuban": 1})
    told = asked(capsys, "risk", "--log", "audit", *AT, code=1)
    names = {each["workload"] for each in told["workloads"]}
    assert names == {"shop / personal", "clinic / health, personal", "no tenant / personal"}
    assert told["workloads"][0]["workload"] == "clinic / health, personal"
    assert any("criticality is not stated" in note for note in told["notes"])


def test_rows_are_bounded_and_the_rest_is_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, "risk", "traffic.yaml", "--rows", "1", *AT)
    assert "\nand 1 more; --rows shows them, --json all\n" in out
    assert "chat" not in out.split("Workloads by jurisdiction")[0]
    code, _, err = run(capsys, "risk", "traffic.yaml", "--rows", "0", *AT)
    assert code == 2
    assert "--rows" in err
