"""`whatif` and `risk` as commands: on a file of traffic, and on a log by the product's own writer."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from borderpost.answers import Route
from borderpost.audit.inputs import InputStore
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost.geoip import GeoDatabase
from borderpost.policy.fields import parse_instant, to_us
from borderpost.regions.signals import RegionSignal, Signals, State
from borderpost_base import limits
from borderpost_base.world import World
from support.audit import open_writer

CONFIG = """\
here: {country: DE, operator: {jurisdiction: DE}}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-1: {country: DE, operator: {entity: Acme Inc, jurisdiction: US}}
  eu-2: {country: FR, operator: {entity: Loire SA, jurisdiction: FR}}
  us-1: {country: US, operator: {entity: Acme Inc, jurisdiction: US, certifications: [eu-us-dpf]}}
ranking: {latency_ms: {EU: {eu-1: 8, eu-2: 20, us-1: 95}, US: {us-1: 5}}}
policy:
  regimes:
    - id: own-health
      title: Health data stays with operators of the Union
      source: Board decision 12
      applies_when: {subject_in: "*", data: [health]}
      default: allow
      deny: [{to: "*", operator_in: US, basis: no-us-law}]
"""
TRAFFIC = """\
apiVersion: residency/v1
kind: Traffic
workloads: {triage: {criticality: 5}, chat: {criticality: 2}}
capacity_per_s: {eu-2: 30}
requests:
  - {workload: triage, country: DE, classes: [health], per_s: 12.5}
  - {workload: chat, country: DE, per_s: 27.5}
  - {workload: chat, country: US, per_s: 10}
  - {workload: chat, country: CU, per_s: 1}
