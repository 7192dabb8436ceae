"""OPA-Envoy as a rival: asked as it needs to be asked, and its decision log read like the others' logs."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from borderpost_bench import bootstraps, load, opa, report, rivals, scenarios, traffic
from borderpost_bench.measure import Sample
from borderpost_bench.rivals import RivalUnavailable
from borderpost_envoy import EnvoyPlan, HostPort, RegionCluster, UnixSocket, Via, render_bootstrap
from borderpost_proto import ext_authz_pb2


def rendered(via: Via) -> dict[str, Any]:
    plan = EnvoyPlan(
        listen=HostPort("127.0.0.1", 0), servers=(UnixSocket("/run/b/worker-0.sock"),), headers_read=("x-data-class",),
        regions=(RegionCluster("a", "a", (HostPort("127.0.0.1", 1),)),), via=via,
    )  # fmt: skip
    return render_bootstrap(plan)


def authz(bootstrap: dict[str, Any]) -> dict[str, Any]:
    (manager,) = bootstraps.managers(bootstrap)
    (found,) = [one["typed_config"] for one in manager["http_filters"] if one["name"].endswith("ext_authz")]
    return dict(found)


def test_opa_is_sent_headers_as_a_map_with_the_country_and_all_else_is_the_same() -> None:
    ours = rendered(Via.EXT_AUTHZ)
    before, after = authz(ours), authz(opa.opa_bootstrap(ours))
    assert before.pop("encode_raw_headers") is True
    assert {"exact": traffic.COUNTRY_HEADER} not in before["allowed_headers"]["patterns"]
    assert after["allowed_headers"]["patterns"].pop() == {"exact": traffic.COUNTRY_HEADER}
    assert after == before


def test_a_bootstrap_that_asks_nobody_by_ext_authz_is_an_error() -> None:
    with pytest.raises(ValueError, match="no ext_authz"):
        opa.opa_bootstrap(rendered(Via.EXT_PROC))


def test_a_question_to_opa_has_each_header_in_the_map() -> None:
    (request,) = traffic.requests_of("placed", 1)
    plain, raw = (
        ext_authz_pb2.CheckRequest.FromString(load.question(request, Via.EXT_AUTHZ, raw_headers=each)).attributes
        for each in (False, True)
    )
    assert plain.request.http.headers[traffic.COUNTRY_HEADER] == "DE"
    assert not plain.request.http.header_map.headers
    told = {one.key: one.raw_value.decode() for one in raw.request.http.header_map.headers}
    assert dict(plain.request.http.headers) == told


def test_only_the_traffic_for_it_tells_the_country() -> None:
    for name in traffic.TRAFFIC:
        told = {traffic.COUNTRY_HEADER in one.headers for one in traffic.requests_of(name, 32)}
        assert told == {name == "placed"}
    placed = traffic.requests_of("placed", 100)
    bare = [{k: v for k, v in one.headers.items() if k != traffic.COUNTRY_HEADER} for one in placed]
    assert bare == [dict(one.headers) for one in traffic.requests_of("routed", 100)]


def line(asked_with: dict[str, str], **result: Any) -> str:
    asked = {"attributes": {"request": {"http": {"headers": asked_with}}}}
    return json.dumps({"decision_id": "d", "msg": "Decision Log", "input": asked, "result": result})


def test_its_decision_log_is_counted_by_what_was_asked_and_said(tmp_path: Path) -> None:
    def routed(region: str, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return line(named, allowed=True, headers={"x-borderpost-cluster": region})

    lines = [
        json.dumps({"msg": "Starting decision logger."}),
        routed("eu-west-1", x_client_country="DE"),
        routed("us-east-1", x_client_country="DE"),  # illegal
        routed("eu-west-1", x_client_country="US", x_data_residency="FR"),
        routed("us-east-1", x_client_country="US", x_data_residency="FR"),  # illegal
        line({"x-client-country": "IN", "x-data-class": "payment"}, allowed=False, http_status=403),
        line({"x-client-country": "DE"}, allowed=False),  # refused what the law allows
    ]
    log = tmp_path / "opa.log"
    log.write_text("".join(f"{one}\n" for one in lines))
    count = opa.count_console(log)
    assert (count.routed, count.refused) == ({"eu-west-1": 2, "us-east-1": 2}, {"not-allowed": 2})
    assert (count.illegal, count.over_refused) == (2, 1)
    assert count.size_bytes == sum(len(one) + 1 for one in lines[1:])


def test_its_law_is_the_honest_rival_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opa, "opa_program", lambda: tmp_path / "opa")
    program, *words = opa.opa_command(tmp_path)
    assert program == str(tmp_path / "opa")
    named = dict(zip(words[::2], words[1::2], strict=True))
    assert json.loads(Path(named["-table"]).read_text()) == {"table": rivals.law_table(here="DE-HE")}
    policy = Path(named["-policy"]).read_text()
    assert traffic.COUNTRY_HEADER in policy
    assert "x-borderpost-cluster" in policy


def test_without_its_sources_it_is_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shutil, "which", lambda _tool: "/bin/true")
    monkeypatch.setattr(rivals, "OPA_SOURCE", tmp_path)
    rivals.opa_program.cache_clear()
    with pytest.raises(RivalUnavailable, match="only in a checkout"):
        rivals.opa_program()


def test_our_door_is_told_as_a_ratio_of_it_asked_in_the_same_way() -> None:
    for name in ("ext_authz", "ext_authz-streams"):
        ours = scenarios.BY_NAME[name]
        theirs = scenarios.BY_NAME[ours.opa or ""]
        assert theirs.server is scenarios.Server.OPA
        assert (theirs.via, theirs.driver, theirs.in_flight) == (ours.via, ours.driver, ours.in_flight)
        assert "GeoIP" in theirs.note
        assert "not synced" in theirs.note


def test_the_ratios_divide_ours_by_its() -> None:
    blank = Sample(
        requests_s=6000.0, p50_ms=1.0, p99_ms=1.0, answered=1, refused=0, failed=0, server_cpu_us=30.0,
        worker_cpu_us=30.0, envoy_cpu_us=None, upstream_cpu_us=0.0, server_memory_mib=1.0, records_per_commit=None,
        commit_ms=None, load_average=0.0, foreign_cores=0.0, check=None,
    )  # fmt: skip
    samples = {"ext_authz-streams": [blank], "opa-streams": [replace(blank, requests_s=600.0, server_cpu_us=480.0)]}
    found = report.ratios(samples, scenarios.BY_NAME["ext_authz-streams"])
    assert found["cpu_ratio_to_opa"].median == pytest.approx(0.062, abs=0.001)
    assert found["throughput_ratio_to_opa"].median == 10.0
