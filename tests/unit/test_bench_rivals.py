"""The bench's rivals: built where there is Go, left out with a reason where not; asked as Envoy asks, and compared."""

from __future__ import annotations

import json
import re
import shutil
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from borderpost_base.errors import BorderpostError
from borderpost_bench import check, load, pins, plan, report, rivals, scenarios, streams, table, traffic
from borderpost_bench.arrivals import Pace
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.rivals import RivalUnavailable
from borderpost_bench.rounds import Taken
from borderpost_envoy import Via
from borderpost_proto import ext_proc_pb2

RECORDED = bytes.fromhex(
    "12d3010ad0010a160a0c782d646174612d636c6173731a066865616c74680a160a10782d646174612d7265736964656e63791a0246520a0e"
    "0a07782d6d6f64656c1a036d2d310a100a08782d74656e616e741a0461636d650a460a0b7472616365706172656e741a3730302d30616637"
    "363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333312d30310a340a0c782d7265"
    "71756573742d69641a2436346362363231332d386563642d346666302d383834612d34373131663930613437346342004a600a1b656e766f"
    "792e66696c746572732e687474702e6578745f70726f6312410a1d0a0e7864732e726f7574655f6e616d65120b1a09696e666572656e6365"
    "0a200a0e736f757263652e61646472657373120e1a0c38382e3139382e312e323a305a00"
)
"""What Envoy 1.40 sent with the rendered filter: class, residency, model, tenant, a trace, a trusted hop."""

