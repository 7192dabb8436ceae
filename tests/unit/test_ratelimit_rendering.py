"""Limits in Envoy's configuration: what is asked, what is told at a request's end, and what does not load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.envoy_plan import rate_limit_of
from borderpost.cli.main import main
from borderpost.config.load import Loaded, load_config
from borderpost.config.rate_limit import RateLimitSpec
from borderpost.worker_settings import settings_of
from borderpost_base.errors import BorderpostError, Problems
from borderpost_envoy import EnvoyPlan, HostPort, OwnRoute, RegionCluster, RoutePlan, UnixSocket, Via, render_bootstrap
from support.envoy_process import find_all

WHOLE: dict[str, Any] = {
    "domain": "inference",
    "socket": "/run/limiter.sock",
    "service": "borderpost",
    "when_unreachable": "refuse",
    "descriptors": [
        {"keys": [{"key": "tenant", "fact": "tenant"}, {"key": "app", "header": "x-app"}]},
        {"keys": [{"key": "tokens", "fact": "tenant"}], "charge": "usage.total_tokens"},
        {"keys": [{"key": "open", "claim": "sub"}], "release": True},
    ],
}
BASE: dict[str, Any] = {"here": {"country": "DE"}, "regions": {"eu-1": {"country": "DE"}}}


def spec(**changes: Any) -> RateLimitSpec:
    return RateLimitSpec.model_validate({**WHOLE, **changes})


def rendered(limits: RateLimitSpec | None, **changes: Any) -> dict[str, Any]:
    regions = (RegionCluster("eu-1", "eu-1", (HostPort("192.0.2.1", 80),)),)
    return render_bootstrap(
        EnvoyPlan(
            **{
                "listen": HostPort("127.0.0.1", 8080),
                "servers": (UnixSocket("/run/w.sock"),),
                "regions": regions,
                "headers_read": (),
                "rate_limit": limits,
                **changes,
            }
        )
    )


def told(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    (route,) = find_all(bootstrap, "typed_per_filter_config")
    limits: list[dict[str, Any]] = route["typed_per_filter_config"]["borderpost.ratelimit"]["rate_limits"]
    return limits


def keys(limit: dict[str, Any]) -> list[str]:
    return [next(iter(action.values()))["descriptor_key"] for action in limit["actions"]]


def load(directory: Path, **changes: Any) -> Loaded:
    file = directory / "borderpost.yaml"
    file.write_text(yaml.safe_dump({**BASE, **changes}))
    return load_config(file, environ={})


def refused(directory: Path, **changes: Any) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        load(directory, **changes)
    return list(caught.value.errors)


@pytest.mark.parametrize(
    ("via", "namespace"), [(Via.EXT_PROC, "borderpost"), (Via.EXT_AUTHZ, "envoy.filters.http.ext_authz")]
)
def test_facts_come_from_our_answer_s_metadata_by_either_door(via: Via, namespace: str) -> None:
    asked = told(rendered(spec(), via=via))[0]
    fact, header, request = (action.get("metadata") or action["request_headers"] for action in asked["actions"])
    path = {"key": namespace, "path": [{"key": "tenant"}]}
    assert fact == {"descriptor_key": "tenant", "metadata_key": path, "default_value": "-"}
    assert header == {"header_name": "x-app", "descriptor_key": "app"}
    assert request["metadata_key"] == {"key": namespace, "path": [{"key": "decision"}]}
    assert "default_value" not in request  # who has no decision has no name, and must not share one


def test_claims_are_taken_from_where_the_evidence_is() -> None:
    descriptors = [{"keys": [{"key": "who", "claim": "sub"}]}]
    (asked,) = told(rendered(spec(descriptors=descriptors), jwt_namespace="own.jwt", jwt_payload_key="claims"))
    key = {"key": "own.jwt", "path": [{"key": "claims"}, {"key": "sub"}]}
    assert asked["actions"][0] == {"metadata": {"descriptor_key": "who", "metadata_key": key}}


def test_the_end_of_a_request_is_told_by_its_name_and_never_bare() -> None:
    limits = told(rendered(spec()))
    assert [keys(limit)[-1] for limit in limits] == [
        "borderpost.request", "borderpost.request", "borderpost.phase", "borderpost.request", "borderpost.phase",
    ]  # fmt: skip
    done = [limit for limit in limits if limit.get("apply_on_stream_done")]
    assert [limit["hits_addend"] for limit in done] == [
        {"format": "%DYNAMIC_METADATA(borderpost.usage:usage.total_tokens)%"},
        {"number": 0},
    ]
    assert all(limit["actions"][-1]["generic_key"]["descriptor_value"] == "done" for limit in done)
    assert not any("hits_addend" in limit for limit in limits if limit not in done)


def test_another_service_is_told_no_names_and_only_asked_before_a_charge() -> None:
    descriptors = WHOLE["descriptors"][:2]
    first, asked, charged = told(rendered(spec(service="other", descriptors=descriptors)))
    assert (keys(first), keys(asked), keys(charged)) == (["tenant", "app"], ["tokens"], ["tokens"])
    assert "hits_addend" not in first and asked["hits_addend"] == {"number": 0}
    assert charged["apply_on_stream_done"] and charged["hits_addend"]["format"]


def test_the_filters_stand_between_ours_and_the_router_and_readers_are_off_but_on_our_routes() -> None:
    bootstrap = rendered(spec(), routes=(RoutePlan("chat"),), observed=(OwnRoute("files", "/files", "eu-1"),))
    (manager,) = find_all(bootstrap, "http_filters")
    chain = [one["name"] for one in manager["http_filters"]]
    assert chain == [
        "borderpost.ext_proc", "borderpost.ratelimit", "borderpost.usage.json", "borderpost.usage.events",
        "borderpost.observe", "envoy.filters.http.router",
    ]  # fmt: skip
    assert [one["name"] for one in manager["http_filters"] if one.get("disabled")] == [
        *chain[2:4],
        "borderpost.observe",
    ]
    (virtual,) = manager["route_config"]["virtual_hosts"]
    own = {route["name"]: route["typed_per_filter_config"] for route in virtual["routes"]}
    assert set(own["chat"]) == {*chain[1:4]} and not set(own["files"]) & {*chain[1:4]}


def test_what_is_read_comes_uncompressed_and_whole() -> None:
    bootstrap = rendered(spec(response_bytes_max=1 << 20))
    (listener,) = bootstrap["static_resources"]["listeners"]
    assert listener["per_connection_buffer_limit_bytes"] == 1 << 20
    (route,) = listener["filter_chains"][0]["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"]
    assert route["request_headers_to_remove"] == ["accept-encoding"]
    text = str(rendered(spec(descriptors=WHOLE["descriptors"][:1])))
    assert "accept-encoding" not in text and "per_connection_buffer_limit_bytes" not in text


def test_nothing_is_read_where_nothing_is_charged() -> None:
    text = str(rendered(spec(descriptors=WHOLE["descriptors"][:1])))
    assert "borderpost.ratelimit" in text and "borderpost.usage" not in text
    assert "ratelimit" not in str(rendered(None))


@pytest.mark.parametrize("choice", ["refuse", "admit"])
def test_what_an_outage_means_is_written_whichever_it_is(choice: str) -> None:
    (held,) = find_all(rendered(spec(when_unreachable=choice)), "failure_mode_deny")
    assert held["failure_mode_deny"] is (choice == "refuse")


def test_a_plan_needs_the_service_s_place_and_its_cluster_s_name() -> None:
    with pytest.raises(BorderpostError, match="BP0902"):
        rendered(RateLimitSpec.model_validate({**WHOLE, "socket": None, "service": None}))
    with pytest.raises(BorderpostError, match="BP0902"):
        rendered(spec(), regions=(RegionCluster("eu-1", "borderpost.ratelimit", (HostPort("192.0.2.1", 80),)),))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"when_unreachable": None}, "BP0103"),
        ({"host": "a"}, "BP0104"),
        ({"descriptors": []}, "BP0104"),
        ({"descriptors": [{"keys": []}]}, "BP0104"),
        ({"descriptors": [{"keys": [{"key": "a"}]}]}, "BP0104"),
        ({"descriptors": [{"keys": [{"key": "a", "value": "b", "header": "c"}]}]}, "BP0104"),
        ({"descriptors": [{"keys": [{"key": "a", "fact": "decision"}]}]}, "BP0104"),
        ({"descriptors": [{"keys": [{"key": "borderpost.phase", "value": "done"}]}]}, "BP1670"),
        ({"descriptors": [{"keys": [{"key": "a", "value": "b"}], "charge": "a.b", "release": True}]}, "BP1671"),
        ({"descriptors": [{"keys": [{"key": "a", "value": "b"}], "charge": "a b"}]}, "BP0104"),
        ({"service": "other"}, "BP1671"),
        ({"service": "other", "socket": None, "descriptors": WHOLE["descriptors"][:1]}, "BP1672"),
        ({"service": None, "socket": None}, "BP1672"),
    ],
)
def test_what_leaves_something_open_does_not_load(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    assert load(tmp_path, rate_limit=WHOLE).config.rate_limit is not None
    spoilt = {key: value for key, value in {**WHOLE, **change}.items() if value is not None}
    assert [error.code for error in refused(tmp_path, rate_limit=spoilt)] == [code]


def test_the_limiter_inside_is_asked_at_its_own_door(tmp_path: Path) -> None:
    inside = {key: value for key, value in WHOLE.items() if key not in {"socket", "service"}}
    (tmp_path / "limits").mkdir()
    limiter: dict[str, Any] = {"limits": ["limits"]}
    found = rate_limit_of(load(tmp_path, rate_limit=inside, limiter=limiter).config)
    assert found is not None and found.socket == str(tmp_path / "run/server/limiter.sock") and found.names_requests
    limiter["server"] = {"listen": "tcp", "port": 8081}
    found = rate_limit_of(load(tmp_path, rate_limit=inside, limiter=limiter).config)
    assert found is not None and (found.host, found.port, found.names_requests) == ("127.0.0.1", 8081, True)
    limiter["server"] = {"listen": "tcp", "port": 0}
    assert [error.code for error in refused(tmp_path, rate_limit=inside, limiter=limiter)] == ["BP1672"]
    limiter["server"] = {"listen": "tcp", "tls": {"certificate": "c", "key": "k"}}
    assert "BP1672" in [error.code for error in refused(tmp_path, rate_limit=inside, limiter=limiter)]


def test_envoy_gateway_is_not_given_what_it_cannot_keep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, rate_limit=WHOLE)
    words = ["--gateway", "ai/ai", "--listener", "http", "--upstream", "eu-1=192.0.2.1:80", "-c"]
    assert main(["render", "envoy-gateway", *words, str(tmp_path / "borderpost.yaml")]) == 2
    assert "BP1422" in capsys.readouterr().err


def test_workers_are_told_which_facts_answers_tell(tmp_path: Path) -> None:
    assert settings_of(load(tmp_path).config).facts == ()
    assert settings_of(load(tmp_path, rate_limit=WHOLE).config).facts == ("tenant",)
