"""What `borderpost render istio` gives: nothing leads anywhere by itself, and everything fits into Kubernetes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from borderpost_base.errors import BorderpostError
from borderpost_base.limits import KUBERNETES_APPLIED_BYTES_MAX
from borderpost_envoy import BodyPlan, HostPort, RoutePlan, RouteStyle, Via
from borderpost_istio.kinds import KubeObject, as_data, is_name
from borderpost_istio.kinds.networking import VirtualService
from borderpost_istio.names import object_name
from borderpost_istio.render import render_objects, to_files, to_stream
from borderpost_istio.sizes import bytes_of, check_sizes, in_parts
from support.istio_plans import RATE_LIMIT, plan, region

ROUTES = (RoutePlan("chat", prefix="/v1/chat/"), RoutePlan("files", prefix="/v1/files/"))
VARIANTS = [
    {"via": via, "route_style": style, "version": version, "hosts": hosts}
    for via in Via
    for style in RouteStyle
    for version, hosts in (("1.27", ("inference.example.com",)), ("1.30", ("*",)))
]


def of_kind(objects: Iterable[KubeObject], kind: str) -> list[dict[str, Any]]:
    return [as_data(each) for each in objects if each.kind == kind]


def patches(objects: Iterable[KubeObject], apply_to: str) -> list[dict[str, Any]]:
    return [
        patch
        for each in of_kind(objects, "EnvoyFilter")
        for patch in each["spec"]["configPatches"]
        if patch["applyTo"] == apply_to
    ]


def routes(objects: Iterable[KubeObject]) -> list[dict[str, Any]]:
    """Return the inserted routes in the order in which Envoy has them: each is put before the others."""
    return [patch["patch"]["value"] for patch in reversed(patches(objects, "HTTP_ROUTE"))]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: "-".join(str(part) for part in v.values()))
def test_no_object_leads_anywhere_without_our_answer(variant: dict[str, Any]) -> None:
    objects = render_objects(plan(**variant))
    for service in of_kind(objects, "VirtualService"):
        assert service["spec"]["http"] == [{"name": "borderpost", "directResponse": {"status": 503}}]
    clusters = {each.cluster for each in plan(**variant).regions}
    for one in routes(objects):
        by_header = [header["name"] for header in one["match"].get("headers", [])] == ["x-borderpost-cluster"]
        chosen = one.get("route", {})
        if "cluster" in chosen:
            assert by_header and one["match"]["headers"][0]["string_match"]["exact"] == chosen["cluster"]
            assert chosen["cluster"] in clusters
        else:
            assert "direct_response" in one or {"cluster_header", "cluster_specifier_plugin"} & chosen.keys()
        assert not {"request_mirror_policies", "internal_redirect_policy", "weighted_clusters"} & chosen.keys()
        assert {"x-borderpost-cluster", "x-borderpost-client"} <= set(one.get("request_headers_to_remove", ()))


@pytest.mark.parametrize("variant", VARIANTS[:4], ids=lambda v: "-".join(str(part) for part in v.values()))
def test_the_last_route_refuses_what_is_left(variant: dict[str, Any]) -> None:
    last = routes(render_objects(plan(**variant, routes=ROUTES)))[-1]
    assert last["match"] == {"prefix": "/"} and last["direct_response"] == {"status": 404}


def test_routes_come_in_the_plan_s_order() -> None:
    found = routes(render_objects(plan(routes=ROUTES, route_style=RouteStyle.CLUSTER_HEADER)))
    assert [one["name"] for one in found] == ["chat", "files", "borderpost.none"]


def test_a_shared_gateway_asks_us_about_our_hosts_alone() -> None:
    objects = render_objects(plan(via=Via.EXT_AUTHZ, bodies=BodyPlan(1000), rate_limit=RATE_LIMIT))
    filters = [patch["patch"]["value"] for patch in patches(objects, "HTTP_FILTER")]
    assert all(each["disabled"] for each in filters)
    for one in routes(objects):
        assert set(one["typed_per_filter_config"]) == {each["name"] for each in filters}
    for patch in patches(objects, "HTTP_ROUTE"):
        assert patch["match"]["routeConfiguration"] == {"vhost": {"route": {"name": "borderpost"}}}
    assert of_kind(objects, "Telemetry") == []


def test_a_gateway_of_our_own_is_ours_whatever_comes() -> None:
    objects = render_objects(plan(hosts=("*",), access_log="/dev/stdout"))
    assert not any("disabled" in patch["patch"]["value"] for patch in patches(objects, "HTTP_FILTER"))
    assert all("routeConfiguration" not in patch["match"] for patch in patches(objects, "HTTP_ROUTE"))
    (telemetry,) = of_kind(objects, "Telemetry")
    assert telemetry["spec"]["accessLogging"] == [{"disabled": True}]


def test_filters_stand_in_order_before_the_router() -> None:
    objects = render_objects(plan(via=Via.EXT_AUTHZ, bodies=BodyPlan(1000), rate_limit=RATE_LIMIT, hosts=("*",)))
    found = patches(objects, "HTTP_FILTER")
    assert [patch["patch"]["value"]["name"] for patch in found] == [
        "borderpost.body", "borderpost.client", "borderpost.ext_authz", "borderpost.ratelimit",
        "borderpost.usage.json",
    ]  # fmt: skip
    for patch in found:
        chain = patch["match"]["listener"]["filterChain"]["filter"]
        assert chain["subFilter"] == {"name": "envoy.filters.http.router"}
        assert patch["patch"]["operation"] == "INSERT_BEFORE"


@pytest.mark.parametrize("choice", ["refuse", "admit"])
def test_what_an_unreachable_rate_limit_means_is_written_out(choice: str) -> None:
    spec = RATE_LIMIT.model_copy(update={"when_unreachable": choice})
    found = patches(render_objects(plan(rate_limit=spec)), "HTTP_FILTER")
    (value,) = (each for patch in found if (each := patch["patch"]["value"])["name"] == "borderpost.ratelimit")
    assert value["typed_config"]["failure_mode_deny"] is (choice == "refuse")


def test_clients_bring_no_decision_and_no_address() -> None:
    (patch,) = patches(render_objects(plan(trusted_hops=2)), "NETWORK_FILTER")
    manager = patch["patch"]["value"]["typed_config"]
    (early,) = manager["early_header_mutation_extensions"]
    prefixes = [each["remove_on_match"]["key_matcher"]["prefix"] for each in early["typed_config"]["mutations"]]
    assert prefixes == ["x-borderpost-", "x-envoy-"]
    assert manager["use_remote_address"] is True and manager["xff_num_trusted_hops"] == 2
    assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"


def test_regions_do_not_mix() -> None:
    objects = render_objects(plan())
    for rule in of_kind(objects, "DestinationRule"):
        policy = rule["spec"]["trafficPolicy"]
        assert policy["loadBalancer"]["localityLbSetting"] == {"enabled": False}
        assert "outlierDetection" not in policy
        assert policy["tls"]["subjectAltNames"] == [rule["spec"]["host"]] == [policy["tls"]["sni"]]
    entries = of_kind(objects, "ServiceEntry")
    assert [entry["spec"]["resolution"] for entry in entries] == ["STATIC", "STATIC", "DNS"]
    assert entries[1]["spec"]["endpoints"][0] == {"address": "192.0.2.2", "ports": {"http": 8443}}
    assert all(len(entry["spec"]["hosts"]) == 1 for entry in entries)


def test_hosts_are_kept_where_istiod_prunes_clusters() -> None:
    base = of_kind(render_objects(plan()), "EnvoyFilter")[0]
    referenced = base["metadata"]["annotations"]["envoyfilter.istio.io/referenced-services"]
    assert referenced.split(",") == ["eu-1.example.com", "eu-2.example.com", "us-1.example.com"]


def test_pods_of_a_region_accept_the_gateway_alone() -> None:
    inside = region(
        "eu-1", host="vllm.models.svc.cluster.local", in_mesh=True, port=80, pods={"app": "vllm"}, pod_port=8000
    )
    objects = render_objects(plan(regions=(inside,), service_account="gateway"))
    (policy,) = of_kind(objects, "AuthorizationPolicy")
    assert policy["metadata"]["namespace"] == "models" and policy["spec"]["action"] == "ALLOW"
    assert policy["spec"]["rules"] == [
        {
            "from": [{"source": {"principals": ["cluster.local/ns/istio-ingress/sa/gateway"]}}],
            "to": [{"operation": {"ports": ["8000"]}}],
        }
    ]
    guarded = {
        (each["metadata"]["namespace"], each["spec"]["mtls"]["mode"]) for each in of_kind(objects, "PeerAuthentication")
    }
    assert guarded == {("istio-ingress", "STRICT"), ("models", "STRICT")}
    assert of_kind(objects, "ServiceEntry") == []


def test_denied_methods_never_deny_tcp_as_a_whole() -> None:
    assert of_kind(render_objects(plan()), "AuthorizationPolicy") == []
    (policy,) = of_kind(render_objects(plan(ports=(8443,), routes=ROUTES)), "AuthorizationPolicy")
    operations = [to["operation"] for rule in policy["spec"]["rules"] for to in rule["to"]]
    assert all(operation["ports"] == ["8443"] for operation in operations)
    assert operations[0]["methods"] == ["CONNECT", "TRACE"]
    assert operations[1]["notPaths"] == ["/v1/chat/*", "/v1/files/*"]
    assert operations[0]["hosts"] == ["inference.example.com", "inference.example.com:*"]


def test_the_network_policy_leads_to_the_regions_alone() -> None:
    from borderpost.config.istio import EgressSpec

    (policy,) = of_kind(render_objects(plan(egress=EgressSpec())), "NetworkPolicy")
    assert policy["spec"]["policyTypes"] == ["Egress"]
    blocks = [
        (peer["ipBlock"]["cidr"], rule["ports"][0]["port"])
        for rule in policy["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    assert blocks == [
        ("192.0.2.1/32", 443), ("192.0.2.2/32", 8443), ("192.0.2.3/32", 8443), ("198.51.100.0/24", 443),
    ]  # fmt: skip
    unknown = region("eu-1", host="eu-1.example.com")
    with pytest.raises(BorderpostError) as caught:
        render_objects(plan(egress=EgressSpec(), regions=(unknown,)))
    assert caught.value.code == "BP1407"
    assert of_kind(render_objects(plan(regions=(unknown,))), "NetworkPolicy") == []


def test_borderpost_on_the_network_is_reached_by_tls() -> None:
    (cluster,) = patches(render_objects(plan(servers=(HostPort("borderpost.example.com", 9443),))), "CLUSTER")
    context = cluster["patch"]["value"]["transport_socket"]["typed_config"]
    assert context["sni"] == "borderpost.example.com"
    assert context["common_tls_context"]["tls_certificates"]


def test_the_same_plan_is_the_same_text() -> None:
    first = to_stream(render_objects(plan()))
    assert to_stream(render_objects(plan())) == first
    assert all(document["kind"] for document in yaml.safe_load_all(first))


def test_files_hold_what_the_stream_holds() -> None:
    objects = render_objects(plan())
    files = to_files(objects)
    assert list(files) == sorted(files)
    loaded = [document for text in files.values() for document in yaml.safe_load_all(text)]
    by_name = sorted(loaded, key=lambda each: (each["kind"], each["metadata"]["name"]))
    assert by_name == sorted(map(as_data, objects), key=lambda each: (each["kind"], each["metadata"]["name"]))


@pytest.mark.parametrize("region_id", ["eu-1", "eu_1", "eu.central.1", "a" * 64, "9.", "a..b", "a.-b", "x_", "0"])
def test_every_region_id_makes_a_name(region_id: str) -> None:
    assert is_name(object_name("region", region_id))


def test_names_that_would_be_spelt_the_same_stay_two() -> None:
    names = [object_name("region", each) for each in ("eu-1", "eu_1", "eu.1", "eu..1", "eu.-1", "eu-1-", "eu-1_")]
    assert len(set(names)) == len(names)


def test_many_hosts_and_regions_are_split_into_objects_that_can_be_applied() -> None:
    many = tuple(
        region(f"region-{n:03}", host=f"region-{n:03}.example.com", networks=["192.0.2.0/24"]) for n in range(50)
    )
    hosts = tuple(f"tenant-{n:04}.{'a' * 60}.{'b' * 60}.{'c' * 60}.example.com" for n in range(1300))
    objects = render_objects(plan(regions=many, hosts=hosts, ports=(8443,)))
    assert max(map(bytes_of, objects)) < 262_144
    named = [host for service in of_kind(objects, "VirtualService") for host in service["spec"]["hosts"]]
    assert tuple(named) == hosts
    names = [(each.kind, each.metadata.name) for each in objects]
    assert len(set(names)) == len(names)
    priorities = [each["spec"]["priority"] for each in of_kind(objects, "EnvoyFilter")]
    assert priorities == sorted(set(priorities)), "the order of patches in several objects is that of their priorities"
    assert [one["route"]["cluster"] for one in routes(objects) if "route" in one] == [each.cluster for each in many]


def test_a_list_is_split_in_order_and_loses_nothing() -> None:
    items = [str(number) * 1000 for number in range(10)] * 100
    parts = in_parts(items)
    assert [item for part in parts for item in part] == items
    assert all(sum(map(bytes_of, part)) <= KUBERNETES_APPLIED_BYTES_MAX for part in parts)
    assert in_parts([]) == [()]
    huge = "a" * (KUBERNETES_APPLIED_BYTES_MAX + 1)
    assert in_parts(["b", huge, "c"]) == [("b",), (huge,), ("c",)]


@pytest.mark.parametrize("annotations", [{"a": "b" * 262_144}, None])
def test_what_kubernetes_would_not_take_is_refused(annotations: dict[str, str] | None) -> None:
    (service,) = [each for each in render_objects(plan()) if isinstance(each, VirtualService)]
    hosts = tuple(f"{number:06}.example.com" for number in range(2 if annotations else 70_000))
    metadata = service.metadata.model_copy(update={"annotations": annotations})
    large = service.model_copy(update={"metadata": metadata, "spec": service.spec.model_copy(update={"hosts": hosts})})
    with pytest.raises(BorderpostError) as caught:
        check_sizes([service, large])
    assert caught.value.code == "BP1408"
