"""The bench's own parts: what it reads from tools and the kernel, what it sends, how it checks and sums up."""

from __future__ import annotations

import ipaddress
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from borderpost.facts.needs import law_headers
from borderpost.geoip import GeoDatabase
from borderpost.geoip.config import GeoipSpec
from borderpost.policy.schema import EvidenceSpec
from borderpost.requests import CheckReader, ProcessReader, Reading
from borderpost_base.errors import BorderpostError
from borderpost_base.names import EXT_PROC_FILTER
from borderpost_bench import bootstraps, check, cpu, load, machine, report, scenarios, stage, table, traffic
from borderpost_bench.main import main
from borderpost_bench.measure import Sample, Settings
from borderpost_bench.rounds import Taken
from borderpost_envoy import EnvoyPlan, HostPort, RegionCluster, UnixSocket, Via, render_bootstrap

WRK = """Running 1s test @ http://127.0.0.1:1
  10 requests in 1.00s, 2.00KB read
borderpost-bench {"answered":10,"duration_us":2000000,"refused":3,"failed":1,"p50_us":1500,\
"p90_us":4000,"p99_us":9000,"p99_9_us":9500}
"""
H2LOAD = """starting benchmark...
finished in 2.00s, 5.00 req/s, 1.00KB/s
requests: 11 total, 11 started, 10 done, 10 succeeded, 1 failed, 1 errored, 0 timeout
status codes: 10 2xx, 0 3xx, 0 4xx, 0 5xx
"""


def test_wrk_s_result_is_read() -> None:
    told = load.parse_wrk(WRK)
    assert told == load.Load(
        answered=10, refused=3, failed=1, seconds=2.0, p50_ms=1.5, p99_ms=9.0, p90_ms=4.0, p999_ms=9.5
    )
    assert told.requests_s == 5.0


def test_h2load_s_result_is_read() -> None:
    log = "".join(f"1700000000000000\t200\t{took_us}\n" for took_us in range(1000, 11000, 1000)) + "17\t-1\t99\n"
    assert load.parse_h2load(H2LOAD, log) == load.Load(10, 0, 1, 2.0, 5.0, 10.0, 9.0, 10.0)


@pytest.mark.parametrize("parse", [load.parse_wrk, lambda text: load.parse_h2load(text, "")])
def test_output_that_is_no_result_is_an_error(parse: Any) -> None:
    with pytest.raises(BorderpostError, match="BP0921"):
        parse("unable to connect")


def test_a_missing_load_generator_is_named() -> None:
    with pytest.raises(BorderpostError, match="BP0920") as raised:
        load.need("no-such-load-generator")
    assert "no-such-load-generator" in raised.value.detail


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, 0.0), ([7], 99, 7.0), ([1, 2], 50, 1.0), (list(range(1, 101)), 99, 99.0), (list(range(1, 12)), 50, 6.0)],
)
def test_percentiles_are_nearest_rank(values: list[int], percent: float, expected: float) -> None:
    assert load.percentile(values, percent) == expected


def test_the_script_holds_every_request_and_nothing_that_could_end_a_string() -> None:
    script = load.wrk_script(traffic.requests_of("mixed", 34))
    assert script.count("x-forwarded-for") == 34
    assert script.count("x-data-class") == 6
    with pytest.raises(ValueError, match="printable ASCII"):
        load.wrk_script([traffic.Request("x", {"x-data-class": "a\nb"})])
    assert r'"a\"b\\"' in load.wrk_script([traffic.Request("x", {"x-data-class": 'a"b\\'})])


@pytest.mark.parametrize("client", traffic.ROUTED + traffic.REFUSED, ids=lambda client: client.network)
def test_each_network_lies_wholly_in_its_country(client: traffic.Client) -> None:
    with closing(GeoDatabase.of(GeoipSpec())) as database:
        network = ipaddress.ip_network(client.network)
        parts = network.subnets(new_prefix=min(network.max_prefixlen, network.prefixlen + 8))
        found = {database.lookup(str(part.network_address)).country or "?" for part in parts}
    assert found == {client.country}