"""
AT = ("--at", "2026-11-23")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "traffic.yaml").write_text(TRAFFIC)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def asked(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    found, out, err = run(capsys, *words, "--json")
    assert (found, err) == (code, ""), err or out
    told: dict[str, Any] = json.loads(out)
    return told


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
    after: Counter[str | None] = Counter()
    requests = [("DE", "health", 12.5), ("DE", "", 27.5), ("US", "", 10.0), ("CU", "", 1.0)]
    kept = kept.replace(f"{lost}: ", "other: ") if f"{lost}: " in kept else kept
    (folder / "borderpost.yaml").write_text(without_figures(kept))
    for country, data, per_s in requests:
        words = ("--country", country, *(("--class", data) if data else ()))
        answer = asked(capsys, "explain", *words, *AT)["answer"]
        after[answer.get("region")] += per_s
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


def view(folder: Path, signals: Signals) -> View:
    loaded = load_config(folder / "borderpost.yaml", {}, {})
    made = view_of(loaded, GeoDatabase.of(loaded.config.geoip), signals)
    store = InputStore(folder / "audit", World())
    for part in (loaded.bundle, loaded.events, made.compiled.catalog, signals):
        store.put(part.canonical())
    store.put_file(made.geo.path)
    return made


REQUESTS = {
    "german": RawRequest("", residency_claim="DE", tenant_claim="shop"),
    "care": RawRequest("", (("x-data-class", b"health"),), residency_claim="FR", tenant_claim="clinic"),
    "american": RawRequest("", residency_claim="US"),
    "cuban": RawRequest("", residency_claim="CU"),
    "malformed": RawRequest("", residency_claim="nowhere"),
}
START_US = to_us(parse_instant("2026-11-20T10:00:00Z"))


def write_log(
    folder: Path, counts: dict[str, int], *, tamper: bool = False, stale: bool = False, stream: str = "worker-0"
) -> Counter[str | None]:
    """Write decisions a second apart, in turn; return how many each region serves by their records."""
    signals = Signals(
        {"eu-1": RegionSignal(State.UP, 9000), "us-1": RegionSignal(State.DOWN)}, "0123456789abcdef", START_US
    )  # fmt: skip
    made = view(folder, signals).turned(stale=stale)
    writer = open_writer(folder / "audit", stream=stream)
    served: Counter[str | None] = Counter()
    at_us = START_US
    for name, count in counts.items():
        for _ in range(count):
            decision = made.answer(REQUESTS[name], at_us)
            record = dict(decision.record)
            if tamper:
                record["out"] = {**record["out"], "r": "eu-2", "cluster": "eu-2", "cc": "FR"}
                tamper = False
            writer.append("decision", {**record, "req": {}, "via": "ext_proc"}, at_us=at_us)
            served[decision.answer.region if isinstance(decision.answer, Route) else None] += 1
            at_us += 1_000_000
    writer.commit()
    writer.close()
    return served


def test_a_log_is_verified_derived_anew_and_grouped(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = write_log(folder, {"german": 40, "care": 10, "american": 30, "cuban": 5, "malformed": 3})
    assert served == {"eu-1": 70, "eu-2": 10, None: 8}, "us-1 is down"
    (folder / "borderpost.yaml").unlink()
    words = ("whatif", "--log", "audit", *AT)
    told = asked(capsys, *words, "--without", "region=eu-2", code=1)
    assert told["traffic"]["rederived"] == {"matched": 85, "differed": 0, "underivable": 0, "examples": []}
    assert (told["traffic"]["decisions"], told["traffic"]["refused_before_law"]) == (85, 3)
    assert told["traffic"]["verified"] is True
    assert told["totals"] == {
        "total": 85, "served": 80, "lost": 10, "moved": 0, "stayed": 70, "gained": 0, "refused": 5,
    }  # fmt: skip
    assert [(row["tenant"], row["classes"]) for row in told["losing"]] == [("clinic", ["health", "personal"])]
    assert "down before any change: us-1" in told["notes"]
    whole = asked(capsys, *words, "--without", "region=eu-1")["totals"]
    monkeypatch.setattr(limits, "TRAFFIC_GROUPS_MAX", 2)
    assert asked(capsys, *words, "--without", "region=eu-1")["totals"] == whole, "in batches of two kinds"
    up = asked(capsys, *words, "--without", "region=eu-1", "--up")
    assert {(move["from"], move["to"]) for move in up["moves"]} == {("eu-1", "eu-2"), ("eu-1", "us-1")}
    stream = asked(capsys, "whatif", "--log", "audit/worker-0", "--without", "region=eu-1", *AT)
    assert stream["totals"] == whole


def test_streams_are_added_and_stale_decisions_stay_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 4, "american": 1})
    served = write_log(folder, {"german": 3, "american": 2}, stale=True, stream="worker-1")
    assert served == {"eu-1": 5}
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", *AT)
    assert told["traffic"]["rederived"]["matched"] == 10
    assert (told["totals"]["served"], told["totals"]["refused"]) == (10, 0)
    assert any(note.startswith("5 decisions were made while legal events were stale") for note in told["notes"])


def test_a_time_of_a_log(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 4, "care": 3, "american": 2})
    words = ("whatif", "--log", "audit", "--without", "region=eu-2", *AT, "--from", "2026-11-20T10:00:02Z")
    told = asked(capsys, *words, "--to", "2026-11-20T10:00:06Z", code=1)
    assert (told["totals"]["served"], told["totals"]["lost"]) == (4, 2)
    assert (told["traffic"]["first"][:19], told["traffic"]["last"][:19]) == (
        "2026-11-20T10:00:02",
        "2026-11-20T10:00:05",
    )
    code, _, err = run(capsys, *words[:-1], "2027-01-01")
    assert code == 2
    assert "BP1254" in err


def test_the_law_of_a_configuration_meets_the_traffic_of_a_log(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(folder, {"care": 10})
    (folder / "borderpost.yaml").write_text(CONFIG.replace("US, basis: no-us-law", "CN, basis: no-cn-law"))
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", "-c", "borderpost.yaml", *AT)
    assert (told["totals"]["lost"], told["totals"]["stayed"]) == (0, 10)
    assert asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-2", *AT, code=1)["totals"]["lost"] == 10


def test_a_log_that_does_not_verify_is_refused_unless_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 5, "care": 5})
    (segment,) = (folder / "audit/worker-0").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.chmod(0o640)
    segment.write_bytes(b"".join([*lines[:3], *lines[4:]]))
    words = ("whatif", "--log", "audit", "--without", "region=eu-2", *AT)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert "error[BP1253]" in err
    assert segment.name in err
    told = asked(capsys, *words, "--unverified", code=1)
    assert (told["traffic"]["verified"], told["traffic"]["decisions"]) == (False, 9)
    assert any("does NOT verify" in note for note in told["notes"])


def test_decisions_that_come_out_otherwise_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(folder, {"german": 5}, tamper=True)
    told = asked(capsys, "whatif", "--log", "audit", "--without", "region=eu-1", *AT)
    rederived = told["traffic"]["rederived"]
    assert (rederived["matched"], rederived["differed"]) == (4, 1)
    (example,) = rederived["examples"]
    assert example["what"] == "the answer is another"
    assert len(example["decision"]) == 32
    assert any("OTHERWISE" in note for note in told["notes"])


def test_what_was_appended_after_the_log_was_verified_is_left_out(folder: Path) -> None:
    from borderpost.foresight.log import LogTraffic

    write_log(folder, {"german": 5})
    log = LogTraffic.open(folder / "audit")
    (segment,) = (folder / "audit/worker-0").glob("*.jsonl")
    segment.chmod(0o640)
    with segment.open("ab") as end:
        end.write(segment.read_bytes().splitlines(keepends=True)[2].replace(b'"seq":2,', b'"seq":99,'))
    assert sum(sum(batch.values()) for batch in log.batches()) == 5


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
