"""Every rendering is accepted by the real Envoy, and says what it must."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.demo.tokens import TokenIssuer
from borderpost_base.yaml_source import load_yaml
from borderpost_envoy import (
    BodyPlan,
    EnvoyPlan,
    HostPort,
    JwtProvider,
    ListenerTls,
    RoutePlan,
    RouteStyle,
    UnixSocket,
    Via,
    render_bootstrap,
    to_json,
    to_yaml,
)
from support.certificates import CertificateAuthority
from support.envoy_process import connection_manager, find_all, validate_bootstrap
from support.wiring import plan_for

pytestmark = pytest.mark.blackbox

PORTS = {"eu-1": 8081, "us-1": 8082}


def _files(directory: Path) -> dict[str, Any]:
    authority = CertificateAuthority(directory)
    certificate, key = authority.issue("gateway", dns=("localhost",))
    jwks = directory / "jwks.json"
    jwks.write_text(TokenIssuer("https://id.example/").jwks())
    return {
        "tls": ListenerTls(str(certificate), str(key), str(authority.path)),
        "jwt_providers": (JwtProvider("issuer", "https://id.example/", str(jwks), ("inference",)),),
    }


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two routes": {"routes": (RoutePlan("chat", "/v1/chat/"), RoutePlan("rest", "/", 60_000, 5_000, 0, {"team": "a"}))},
    "bodies": {"bodies": BodyPlan(65_536)},
    "bodies of a route": {
        "bodies": BodyPlan(65_536, ("chat",)),
        "routes": (RoutePlan("chat", "/v1/chat/"), RoutePlan("rest", "/")),
    },
    "no admin": {"admin": None},
    "access log": {"access_log": "/dev/null"},
    "hosts": {"hosts": ("a.example", "*.b.example")},
    "tcp by name": {"servers": (HostPort("localhost", 9443), HostPort("127.0.0.1", 9444))},
    "many sockets": {"servers": tuple(UnixSocket(f"/run/borderpost/worker-{n}.sock") for n in range(64))},
    "odd names": {
        "headers_read": ("x-yes", "x-null"),
        "routes": (RoutePlan("no"), RoutePlan("1.0"), RoutePlan("a: b")),
    },
}


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize("style", list(RouteStyle))
def test_every_variant_is_accepted(tmp_path: Path, via: Via, style: RouteStyle) -> None:
    for name, changes in {**VARIANTS, "TLS and tokens": _files(tmp_path)}.items():
        plan = plan_for(Path("/run/borderpost/worker-0.sock"), PORTS, via=via, route_style=style, **changes)
        rendered = render_bootstrap(plan)
        for text in (to_yaml(rendered), to_json(rendered)):
            accepted, told = validate_bootstrap(text, tmp_path)
            assert accepted, f"{name}: {told}"


@pytest.mark.parametrize("via", list(Via))
def test_yaml_says_the_same_as_json(tmp_path: Path, via: Via) -> None:
    for changes in [*VARIANTS.values(), _files(tmp_path)]:
        plan = plan_for(Path("/run/borderpost/worker-0.sock"), PORTS, via=via, **changes)
        rendered = render_bootstrap(plan)
        assert load_yaml(to_yaml(rendered).encode(), "rendered").data == rendered == json.loads(to_json(rendered))


def test_rendering_is_deterministic() -> None:
    plan = plan_for(Path("/run/borderpost/worker-0.sock"), PORTS)
    assert to_yaml(render_bootstrap(plan)) == to_yaml(render_bootstrap(dataclasses.replace(plan)))


@pytest.mark.parametrize("via", list(Via))
@pytest.mark.parametrize("style", list(RouteStyle))
def test_no_way_round_is_written_down(via: Via, style: RouteStyle) -> None:
    """What must hold in every rendering, whatever the plan."""
    plan: EnvoyPlan = plan_for(Path("/run/borderpost/worker-0.sock"), PORTS, via=via, route_style=style)
    rendered = render_bootstrap(plan)
    text = json.dumps(rendered)
    for banned in (
        "internal_redirect",
        "mirror",
        "upgrade_config",
        "retry_priority",
        "aggregate",
        "weighted_clusters",
        "refresh_cluster_on_retry",
        "ORIGINAL_DST",
        "vhds",
        "rds",
    ):
        assert banned not in text
    (question,) = find_all(rendered, "failure_mode_allow")
    assert question["failure_mode_allow"] is False
    assert question["status_on_error"] == {"code": "ServiceUnavailable"}
    actions = [route["route"] for holder in find_all(rendered, "routes") for route in holder["routes"]]
    assert actions and not [action for action in actions if "cluster" in action]
    for cluster in rendered["static_resources"]["clusters"][1:]:
        assert len(cluster["load_assignment"]["endpoints"]) == 1
        assert "priority" not in cluster["load_assignment"]["endpoints"][0]
    stripped = json.dumps(connection_manager(rendered)["early_header_mutation_extensions"])
    assert '"prefix": "x-borderpost-"' in stripped and '"prefix": "x-envoy-"' in stripped