def test_requests_are_the_same_every_time_and_from_all_clients() -> None:
    made = traffic.requests_of("mixed", 400)
    assert made == traffic.requests_of("mixed", 400)
    assert len({request.address for request in made}) > 300
    for number, request in enumerate(made):
        client = traffic.TRAFFIC["mixed"][number % 17]
        assert ipaddress.ip_address(request.address) in ipaddress.ip_network(client.network)


def test_a_question_made_by_the_bench_is_read_by_both_doors() -> None:
    (request,) = traffic.requests_of("one", 1)
    evidence = EvidenceSpec()
    reading = Reading(law_headers(evidence, {}), evidence.token)
    for via, reader in ((Via.EXT_PROC, ProcessReader()), (Via.EXT_AUTHZ, CheckReader())):
        raw, identity = reader.read(reader.parse(load.question(request, via)), reading)
        assert raw.address.removesuffix(":0") == request.address
        assert identity.request_id is not None
    assert load.grpc_frame(b"abc") == b"\0\0\0\0\3abc"


def decision(country: str | None, out: dict[str, Any], *classes: str, header: str | None = None) -> dict[str, Any]:
    evidence = [{"src": "geoip", "val": country}] if country else []
    evidence += [{"src": "header", "val": header}] if header else []
    return {"jur": {"evidence": evidence}, "class": list(classes or ("personal",)), "out": out}


def routed(region: str) -> dict[str, Any]:
    return {"action": "route", "r": region}


REFUSED = {"action": "refuse", "reason": "embargo"}


@pytest.mark.parametrize(
    ("record", "illegal", "over_refused"),
    [
        (decision("DE", routed("eu-west-1")), 0, 0),
        (decision("DE", routed("us-east-1")), 1, 0),
        (decision("US", routed("us-east-1")), 0, 0),
        (decision("US", routed("us-east-1"), header="FR"), 1, 0),
        (decision("ES", routed("eu-west-1"), "health", "personal"), 0, 0),
        (decision("AE", routed("me-central-1"), "health", "personal"), 1, 0),
        (decision("IR", routed("eu-west-1")), 1, 0),
        (decision("IR", REFUSED), 0, 0),
        (decision(None, REFUSED), 0, 0),
        (decision("DE", REFUSED), 0, 1),
        (decision("JP", routed("eu-west-1")), 1, 0),
    ],
)
def test_each_record_is_held_against_the_expectation(record: dict[str, Any], illegal: int, over_refused: int) -> None:
    count = check.LogCount()
    count.add(record, 100)
    assert (count.illegal, count.over_refused, count.size_bytes, count.decisions) == (illegal, over_refused, 100, 1)


def counted(routed_by: dict[str, int], refused: int) -> check.LogCount:
    count = check.LogCount(size_bytes=1000)
    count.routed.update(routed_by)
    count.refused["embargo"] = refused
    return count


def test_counts_that_agree_pass() -> None:
    made = check.compare(
        counted({"a": 5, "b": 3}, 2),
        client_routed=7,
        client_refused=2,
        regions={"a": 5, "b": 2},
        asking=check.Asking(),
        cut_off=1,
    )
    assert made.passed
    assert (made.unlogged, made.unheard, made.decisions, made.bytes_per_decision) == (0, 1, 10, 100.0)


@pytest.mark.parametrize(
    ("client_routed", "client_refused", "regions", "unlogged"),
    [
        (9, 2, {"a": 5, "b": 3}, 1),  # the client got a routed answer more than the log has
        (8, 4, {"a": 5, "b": 3}, 2),  # refusals without a record
        (8, 2, {"a": 4, "b": 4}, 1),  # a request reached another region than the one on record
    ],
)
def test_an_answer_without_a_record_fails(
    client_routed: int, client_refused: int, regions: dict[str, int], unlogged: int
) -> None:
    made = check.compare(
        counted({"a": 5, "b": 3}, 2), client_routed=client_routed, client_refused=client_refused,
        regions=regions, asking=check.Asking(), cut_off=8,
    )  # fmt: skip
    assert made.unlogged == unlogged
    assert not made.passed


