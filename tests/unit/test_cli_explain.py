"""`explain`, of a made-up request and of the log; `verify` and `render` as commands."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.audit.inputs import InputStore
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.config.load import Loaded, load_config
from borderpost.decision import View
from borderpost.facts import RawRequest
from borderpost.geoip import Anonymisers, GeoDatabase
from borderpost.regions.signals import Signals
from borderpost_base.world import World
from support.audit import open_writer

CONFIG = """\
here: {country: DE, subdivision: DE-HE}
regions:
  eu-central-1: {country: DE, subdivision: DE-HE}
  eu-west-3: {country: FR}
  us-east-1: {country: US, operator: {jurisdiction: US, certifications: [eu-us-dpf]}}
  us-west-2: {country: US}
region_defaults: {retention: same, telemetry: same}
ranking:
  latency_ms: {EU: {eu-central-1: 15, eu-west-3: 25, us-east-1: 95}, US: {us-east-1: 5}}
evidence: {mtls: {san_prefix: "spiffe://x/residency/"}}
tenants:
  acme: {san: ["spiffe://x/acme"], classes: [health], require_evidence: [token]}
  shop: {classes: [personal], mode: hybrid, purpose: support}
routes:
  chat: {classes: [personal]}
geoip: {anonymisers: [exits.txt]}
"""
GERMAN = "88.217.0.1"
EXIT = "88.217.7.7"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "exits.txt").write_text("88.217.7.0/24 vpn\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    code, out, err = run(capsys, "explain", "--json", *words)
    assert (code, err) == (0, ""), err or out
    told: dict[str, Any] = json.loads(out)
    return told


def legal(told: dict[str, Any]) -> set[str]:
    return {row["region"] for row in told["regions"] if row["legal"]}


def test_a_country_decides_the_law_and_the_nearest_legal_region(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = explained(capsys, "--country", "FR")
    assert told["answer"]["region"] == "eu-central-1"
    assert [regime["id"] for regime in told["regimes"]] == ["eu-gdpr"]
    assert legal(told) == {"eu-central-1", "eu-west-3", "us-east-1"}
    (refused,) = [row for row in told["regions"] if row["legal"] is False]
    assert (refused["region"], refused["why"].split("/")[0]) == ("us-west-2", "eu-gdpr")


def test_an_address_is_looked_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--address", GERMAN)
    assert [(piece["source"], piece["code"]) for piece in told["facts"]["evidence"]] == [("geoip", "DE")]
    assert GERMAN not in json.dumps(told)


def test_failover_stays_inside_the_law(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(capsys, "--country", "DE", "--down", "eu-central-1")["answer"]["region"] == "eu-west-3"
    down = [word for region in ("eu-central-1", "eu-west-3", "us-east-1") for word in ("--down", region)]
    told = explained(capsys, "--country", "DE", *down)
    assert (told["answer"]["status"], told["answer"]["code"]) == (503, "BP0806")


def test_a_probe_s_latency_can_be_made_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--country",
        "DE",
        "--set",
        "ranking.prefer=[probe]",
        "--latency",
        "eu-west-3=3",
        "--latency",
        "us-east-1=9",
    ]
    told = explained(capsys, *words)
    assert told["answer"]["region"] == "eu-west-3"
    assert told["regions"][0]["latency_us"] == 3000


def test_evidence_of_every_source_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "--country",
        "US",
        "--claim",
        "residency=DE",
        "--san",
        "spiffe://x/residency/FR",
        "--header",
        "X-Data-Residency=GB",
    ]
    told = explained(capsys, *words)
    found = {piece["source"]: piece["code"] for piece in told["facts"]["evidence"]}
    assert found == {"token": "DE", "mtls": "FR", "header": "GB", "geoip": "US"}


def test_a_tenant_brings_its_floor_and_what_it_requires(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "DE", "--san", "spiffe://x/acme", "--route", "chat")
    assert (told["facts"]["tenant"], told["facts"]["missing"]) == ("acme", "token")
    assert told["answer"]["status"] == 403
    told = explained(capsys, "--country", "DE", "--san", "spiffe://x/acme", "--claim", "residency=DE")
    assert told["answer"]["action"] == "route"
    assert "health" in told["facts"]["classes"]


def test_headers_by_their_own_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "DE", "--class", "health", "--model", "m-1", "--tenant", "acme")
    assert (told["facts"]["model"], told["facts"]["tenant"]) == ("m-1", None)
    assert "health" in told["facts"]["classes"]


def test_the_law_of_another_day(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "e.yaml").write_text(
        "events:\n  - {id: ev, type: region_suspend, scope: {regions: [eu-central-1]}, effective_from: 2027-03-01, "
        "recorded_at: 2027-01-01, source: s, reason: r}\n"
    )
    words = ["--country", "DE", "--set", "events.file=e.yaml", "--at"]
    before = explained(capsys, *words, "2027-02-28T23:59:59.999999Z")
    assert before["answer"]["region"] == "eu-central-1"
    assert before["valid_until"] == "2027-03-01T00:00:00.000000Z"
    after = explained(capsys, *words, "2027-03-01")
    assert after["answer"]["region"] == "eu-west-3"
    assert {row["region"]: row["why"] for row in after["regions"]}["eu-central-1"] == "event/ev"


def test_a_refusal_before_the_law(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--country", "DE", "--header", "x-data-residency=nowhere")
    assert (told["answer"]["status"], told["ruling"]) == (400, None)
    assert {row["legal"] for row in told["regions"]} == {None}


@pytest.mark.parametrize(
    "words",
    [
        ["--country", "Germany"],
        ["--country", "DE", "--at", "yesterday"],
        ["--country", "DE", "--down", "mars-1"],
        ["--country", "DE", "--latency", "eu-west-3=fast"],
        ["--country", "DE", "--latency", "eu-west-3=nan"],
        ["--country", "DE", "--latency", "eu-west-3=-1"],
        ["--country", "DE", "--header", "x-tenant"],
        ["--country", "DE", "--claim", "subject=me"],
        ["--country", "DE", "--claim", "residency=DE", "--set", "evidence.token=null"],
        ["--log", "run/audit"],
        ["0" * 32],
    ],
)
def test_a_wrong_argument_is_told(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "explain", *words)
    assert (code, out) == (2, "")
    assert "error[BP0" in err
    assert "Traceback" not in err


def test_what_people_read_names_regimes_regions_and_the_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _err = run(capsys, "explain", "--country", "FR")
    assert code == 0
    assert "regimes   eu-gdpr: General Data Protection Regulation" in out
    assert "→  eu-central-1" in out
    assert "routed to eu-central-1" in out
    code, out, _err = run(capsys, "explain", "--country", "CU")
    assert "refused with 451 BP0802: embargo" in out


@pytest.fixture
def log(folder: Path) -> tuple[Path, dict[str, str]]:
    """Write a log with a routed, a forbidden, an incomplete and a malformed request; return it and their ids."""
    loaded = load_config(folder / "borderpost.yaml", {}, {})
    at_us = World().now_us()
    anonymisers = Anonymisers.open(loaded.config.geoip.anonymisers)
    signals = Signals.empty("0123456789abcdef", at_us)
    view = view_of(loaded, GeoDatabase.of(loaded.config.geoip), signals, anonymisers)
    directory = folder / "audit"
    store = InputStore(directory, World())
    put_inputs(store, loaded, view)
    requests = {
        "routed": RawRequest(GERMAN, route="chat"),
        "forbidden": RawRequest(GERMAN, residency_claim="CU"),
        "incomplete": RawRequest(GERMAN, sans=("spiffe://x/acme",)),
        "malformed": RawRequest(GERMAN, (("x-data-residency", b"nowhere"),)),
        "exit": RawRequest(EXIT, route="chat"),
        "proven": RawRequest(EXIT, residency_claim="FR", tenant_claim="shop"),
    }
    ids = {}
    writer = open_writer(directory)
    for name, raw in requests.items():
        record = view.answer(raw, at_us).record
        fields = {**record, "req": {"id": name}, "via": "ext_proc"}
        ids[name] = writer.append("decision", fields, at_us=at_us).decision_id
    writer.commit()
    writer.close()
    return directory, ids


def put_inputs(store: InputStore, loaded: Loaded, view: View) -> None:
    for part in (loaded.bundle, loaded.events, view.compiled.catalog, view.signals):
        store.put(part.canonical())
    store.put(view.anonymisers.canonical())
    for file in (view.geo, *view.anonymisers.files):
        store.put_file(file.path)


STATUS = {"routed": None, "forbidden": 451, "incomplete": 403, "malformed": 400, "exit": 403, "proven": None}


@pytest.mark.parametrize("name", STATUS)
def test_a_recorded_decision_is_derived_anew(
    name: str, log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, ids = log
    told = explained(capsys, "--log", str(directory), ids[name])
    assert told["decision"] == ids[name]
    assert told["answer"].get("status") == STATUS[name]
    same = [note for note in told["notes"] if "derived anew" in note]
    assert same == (
        [] if name == "malformed" else ["derived anew from the inputs that the record names: the same table of regions"]
    )
    assert explained(capsys, "--log", str(directory / "worker-0"), ids[name])["answer"] == told["answer"]


def test_a_decision_that_a_limit_undid_says_so(
    log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, ids = log
    refused = {"algorithm": "budget", "amount": 1_000_000, "window_us": 3_600_000_000, "source": "store"}
    writer = open_writer(directory, stream="limiter")
    writer.append("limit.refuse", {"req": {"decision": ids["routed"]}, "rule": "inference.tokens", **refused})
    writer.append("limit.refuse", {"req": {}, "rule": "inference.tokens", **refused})
    writer.close()
    (note, *_) = explained(capsys, "--log", str(directory), ids["routed"])["notes"]
    assert note.startswith(
        "it went nowhere: the limit inference.tokens (budget, 1,000,000 in 3,600 s) refused it at 20"
    )
    assert explained(capsys, "--log", str(directory / "worker-0"), ids["routed"])["notes"][0] == note
    assert "limit" not in str(explained(capsys, "--log", str(directory), ids["proven"])["notes"])


def test_doubt_purpose_and_mode_are_told_of_a_record(
    log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    directory, ids = log
    facts = explained(capsys, "--log", str(directory), ids["proven"])["facts"]
    assert [(piece["code"], piece["doubt"]) for piece in facts["evidence"]] == [("FR", None), ("DE", "anonymiser")]
    assert (facts["purpose"], facts["mode"]) == ("support", "hybrid")
    assert explained(capsys, "--log", str(directory), ids["exit"])["reason"] == "unknown-subject"


def test_an_exit_is_told_of_a_made_up_request(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = explained(capsys, "--address", EXIT)
    assert told["answer"]["reason"] == "unknown-subject"
    assert "anonymisers" in told["inputs"]
    assert "anonymisers" not in explained(capsys, "--country", "DE")["inputs"], "a stated place is nobody's exit"
    assert explained(capsys, "--address", GERMAN)["answer"]["action"] == "route"


def test_an_id_that_is_not_in_the_log(log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    directory, ids = log
    for wrong in ("0" * 32, "x", ids["routed"][:20] + "000000000000"):  # the last one is `epoch.open`
        code, out, err = run(capsys, "explain", "--log", str(directory), wrong)
        assert (code, out) == (2, "")
        assert "error[BP04" in err


def test_a_missing_input_is_told(log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    directory, ids = log
    for path in (directory / "inputs/sha256").iterdir():
        path.unlink()
    code, _out, err = run(capsys, "explain", "--log", str(directory), ids["routed"])
    assert code == 2
    assert "error[BP0407]" in err


def test_verify_finds_nothing_wrong(log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    directory, _ids = log
    code, out, err = run(capsys, "verify", str(directory))
    assert code == 0
    assert "worker-0" in out
    assert "nothing is wrong" in out
    assert "note:" in err
    code, out, err = run(capsys, "verify", str(directory), "--json")
    told = json.loads(out)
    assert (code, err, told["clean"], told["records"], told["schema_version"]) == (0, "", True, 8, 1)


def test_verify_finds_a_changed_byte(log: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]) -> None:
    directory, _ids = log
    (segment,) = (directory / "worker-0").glob("*.jsonl")
    segment.chmod(0o600)
    segment.write_bytes(segment.read_bytes().replace(b'"id":"forbidden"', b'"id":"forbiddex"'))
    code, out, _err = run(capsys, "verify", str(directory))
    assert code == 10
    assert f"{segment}:" in out
    assert "BP0410" in out
    code, out, _err = run(capsys, "verify", str(directory), "--json")
    assert (code, json.loads(out)["exit_code"]) == (10, 10)


def test_verify_of_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "verify", "nowhere")
    assert (code, out) == (2, "")
    assert "error[BP0408]" in err


UPSTREAMS = [
    word
    for number, region in enumerate(("eu-central-1", "eu-west-3", "us-east-1", "us-west-2"), 1)
    for word in ("--upstream", f"{region}=127.0.0.1:{8000 + number}")
]


@pytest.mark.parametrize("via", ["ext_proc", "ext_authz"])
def test_render_writes_the_same_in_yaml_and_json(via: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["render", "envoy", "--via", via, *UPSTREAMS]
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    told = run(capsys, *words, "--json")[1]
    assert yaml.safe_load(out) == json.loads(told)
    names = {cluster["name"] for cluster in json.loads(told)["static_resources"]["clusters"]}
    assert {"eu-central-1", "eu-west-3", "us-east-1", "us-west-2"} < names
    assert str(folder / "run/server/worker-0.sock") in told
    assert "x-data-residency" in told


def test_render_takes_every_option(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "render", "envoy", *UPSTREAMS, "--upstream", "eu-west-3=[::1]:8009", "--upstream-tls", "eu-west-3=fr.example",
        "--route", "chat=/v1/", "--listen", "0.0.0.0:443", "--admin", "none", "--tls", "c.pem", "k.pem",
        "--client-ca", "ca.pem", "--trusted-hops", "1", "--message-timeout-ms", "100", "--jwt", "idp", "https://idp",
        "jwks.json", "--access-log", "a.log", "--route-style", "cluster_header", "--server-ca", "s.pem",
        "--server-name", "bp.example", "--server-client", "sc.pem", "sk.pem", "--set", "server.listen=tcp",
        "--set", "server.host=10.0.0.1", "--set", "server.workers=2",
        "--set", "server.tls={certificate: c, key: k, client_ca: a}", "--json",
    ]  # fmt: skip
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    for part in ("::1", "fr.example", "/v1/", "bp.example", "sc.pem", "jwks.json", "a.log", '"port_value": 9444'):
        assert part in out, part


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--upstream", "mars-1=127.0.0.1:1"],
        ["--upstream", "eu-central-1"],
        [*UPSTREAMS, "--upstream", "eu-west-3=nowhere"],
        [*UPSTREAMS, "--route", "talk=/"],
        [*UPSTREAMS, "--client-ca", "ca.pem"],
        [*UPSTREAMS, "--listen", "x"],
        [*UPSTREAMS, "--set", "server.listen=tcp", "--set", "server.port=0"],
        [*UPSTREAMS, "--set", "server.listen=tcp", "--set", "server.tls={certificate: c, key: k}"],
        [*UPSTREAMS, "--set", "routes={a: {}, b: {}}"],
        [*UPSTREAMS, "--set", "regions.eu-west-3.cluster=borderpost"],
    ],
)
def test_render_refuses_what_does_not_fit(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "render", "envoy", *words)
    assert (code, out) == (2, "")
    assert "error[BP0" in err
    assert "Traceback" not in err
