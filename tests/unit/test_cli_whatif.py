"""`whatif` as a command, on a file of traffic."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.foreseen_deployment import AT, CONFIG, TRAFFIC, asked, deployment, run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return deployment(tmp_path, monkeypatch)


def test_who_loses_service_who_moves_and_at_what_latency(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = asked(capsys, "whatif", "traffic.yaml", "--without", "operator=Loire SA", *AT, code=1)
    assert told["change"] == {"supposed": ["Loire SA"], "policy": None, "gone": ["eu-2"], "unsure": [], "own": []}
    assert told["totals"] == {
        "total": 51.0, "served": 50.0, "lost": 12.5, "moved": 0.0, "stayed": 37.5, "gained": 0.0, "refused": 1.0,
    }  # fmt: skip
    (losing,) = told["losing"]
    assert (losing["workload"], losing["region"], losing["requests"]) == ("triage", "eu-2", 12.5)
    assert losing["reason"] == "no-legal-region: own-health/no-us-law in 2"
    told = asked(capsys, "whatif", "traffic.yaml", "--without", "operator=Acme Inc", *AT)
    assert told["summary"] == (
        "Without Acme Inc (2 of 3 regions): 0.0 % of requests lose service, 75.0 % move (+12.0 ms on average, known of "
        "73 %), 25.0 % stay."
    )
    near, far = told["moves"]
    assert (near["from"], near["to"], near["requests"], near["added_us_mean"]) == ("eu-1", "eu-2", 27.5, 12_000)
    assert (far["from"], far["to"], far["requests"], far["added_us_mean"]) == ("us-1", "eu-2", 10.0, None)
    (busy,) = [row for row in told["regions"] if row["overloaded"]]
    assert (busy["region"], busy["after_per_s"], busy["capacity_per_s"]) == ("eu-2", 50.0, 30.0)


@pytest.mark.parametrize("lost", ["eu-1", "eu-2", "us-1"])
def test_explain_under_the_configuration_without_the_region_says_the_same(
    lost: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = asked(capsys, "whatif", "traffic.yaml", "--without", f"region={lost}", *AT, code=int(lost == "eu-2"))
    kept = "".join(line for line in CONFIG.splitlines(keepends=True) if not line.startswith(f"  {lost}:"))
    after: dict[str | None, float] = {}
    requests = [("DE", "health", 12.5), ("DE", "", 27.5), ("US", "", 10.0), ("CU", "", 1.0)]
    kept = kept.replace(f"{lost}: ", "other: ") if f"{lost}: " in kept else kept
    (folder / "borderpost.yaml").write_text(without_figures(kept))
    for country, data, per_s in requests:
        words = ("--country", country, *(("--class", data) if data else ()))
        answer = asked(capsys, "explain", *words, *AT)["answer"]
        after[answer.get("region")] = after.get(answer.get("region"), 0) + per_s
    assert {row["region"]: row["after"] for row in told["regions"] if row["after"]} == {
        region: per_s for region, per_s in after.items() if region is not None
    }


def without_figures(text: str) -> str:
    """Take figures of regions that are not there out of the ranking."""
    return (
        text.replace("other: 8, ", "").replace(", other: 20", "").replace(", other: 95", "").replace("{other: 5}", "{}")
    )


def test_all_of_it_in_words(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "whatif", "traffic.yaml", "--operator-jurisdiction", "US", *AT)
    assert (code, err) == (0, "")
    assert out.startswith("Without the operators under US (2 of 3 regions): 0.0 % of requests lose service, 75.0 %")
    assert "27.5/s    55.0 %  eu-1  eu-2  +12.0 ms" in out
    assert "eu-2 would get more than it can bear" in out
    code, out, _ = run(capsys, "whatif", "traffic.yaml", "--without", "country=FR", "--max-loss", "25", *AT)
    assert code == 0, "a quarter may be lost"
    assert "12.5/s    25.0 %  triage    -       DE      health, personal  eu-2" in out
    code, out, _ = run(capsys, "whatif", "traffic.yaml", "--without", "country=FR", "--max-loss", "24.9", *AT)
    assert code == 1


def test_the_gateway_s_own_place_and_what_nobody_is_at(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("whatif", "traffic.yaml", *AT, "--without")
    told = asked(capsys, *words, "country=DE")
    assert told["change"]["own"] == ["here"]
    assert any("this gateway itself would be lost too" in note for note in told["notes"])
    told = asked(capsys, *words, "country=JP")
    assert (told["change"]["gone"], told["change"]["own"], told["totals"]["stayed"]) == ([], [], 50)
    assert "no region of the catalogue is meant, so none is lost" in told["notes"]
    (folder / "borderpost.yaml").write_text(CONFIG.replace("ranking: {", "ranking: {tie_margin_ms: 100, "))
    told = asked(capsys, *words, "region=us-1")
    assert any("37.5/s requests would be served by one of several equals" in note for note in told["notes"])
    (folder / "borderpost.yaml").write_text(CONFIG.replace("entity: Loire SA, ", ""))
    told = asked(capsys, *words, "operator=Acme Inc", code=1)
    assert (told["change"]["gone"], told["change"]["unsure"]) == (["eu-1", "eu-2", "us-1"], ["eu-2"])
    assert any(note.startswith("eu-2: not enough is said") for note in told["notes"])
    told = asked(capsys, *words, "operator=Acme Inc", "--only-named")
    assert told["change"]["gone"] == ["eu-1", "us-1"]


def test_latencies_that_a_person_gives_are_what_moves_are_reckoned_by(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("whatif", "traffic.yaml", "--without", "region=eu-1", *AT)
    (folder / "traffic.yaml").write_text(f"{TRAFFIC}latency_ms: {{DE: {{eu-1: 1, eu-2: 31}}}}\n")
    assert asked(capsys, *words)["latency"]["added_us_mean"] == 30_000
    (folder / "traffic.yaml").write_text(f"{TRAFFIC}latency_ms: {{DE: {{eu-1: 1}}}}\n")
    assert asked(capsys, *words)["latency"]["added_us_mean"] == 12_000, "one figure alone compares with nothing"
    bare = CONFIG.replace("ranking: {latency_ms: {EU: {eu-1: 8, eu-2: 20, us-1: 95}, US: {us-1: 5}}}\n", "")
    (folder / "borderpost.yaml").write_text(bare)
    told = asked(capsys, *words, "--latency", "eu-1=2", "--latency", "eu-2=9")
    assert told["latency"]["added_us_mean"] == 7000
    told = asked(capsys, *words, "--latency", "eu-1=2")
    assert (told["latency"]["added_us_mean"], told["latency"]["latency_known"]) == (None, 0)
    assert "at a latency that is unknown" in told["summary"]


def test_an_event_holds_from_its_own_instant_without_signatures(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "event.yaml").write_text(
        "id: ev\ntype: injunction\nscope: {operators: [Loire SA]}\neffective_from: 2027-02-01\nsource: s\nreason: r\n"
    )
    told = asked(capsys, "whatif", "traffic.yaml", "--event", "event.yaml", code=1)
    assert told["at"].startswith("2027-02-01T00:00:00")
    assert told["losing"][0]["reason"].startswith("no-legal-region")
    assert told["totals"]["lost"] == 12.5
    code, _, err = run(capsys, "whatif", "traffic.yaml", "--event", "event.yaml", *AT)
    assert code == 2
    assert "BP1251" in err
    (folder / "event.yaml").write_text(
        "id: ev\ntype: injunction\nscope: {regions: [eu-9]}\neffective_from: 2026-01-01\nsource: s\nreason: r\n"
    )
    code, _, err = run(capsys, "whatif", "traffic.yaml", "--event", "event.yaml", *AT)
    assert code == 2
    assert "BP0211" in err
    assert "event.yaml" in err


def test_another_configuration_and_a_loss_together(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    free = CONFIG.replace("operator_in: US, basis: no-us-law", "operator_in: CN, basis: no-cn-law")
    (folder / "candidate.yaml").write_text(free)
    told = asked(capsys, "whatif", "traffic.yaml", "--policy", "candidate.yaml", *AT)
    assert (told["totals"]["lost"], told["totals"]["moved"]) == (0, 12.5)
    assert told["summary"].startswith("Under candidate.yaml: ")
    both = asked(capsys, "whatif", "traffic.yaml", "--policy", "candidate.yaml", "--without", "region=eu-1", *AT)
    assert both["summary"].startswith("Under candidate.yaml, without region eu-1 (1 of 3 regions): ")
    back = asked(
        capsys, "whatif", "traffic.yaml", "-c", "candidate.yaml", "--policy", "borderpost.yaml", "--without",
        "region=eu-2", *AT, code=1,
    )  # fmt: skip
    assert back["totals"]["lost"] == 12.5


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("traffic.yaml",), "BP0004"),
        (("--without", "region=eu-1"), "BP0004"),
        (("traffic.yaml", "--log", "x", "--without", "region=eu-1"), "BP0004"),
        (("traffic.yaml", "--from", "2026-01-01", "--without", "region=eu-1"), "BP0004"),
        (("traffic.yaml", "--without", "eu-1"), "BP0004"),
        (("traffic.yaml", "--without", "basis=x"), "BP0004"),
        (("traffic.yaml", "--without", "region=eu-1", "--max-loss", "101"), "BP0004"),
        (("traffic.yaml", "--without", "region=eu-1", "--rows", "0"), "BP0004"),
        (("traffic.yaml", "--without", "region=eu-9"), "BP0211"),
        (("traffic.yaml", "--without", "operator=Acme"), "BP1250"),
        (("traffic.yaml", "--without", "country=Atlantis"), "BP1250"),
        (("traffic.yaml", "--without", "region=eu-1", "--down", "eu-9"), "BP0211"),
        (("absent.yaml", "--without", "region=eu-1"), "BP0003"),
        (("--log", "absent", "--without", "region=eu-1"), "BP0408"),
    ],
)
def test_a_wrong_argument_is_told(
    words: tuple[str, ...], code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = run(capsys, "whatif", *words)
    assert (found, out) == (2, "")
    assert f"error[{code}]" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{certificate: DE}", "BP1252"),
        ("{header: DE}", "BP1252"),
        ("{country: DE}\ncapacity_per_s: {eu-9: 1}", "BP0211"),
        ("{country: DE}\nlatency_ms: {DE: {eu-9: 1}}", "BP0703"),
        ("{country: DE}\nlatency_ms: {Eu: {eu-1: 1}}", "BP0704"),
    ],
)
def test_what_the_configuration_does_not_have(
    line: str, code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "traffic.yaml").write_text(f"kind: Traffic\nrequests:\n  - {line}\n")
    unread = ("--set", "evidence.header=null")
    found, _, err = run(capsys, "whatif", "traffic.yaml", "--without", "region=eu-1", *unread)
    assert found == 2
    assert f"error[{code}]" in err


def test_traffic_of_which_nothing_is_served(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "traffic.yaml").write_text("kind: Traffic\nrequests: [{country: CU, workload: w}, {workload: w}]\n")
    told = asked(capsys, "whatif", "traffic.yaml", "--without", "region=eu-1", *AT)
    assert (told["totals"]["total"], told["totals"]["served"], told["totals"]["refused"]) == (2, 0, 2)
    assert told["percent_of_served"] == {"lost": 0, "moved": 0, "stayed": 0}
    told = asked(capsys, "risk", "traffic.yaml", *AT)
    assert (told["workloads"][0]["score"], told["workloads"][0]["served"], told["matrix"]) == (0, 0, [])
    code, out, _ = run(capsys, "risk", "traffic.yaml", *AT)
    assert code == 0
    assert "nothing of it is served now" in out


def test_a_candidate_that_reads_less_evidence(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "traffic.yaml").write_text("kind: Traffic\nrequests: [{country: US, header: CU}]\n")
    (folder / "candidate.yaml").write_text(f"{CONFIG}evidence: {{header: null}}\n")
    told = asked(capsys, "whatif", "traffic.yaml", "--policy", "candidate.yaml", *AT)
    assert (told["totals"]["gained"], told["gaining"][0]["region"]) == (1, "us-1")
    assert "1 that are refused now would be served" in told["summary"]
    told = asked(capsys, "whatif", "traffic.yaml", "--policy", "borderpost.yaml", *AT)
    assert told["totals"]["refused"] == 1


def test_large_figures_are_written_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "traffic.yaml").write_text("kind: Traffic\nrequests: [{country: DE, count: 123456789}]\n")
    code, out, _ = run(capsys, "whatif", "traffic.yaml", "--without", "region=eu-1", *AT)
    assert code == 0
    assert "123,456,789  100.0 %  eu-1  eu-2" in out
    assert "eu-2    0             123,456,789  -" in out