@pytest.mark.parametrize(("asking", "passes"), [
    (check.Asking(), False), (check.Asking(failed=1), True), (check.Asking(repeated=1), True),
])  # fmt: skip
def test_records_that_nobody_heard_of_need_a_reason(asking: check.Asking, passes: bool) -> None:
    made = check.compare(
        counted({"a": 50}, 0), client_routed=40, client_refused=0, regions={}, asking=asking, cut_off=9
    )
    assert made.unheard == 10
    assert made.passed is passes


def test_refusals_that_envoy_gave_itself_are_not_unlogged() -> None:
    made = check.compare(
        counted({"a": 10}, 2), client_routed=8, client_refused=5, regions={"a": 8},
        asking=check.Asking(failed=3), cut_off=0,
    )  # fmt: skip
    assert (made.refused_by_envoy, made.unlogged, made.unheard) == (3, 0, 2)
    assert made.passed


def test_proc_files_are_read() -> None:
    stat = cpu.parse_stat("42 (a) b (c) S 7 42 42 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 3 0 100 1 1")
    ticks = cpu._TICKS_PER_S
    assert stat == cpu.ProcessStat(parent=7, cpu_s=200 / ticks)
    assert cpu.busy_s("cpu  100 1 50 900 5 4 3 9 0 0\ncpu0 1 1 1 1") == 158 / ticks
    assert machine.cpu_model("processor : 0\nmodel name\t: A  Chip\n") == "A  Chip"
    mounts = "/dev/a / ext4 rw 0 0\ntmpfs /srv tmpfs rw 0 0\n/dev/b /srv/data xfs rw 0 0\n"
    assert [machine.file_system(Path(p), mounts) for p in ("/x", "/srv/x", "/srv/data/x", "/srvx")] == [
        "ext4", "tmpfs", "xfs", "ext4",
    ]  # fmt: skip
    assert stage.parse_metrics('# HELP a b\na 2.0\nb{x="y"} 3\nc_sum 1e-3\n') == {"a": 2.0, "c_sum": 0.001}


def test_compiled_modules_are_named_as_they_are_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    suffix = machine.EXTENSION_SUFFIXES[0]
    for package, files in {
        "borderpost": ["a.py"],
        "borderpost_wire": ["h2/b.py", f"h2/b{suffix}", f"c{suffix}"],
    }.items():
        for name in files:
            path = tmp_path / package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    found = {package: type("Spec", (), {"submodule_search_locations": [str(tmp_path / package)]}) for package in (
        "borderpost", "borderpost_wire",
    )}  # fmt: skip
    monkeypatch.setattr(machine.importlib.util, "find_spec", found.get)
    assert machine.compiled_modules() == ["borderpost_wire.c", "borderpost_wire.h2.b"]


def test_the_plain_proxy_asks_nobody_and_all_else_is_the_same() -> None:
    plan = EnvoyPlan(
        listen=HostPort("127.0.0.1", 0), servers=(UnixSocket("/run/b/worker-0.sock"),), headers_read=(),
        regions=(RegionCluster("a", "a", (HostPort("127.0.0.1", 1),)),),
    )  # fmt: skip
    rendered = render_bootstrap(plan)
    plain = bootstraps.plain_proxy(rendered, "a")
    (before,), (after,) = bootstraps.managers(rendered), bootstraps.managers(plain)
    assert [one["name"] for one in before["http_filters"]] == [EXT_PROC_FILTER, "envoy.filters.http.router"]
    assert [one["name"] for one in after["http_filters"]] == ["envoy.filters.http.router"]
    (route,) = after["route_config"]["virtual_hosts"][0]["routes"]
    assert route["route"]["cluster"] == "a"
    assert "cluster_specifier_plugin" not in route["route"]
    assert plain["static_resources"]["clusters"] == rendered["static_resources"]["clusters"]
    with pytest.raises(ValueError, match="no filter"):
        bootstraps.plain_proxy(plain, "a")