DRIVEN = {
    "answered": 10, "refused": 3, "failed": 1, "reasons": {"reset CANCEL": 1}, "clusters": {"a": 7},
    "duration_us": 2_000_000, "p50_us": 1500.5, "p90_us": 4000, "p99_us": 9000, "p99_9_us": 9500, "max_us": 9900,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Forget what an earlier test has built or failed to build."""
    rivals.programs.cache_clear()
    rivals.opa_program.cache_clear()
    yield
    rivals.programs.cache_clear()
    rivals.opa_program.cache_clear()


def test_the_driver_s_result_is_read() -> None:
    told = streams.parse_streams(json.dumps(DRIVEN))
    assert (told.answered, told.refused, told.failed, told.seconds, told.requests_s) == (10, 3, 1, 2.0, 5.0)
    assert (told.p50_ms, told.p90_ms, told.p99_ms, told.p999_ms) == (1.5005, 4.0, 9.0, 9.5)
    assert told.by_cluster == {"a": 7}


def test_an_open_loop_s_latencies_are_read_from_the_file_that_the_driver_writes(tmp_path: Path) -> None:
    driver = tmp_path / "drive"
    took = array("I", [number * 1_000_000 for number in range(1, 101)])
    (tmp_path / "took").write_bytes(took.tobytes())
    told = {**DRIVEN, "late_p50_us": 30.0, "late_p99_us": 400.0}
    driver.write_text(f"""#!/bin/sh
echo "$@" > {tmp_path}/asked
while [ "$1" != -latencies ]; do shift; done
cat {tmp_path}/took > "$2"
echo '{json.dumps(told)}'
""")
    driver.chmod(0o755)
    load = streams.run_streams_open(
        driver,
        tmp_path / "socket",
        tmp_path / "messages",
        via=Via.EXT_PROC,
        seconds=2.0,
        pace=Pace(700.0, "constant", 5),
    )
    assert (load.p50_ms, load.p99_ms) == (pytest.approx(50, rel=0.001), pytest.approx(99, rel=0.001))
    assert (load.offered_s, load.late_p50_ms, load.late_p99_ms) == (700.0, 0.03, 0.4)
    assert (load.answered, load.refused, load.by_cluster) == (10, 3, {"a": 7})
    asked = (tmp_path / "asked").read_text()
    assert "-rate 700 -arrivals constant -seed 5 " in asked
    assert {path.name for path in tmp_path.iterdir()} == {"drive", "took", "asked"}, "no latencies are left"


@pytest.mark.parametrize("output", ["", "connection refused", "[]", "{}", json.dumps({"answered": 1})])
def test_what_is_no_result_of_the_driver_is_an_error(output: str) -> None:
    with pytest.raises(BorderpostError, match="BP0921"):
        streams.parse_streams(output)


def test_a_question_is_what_envoy_was_recorded_to_send() -> None:
    made = ext_proc_pb2.ProcessingRequest.FromString(load.question(
        traffic.Request("88.198.1.2", {"x-forwarded-for": "88.198.1.2", "x-data-class": "health"}), Via.EXT_PROC
    ))  # fmt: skip
    recorded = ext_proc_pb2.ProcessingRequest.FromString(RECORDED)
    kept = [h for h in recorded.request_headers.headers.headers if h.key not in {"x-data-residency", "x-tenant"}]
    sent = made.request_headers.headers.headers
    assert [header.key for header in sent] == [header.key for header in kept]
    variable = {"x-model", "traceparent", "x-request-id"}
    assert [h for h in sent if h.key not in variable] == [h for h in kept if h.key not in variable]
    lengths = [[len(h.raw_value) for h in each if h.key != "x-model"] for each in (sent, kept)]
    assert lengths[0] == lengths[1]
    made.ClearField("request_headers")
    recorded.ClearField("request_headers")
    assert made == recorded
    assert made.ByteSize() == recorded.ByteSize(), "empty messages are sent by Envoy too"


def test_messages_differ_in_address_port_and_where_the_driver_writes_a_number() -> None:
    requests = traffic.requests_of("routed", 500)
    data, framed = streams.messages(requests, Via.EXT_PROC), []
    while data:
        size = int.from_bytes(data[1:5], "big")
        assert data[0] == 0
        framed.append(data[5 : 5 + size])
        data = data[5 + size :]
    assert len(framed) == 500
    assert all(one.count(streams.MARKER.encode()) == 3 for one in framed)
    assert not [one for one in framed if streams.MARKER.encode() + b"%" in one], "a marker has one place"
    sources = []
    for one in framed:
        fields = ext_proc_pb2.ProcessingRequest.FromString(one).attributes["envoy.filters.http.ext_proc"].fields
        sources.append(fields["source.address"].string_value)
    ports = [int(source.rpartition(":")[2]) for source in sources]
    assert len(set(ports)) == 500
    assert all(32768 <= port <= 60999 for port in ports)
    assert {source.startswith("[") for source in sources} == {True, False}, "IPv6 stands in brackets"


def test_without_go_a_rival_is_left_out_and_the_reason_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "go" else f"/bin/{tool}")
    heard: dict[str, str] = {}
    kept, skipped = plan.possible(plan.Plan(scenarios.SCENARIOS), Settings(), heard.__setitem__)
    assert {one.name for one in kept.scenarios} == {one.name for one in scenarios.SCENARIOS if not one.needs_go}
    assert skipped == {one.name: "Go is not installed" for one in scenarios.SCENARIOS if one.needs_go}
    assert {"go-stub", "go-honest", "go-stub-direct", "borderpost-streams"} <= skipped.keys()
    assert heard == skipped
    document = {"passed": True, "skipped": skipped}
    assert "- not measured: go-stub: Go is not installed" in _table_of(document)


def test_without_the_sources_a_rival_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _tool: "/bin/true")
    monkeypatch.setattr(rivals, "SOURCE", tmp_path)
    with pytest.raises(RivalUnavailable, match="only in a checkout"):
        rivals.programs()


def go_that(tmp_path: Path, script: str) -> str:
    """Return a command that stands in for go: it tells a version, and builds by the script given."""
    path = tmp_path / "go"
    path.write_text(f'#!/bin/sh\n[ "$1" = version ] && echo go1 && exit\necho "$*" >> {tmp_path}/calls\n{script}\n')
    path.chmod(0o755)
    return str(path)


def test_a_build_that_fails_is_a_reason_that_names_no_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    go = go_that(tmp_path, "echo cannot fetch from modules.example >&2; exit 1")
    monkeypatch.setattr(shutil, "which", lambda _tool: go)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(RivalUnavailable) as raised:
        rivals.programs()
    assert str(raised.value) == "`go build` failed with status 1"
    assert "modules.example" in capfd.readouterr().err
    assert list((tmp_path / "cache/borderpost/rivals").iterdir()) == [], "nothing half-built is left"


def test_a_rival_is_built_once_for_the_same_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = go_that(tmp_path, "for name in stub honest drive; do echo built > $4$name; done")
    monkeypatch.setattr(shutil, "which", lambda _tool: go)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = rivals.programs()
    rivals.programs.cache_clear()
    rivals.opa_program.cache_clear()
    assert rivals.programs() == first
    assert {path.read_text() for path in first.values()} == {"built\n"}
    assert (tmp_path / "calls").read_text().count("build -trimpath") == 1


def test_other_sources_or_another_go_are_another_build(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    (tmp_path / "notes.txt").write_text("a")
    first = rivals.fingerprint(tmp_path, "go1")
    (tmp_path / "notes.txt").write_text("b")
    assert rivals.fingerprint(tmp_path, "go1") == first
    assert rivals.fingerprint(tmp_path, "go2") != first
    (tmp_path / "main.go").write_text("package main ")
    assert rivals.fingerprint(tmp_path, "go1") != first


def test_the_honest_rival_s_table_says_what_the_law_is_expected_to_say() -> None:
    table = rivals.law_table("DE-HE")
    for client in traffic.ROUTED + traffic.REFUSED:
        legal: set[str] | None = None
        for country in filter(None, (client.country, client.residency)):
            one = table["countries"][country]
            allowed = set(one["classes"].get(client.data_class, one["allowed"]))
            legal = allowed if legal is None else legal & allowed
        assert legal == client.legal, client
    assert set(table["latency_ms"]["*"]) == set(table["regions"])


def journal(path: Path, *, broken: bool = False) -> Path:
    """Write two chained decisions for a German client: one legal, one not."""
    before, lines = "0" * 64, []
    for seq, region in enumerate(("eu-west-1", "us-east-1")):
        record = {
            "seq": seq, "prev": "f" * 64 if broken and seq else before, "class": ["personal"],
            "jur": {"evidence": [{"src": "geoip", "val": "DE"}]}, "out": {"action": "route", "r": region},
        }  # fmt: skip
        line = json.dumps(record).encode()
        before = check.hashlib.sha256(line).hexdigest()
        lines.append(line + b"\n")
    path.write_bytes(b"".join(lines))
    return path


def test_the_honest_rival_s_log_is_counted_and_its_chain_followed(tmp_path: Path) -> None:
    count = check.count_journal(journal(tmp_path / "good"))
    assert (count.decisions, count.illegal) == (2, 1)
    assert count.size_bytes == (tmp_path / "good").stat().st_size
    with pytest.raises(ValueError, match="record 1 is not chained"):
        check.count_journal(journal(tmp_path / "bad", broken=True))


def sample(requests_s: float, server_cpu_us: float | None) -> Sample:
    return Sample(
        requests_s=requests_s, p50_ms=1.0, p99_ms=2.0, answered=10, refused=0, failed=0, server_cpu_us=server_cpu_us,
        worker_cpu_us=None, envoy_cpu_us=None, upstream_cpu_us=1.0, server_memory_mib=None, records_per_commit=None,
        commit_ms=None, load_average=0.1, foreign_cores=0.0, check=None,
    )  # fmt: skip


def _table_of(document: dict[str, Any]) -> str:
    machine = {
        "cores": 2, "cpu": "Chip", "kernel": "6", "file_system": "ext4", "python": "3.11", "packages": {}, "wrk": None,
        "h2load": None, "go": "go version go1", "pins": "nothing pinned", "compiled": [],
        "commit": None, "changed": False,
    }  # fmt: skip
    made = report.result(
        Taken({"plain": [sample(1.0, None)]}), Settings(runs=1), command="c", when="w", machine=machine
    )  # fmt: skip
    return table.markdown({**made, **document})


def test_ratios_to_the_rivals_come_first_and_are_taken_round_by_round() -> None:
    samples = {
        "go-stub-streams": [sample(1000.0, 20.0), sample(2000.0, 40.0)],
        "go-honest-streams": [sample(500.0, 50.0), sample(500.0, 100.0)],
        "borderpost-streams@grpcio": [sample(1500.0, 10.0), sample(1000.0, 10.0)],
    }
    document = report.result(Taken(samples), Settings(runs=2), command="c", when="w", machine={})
    stub, honest, ours = document["scenarios"]
    assert list(ours)[:4] == [
        "cpu_ratio_to_go_stub", "cpu_ratio_to_go_honest", "throughput_ratio_to_go_stub", "name",
    ]  # fmt: skip
    assert ours["cpu_ratio_to_go_stub"] == {"median": 0.375, "min": 0.25, "max": 0.5}
    assert ours["cpu_ratio_to_go_honest"] == {"median": 0.15, "min": 0.1, "max": 0.2}
    assert ours["throughput_ratio_to_go_stub"] == {"median": 1.0, "min": 0.5, "max": 1.5}
    assert (ours["engine"], stub["engine"], honest["name"]) == ("grpcio", "grpc-go", "go-honest-streams")
    assert stub["cpu_ratio_to_go_stub"]["median"] == 1.0


def test_ratios_are_left_out_where_a_rival_was_not_measured() -> None:
    (ours,) = report.result(
        Taken({"direct": [sample(1.0, 1.0)]}), Settings(), command="c", when="w", machine={}
    )["scenarios"]  # fmt: skip
    assert not [name for name in ours if "ratio_to" in name]


def test_ours_are_measured_on_each_engine_and_others_once() -> None:
    chosen = plan.choose(["go-stub", "ext_proc", "constant"], ["grpcio", "wire"]).scenarios
    names = ["constant@grpcio", "constant@wire", "go-stub", "ext_proc@grpcio", "ext_proc@wire"]
    assert [one.name for one in chosen] == names
    assert tuple(scenarios.find(name) for name in names) == chosen
    assert chosen[-1].engine == "wire"
    assert chosen[-1].baselines == ("plain", "constant@wire")
    chosen = plan.choose([], []).scenarios
    assert [one for one in chosen if "@" not in one.name] == [one for one in scenarios.SCENARIOS if one.by_default]
    assert {one.name for one in chosen if "@" in one.name} == {f"{name}@grpcio" for name in scenarios.BESIDE}


def test_an_engine_that_is_not_there_is_a_reason() -> None:
    asked = plan.Plan((scenarios.on_engine(scenarios.BY_NAME["direct"], "steam"),))
    kept, skipped = plan.possible(asked, Settings(), lambda _name, _reason: None)
    assert kept.names == ()
    assert skipped == {"direct@steam": "the configuration has no `server.engine: steam` yet"}


def test_every_scenario_s_rivals_exist_and_are_asked_in_the_same_way() -> None:
    for one in scenarios.SCENARIOS:
        for rival in filter(None, (one.stub, one.honest)):
            other = scenarios.BY_NAME[rival]
            assert (other.driver, other.via, other.traffic, other.in_flight) == (
                one.driver, one.via, one.traffic, one.in_flight,
            )  # fmt: skip


@pytest.mark.parametrize(("cores", "taskset", "told"), [
    ({0, 1}, "/bin/taskset", "server on core 0, driver on core 1"),
    ({3, 5, 7}, "/bin/taskset", "server on core 3, driver on core 5"),
    ({0}, "/bin/taskset", "nothing pinned"),
    ({0, 1}, None, "nothing pinned"),
])  # fmt: skip
def test_server_and_driver_have_cores_of_their_own(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], taskset: str | None, told: str
) -> None:
    monkeypatch.setattr(pins.os, "sched_getaffinity", lambda _pid: cores)
    monkeypatch.setattr(shutil, "which", lambda _tool: taskset)
    assert pins.pins().told == told


def test_go_modules_are_named_by_path_and_version_alone() -> None:
    text = (rivals.SOURCE / "go.mod").read_text()
    assert not re.search(r"^replace|://", text, re.MULTILINE)
    assert {f"./{name}" for name in rivals.PROGRAMS} == {
        f"./{path.parent.name}" for path in rivals.SOURCE.glob("*/main.go")
    }