def sample(requests_s: float, **changes: Any) -> Sample:
    figures: dict[str, Any] = {
        "p50_ms": 1.0, "p99_ms": 2.0, "answered": 10, "refused": 0, "failed": 0, "server_cpu_us": None,
        "worker_cpu_us": None, "envoy_cpu_us": 100.0, "upstream_cpu_us": 10.0, "server_memory_mib": None,
        "records_per_commit": None, "commit_ms": None, "load_average": 0.5, "foreign_cores": 0.1, "check": None,
    }  # fmt: skip
    return Sample(requests_s=requests_s, **{**figures, **changes})


def checked(illegal: int) -> check.Check:
    return check.Check(
        illegal=illegal, unlogged=0, over_refused=0, refused_by_envoy=0, repeated=0, unheard=0,
        unheard_max=8, decisions=10,
        bytes_per_decision=1400.0, routed={"a": 10}, refused={},
    )  # fmt: skip


SAMPLES = {
    "plain": [sample(1000.0), sample(2000.0), sample(1200.0)],
    "ext_proc": [sample(500.0, server_cpu_us=9.0, check=checked(0)) for _ in range(3)],
}
MACHINE = {
    "cores": 2, "cpu": "Chip", "kernel": "6", "file_system": "ext4", "python": "3.11", "packages": {"grpcio": "1"},
    "wrk": "wrk 4", "h2load": None, "go": None, "pins": "nothing pinned", "compiled": [],
    "commit": "0123456789abcdef", "changed": False,
}  # fmt: skip


def document(samples: dict[str, list[Sample]]) -> dict[str, Any]:
    return report.result(Taken(samples), Settings(runs=3), command="c", when="w", machine=MACHINE)


def test_ratios_are_taken_round_by_round() -> None:
    assert report.ratios(SAMPLES, scenarios.BY_NAME["ext_proc"]) == {
        "throughput_ratio_to_plain": report.Spread(0.417, 0.25, 0.5)
    }


def test_a_result_sums_up_with_median_and_range() -> None:
    told = document(SAMPLES)
    plain, product = told["scenarios"]
    assert plain["summary"]["requests_s"] == {"median": 1200.0, "min": 1000.0, "max": 2000.0}
    assert "server_cpu_us" not in plain["summary"]
    assert product["summary"]["log_bytes"]["median"] == 1400.0
    assert product["checks"]["decisions"] == 30
    assert told["passed"] is True


def test_a_failed_check_or_request_fails_the_result() -> None:
    assert not document({"ext_proc": [sample(1.0, check=checked(1))]})["passed"]
    assert not document({"plain": [sample(1.0, failed=1)]})["passed"]


def test_the_table_shows_ranges_ratios_and_where_it_was_measured() -> None:
    text = table.markdown(document(SAMPLES))
    lines = text.splitlines()
    assert lines[0].count("|") == lines[1].count("|") == lines[2].count("|") == lines[3].count("|")
    assert lines[2].startswith("| plain proxy | 1,200 (1,000–2,000) | 1.00 | – | 2.0 | – |")
    assert "| 0.42 (0.25–0.50) | – | 0 | 0 | 0 |" in lines[3]
    assert "commit 0123456789ab" in text
    assert "all checks: passed" in text


def test_arguments_are_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--runs", "0"], ["--seconds", "301"], ["--connections", "many"], ["--scenario", "nobody"]):
        with pytest.raises(SystemExit) as raised:
            main(words)
        assert raised.value.code == 2
    assert "is not a number from 1 to 300" in capsys.readouterr().err


def test_a_directory_in_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "file_system", lambda _directory: "tmpfs")
    with pytest.raises(BorderpostError, match="BP0922"):
        machine.need_disk(tmp_path)


def test_every_scenario_names_what_exists() -> None:
    assert len(scenarios.BY_NAME) == len(scenarios.SCENARIOS)
    for scenario in scenarios.SCENARIOS:
        assert scenario.traffic in traffic.TRAFFIC
        assert set(scenario.baselines) <= scenarios.BY_NAME.keys()
