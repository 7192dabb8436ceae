"""Corners of the rules on Kubernetes objects: one small object beside a gateway of ours, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from borderpost.manifests.reading import parse_documents
from borderpost_istio.doctor import Setting, examine_documents
from borderpost_istio.doctor.rules import RULES

HCM = "envoy.filters.network.http_connection_manager"
TYPE = "type.googleapis.com/envoy"
EU, US = "outbound|443||eu.example", "outbound|443||us.example"
SETTING = Setting(clusters={EU: "eu", US: "us"}, trusted_hops=1, evidence="/var/lib/borderpost/audit")
TLS = {"mode": "SIMPLE", "subjectAltNames": ["x"]}
Object = dict[str, Any]


def made(kind: str, spec: Any, **more: Any) -> Object:
    """Return an object, by default `gw/a` of Istio's networking."""
    name, namespace = more.pop("name", "a"), more.pop("namespace", "gw")
    api = more.pop("api", "networking.istio.io/v1")
    metadata = {"name": name, "namespace": namespace, **more.pop("metadata", {})}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec, **more}


def patch(apply_to: str, operation: str, value: Any, *, context: str = "GATEWAY", **match: Any) -> Object:
    return {
        "applyTo": apply_to,
        "match": {"context": context, **match},
        "patch": {"operation": operation, "value": value},
    }


def filters(*patches: Object, **more: Any) -> Object:
    return made("EnvoyFilter", {"configPatches": list(patches), **more.pop("spec", {})}, **{"name": "theirs", **more})


def chain(name: str | None = None, sub: str | None = None, **more: Any) -> Object:
    found: Object = {"name": name} if name else {}
    if sub:
        found["subFilter"] = {"name": sub}
    return {"listener": {**({"filterChain": {"filter": found}} if found else {}), **more}}


OURS = filters(
    patch("CLUSTER", "ADD", {"name": "borderpost"}),
    patch("HTTP_FILTER", "INSERT_BEFORE", {"name": "borderpost.ext_proc"}, **chain(HCM, "envoy.filters.http.router")),
    name="borderpost",
    spec={"workloadSelector": {"labels": {"app": "gw"}}, "priority": 10},
)
GATEWAY = made(
    "Gateway",
    {
        "selector": {"app": "gw"},
        "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
    },
)
DECIDED = {
    "name": "eu",
    "match": [{"headers": {"x-borderpost-cluster": {"exact": EU}}}],
    "route": [{"destination": {"host": "eu.example"}}],
}


def host(*entries: Object, name: str = "ours", hosts: list[str] | None = None, gateway: str = "gw/a") -> Object:
    spec = {"hosts": hosts or ["ai.example"], "gateways": [gateway], "http": list(entries)}
    return made("VirtualService", spec, name=name)


def also_ours(*patches: Object, **spec: Any) -> Object:
    """Return another EnvoyFilter of ours, known by its filter."""
    return filters(
        patch("HTTP_FILTER", "ADD", {"name": "borderpost.ext_authz"}),
        *patches,
        name="more",
        spec={"workloadSelector": {"labels": {"app": "gw"}}, **spec},
    )


def rule(spec: Object) -> Object:
    return made("DestinationRule", {"host": "eu.example", **spec})


def entry(**spec: Any) -> Object:
    return made("ServiceEntry", {"hosts": ["eu.example"], "resolution": "DNS", **spec})


def pod(*containers: Object, init: tuple[Object, ...] = (), metadata: Object | None = None) -> Object:
    spec = {"containers": list(containers), "initContainers": list(init)}
    template = {"metadata": {"labels": {"app": "gw"}, **(metadata or {})}, "spec": spec}
    return made("Deployment", {"template": template}, api="apps/v1")


def route(value: Any, operation: str = "MERGE", **vhost: Any) -> Object:
    return patch("HTTP_ROUTE", operation, value, routeConfiguration={"vhost": vhost} if vhost else {})


def mesh(**config: Any) -> Object:
    return made("IstioOperator", {"meshConfig": config}, api="install.istio.io/v1alpha1")


PROXIES: Object = {"defaultConfig": {"gatewayTopology": {"numTrustedProxies": 1}}}
AWAY: Object = {"route": {"cluster": "theirs"}}
OWN = {"name": "borderpost", "image": "b", "volumeMounts": [{"name": "evidence", "mountPath": "/var/lib/borderpost"}]}

CASES: Mapping[str, tuple[list[Object], set[str]]] = {
    "nothing beside": ([], set()),
    # Patches of others
    "CONNECT by the protocol": (
        [filters(patch("CLUSTER", "ADD", {"name": "x", "http2_protocol_options": {"allow_connect": True}}))],
        {"BPD068"},
    ),
    "an upgrade that is off": ([filters(route({"route": {"upgrade_configs": [{"enabled": False}]}}))], set()),
    "allowed to fail on a host": (
        [
            filters(
                patch(
                    "VIRTUAL_HOST",
                    "MERGE",
                    {
                        "typed_per_filter_config": {
                            "borderpost.ext_proc": {
                                "@type": f"{TYPE}.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
                                "overrides": {"failure_mode_allow": True},
                            }
                        }
                    },
                )
            )
        ],
        {"BPD059", "BPD061"},
    ),
    "our cluster elsewhere": (
        [filters(patch("CLUSTER", "MERGE", {"type": "STATIC"}, cluster={"name": "borderpost"}))],
        {"BPD065"},
    ),
    "a region's cluster once more": ([filters(patch("CLUSTER", "ADD", {"name": EU}))], {"BPD065"}),
    "a region's balancing": (
        [filters(patch("CLUSTER", "MERGE", {"lb_policy": "RANDOM"}, cluster={"service": "eu.example"}))],
        {"BPD065"},
    ),
    "another service's cluster": (
        [filters(patch("CLUSTER", "MERGE", {"type": "STATIC"}, cluster={"service": "shop.example"}))],
        set(),
    ),
    "a time of all clusters": ([filters(patch("CLUSTER", "MERGE", {"connect_timeout": "1s"}))], set()),
    "the manager taken out": ([filters(patch("NETWORK_FILTER", "REMOVE", None, **chain(HCM)))], {"BPD063"}),
    "another network filter taken out": (
        [filters(patch("NETWORK_FILTER", "REMOVE", None, **chain("envoy.filters.network.tcp_proxy")))],
        set(),
    ),
    "all clusters taken out": ([filters(patch("CLUSTER", "REMOVE", None))], {"BPD063"}),
    "all listeners taken out": ([filters(patch("LISTENER", "REMOVE", None))], {"BPD063"}),
    "one listener taken out": ([filters(patch("LISTENER", "REMOVE", None, listener={"portNumber": 8443}))], set()),
    "our host replaced": (
        [host(DECIDED), filters(patch("VIRTUAL_HOST", "REPLACE", {"domains": ["ai.example"]}))],
        {"BPD063"},
    ),
    "a host of theirs added": (
        [host(DECIDED), filters(patch("VIRTUAL_HOST", "ADD", {"domains": ["shop.example"], "routes": [AWAY]}))],
        set(),
    ),
    "our host added": (
        [host(DECIDED), filters(patch("VIRTUAL_HOST", "ADD", {"domains": ["*.example"], "routes": [AWAY]}))],
        {"BPD065"},
    ),
    "sidecars' patches": ([filters(route(AWAY), patch("CLUSTER", "REMOVE", None), spec={})], {"BPD063", "BPD065"}),
    "patches of other namespaces": ([filters(route(AWAY), namespace="shop")], set()),
    "patches of other workloads": (
        [filters(route(AWAY), spec={"workloadSelector": {"labels": {"app": "shop"}}})],
        set(),
    ),
    "an older patch": ([filters(patch("HTTP_FILTER", "MERGE", {"name": "x"}), spec={"priority": 9})], set()),
    "a later patch": ([filters(patch("HTTP_FILTER", "MERGE", {"name": "x"}), spec={"priority": 11})], {"BPD058"}),
    "of one priority, the root's come first": (
        [filters(patch("HTTP_FILTER", "MERGE", {"name": "x"}), spec={"priority": 10}, namespace="istio-system")],
        set(),
    ),
    "of one priority, the younger comes later": (
        [
            filters(
                patch("HTTP_FILTER", "MERGE", {"name": "x"}),
                spec={"priority": 10},
                name="aa",
                metadata={"creationTimestamp": "2026-11-21T00:00:00Z"},
            )
        ],
        {"BPD058"},
    ),
    # Patches of ours
    "REMOVE without a filter": ([also_ours(patch("HTTP_FILTER", "REMOVE", None, **chain(HCM)))], {"BPD052"}),
    "no operation": ([also_ours(patch("HTTP_FILTER", "", {}))], {"BPD052"}),
    "a listener by name": ([also_ours(patch("LISTENER", "MERGE", {}, listener={"name": "0.0.0.0_81"}))], {"BPD050"}),
    "the listener by name": ([also_ours(patch("LISTENER", "MERGE", {}, listener={"name": "0.0.0.0_80"}))], set()),
    "a listener at the pods' port": (
        [
            also_ours(patch("LISTENER", "MERGE", {}, **chain(portNumber=8080))),
            made("Service", {"ports": [{"port": 80, "targetPort": 8080}]}, api="v1"),
        ],
        set(),
    ),
    "a network filter": (
        [also_ours(patch("NETWORK_FILTER", "MERGE", {}, **chain("envoy.http_connection_manager")))],
        {"BPD050"},
    ),
    "a cluster of no service": (
        [
            also_ours(patch("CLUSTER", "MERGE", {}, cluster={"service": "ue.example"})),
            entry(),
            rule({"trafficPolicy": {"tls": TLS}}),
        ],
        {"BPD050"},
    ),
    "a redirect where routes lead": (
        [host(DECIDED), also_ours(route({}, name="ai.example:80", route={"name": "eu", "action": "REDIRECT"}))],
        {"BPD050"},
    ),
    "a domain": ([host(DECIDED), also_ours(route({}, domainName="ai.example", route={"name": "eu"}))], set()),
    "another domain": ([host(DECIDED), also_ours(route({}, domainName="ia.example"))], {"BPD050"}),
    "another Gateway": (
        [host(DECIDED), also_ours(patch("VIRTUAL_HOST", "MERGE", {}, routeConfiguration={"gateway": "gw/b"}))],
        {"BPD050"},
    ),
    "its Gateway, of plain HTTP": (
        [
            host(DECIDED),
            also_ours(patch("VIRTUAL_HOST", "MERGE", {}, routeConfiguration={"gateway": "gw/a"})),
        ],
        {"BPD050"},
    ),
    "its route configuration": (
        [host(DECIDED), also_ours(patch("VIRTUAL_HOST", "MERGE", {}, routeConfiguration={"name": "http.80"}))],
        set(),
    ),
    "targets that are there": (
        [
            also_ours(targetRefs=[{"kind": "Gateway", "name": "k"}]),
            made("Gateway", {}, name="k", api="gateway.networking.k8s.io/v1"),
        ],
        set(),
    ),
    "targets that are not": (
        [
            also_ours(targetRefs=[{"kind": "Gateway", "name": "q"}]),
            made("Gateway", {}, name="k", api="gateway.networking.k8s.io/v1"),
        ],
        {"BPD054"},
    ),
    # Routes
    "a narrower host": (
        [host(DECIDED, hosts=["*.example"]), host(DECIDED["route"][0], name="b", hosts=["ai.example"])],
        {"BPD070"},
    ),
    "answers of the gateway to every host": (
        [host(DECIDED), host({"name": "none", "directResponse": {"status": 404}}, name="b", hosts=["*"])],
        set(),
    ),
    "every value of the header": (
        [host({**DECIDED, "match": [{"headers": {"x-borderpost-cluster": {"regex": ".*"}}}]})],
        {"BPD071"},
    ),
    "one of two matches": ([host({**DECIDED, "match": [*DECIDED["match"], {"uri": {"prefix": "/"}}]})], {"BPD071"}),
    # Destinations
    "no TLS by anybody": ([entry()], {"BPD079"}),
    "in the mesh": ([entry(location="MESH_INTERNAL")], set()),
    "mode by default": ([rule({"trafficPolicy": {"tls": {}}})], {"BPD079"}),
    "names in the ServiceEntry": (
        [rule({"trafficPolicy": {"tls": {"mode": "SIMPLE"}}}), entry(subjectAltNames=["eu.example"])],
        set(),
    ),
    "a port inherits nothing": (
        [
            rule(
                {
                    "trafficPolicy": {
                        "loadBalancer": {"localityLbSetting": {"enabled": False}},
                        "portLevelSettings": [{"port": {"number": 443}, "outlierDetection": {}}],
                    }
                }
            )
        ],
        {"BPD075"},
    ),
    "a subset inherits": (
        [
            rule(
                {
                    "trafficPolicy": {"loadBalancer": {"localityLbSetting": {"enabled": False}}},
                    "subsets": [{"name": "a", "trafficPolicy": {"outlierDetection": {}}}],
                }
            )
        ],
        set(),
    ),
    "off for the whole mesh": (
        [rule({"trafficPolicy": {"outlierDetection": {}}}), mesh(**PROXIES, localityLbSetting={"enabled": False})],
        set(),
    ),
    "distribution inside a region": (
        [
            rule(
                {
                    "trafficPolicy": {
                        "loadBalancer": {"localityLbSetting": {"distribute": [{"from": "eu/a", "to": {"eu/b": 100}}]}}
                    }
                }
            )
        ],
        set(),
    ),
    "distribution across": (
        [
            rule(
                {
                    "trafficPolicy": {
                        "loadBalancer": {"localityLbSetting": {"distribute": [{"from": "eu/a", "to": {"us/b": 1}}]}}
                    }
                }
            )
        ],
        {"BPD076"},
    ),
    "workloads of two regions": (
        [
            entry(location="MESH_INTERNAL", workloadSelector={"labels": {"app": "m"}}),
            made("WorkloadEntry", {"labels": {"app": "m"}, "locality": "eu/a"}, name="one"),
            made("WorkloadEntry", {"labels": {"app": "m"}, "locality": "us/a"}, name="two"),
            made("WorkloadEntry", {"labels": {"app": "n"}, "locality": "ap/a"}, name="three"),
        ],
        {"BPD077"},
    ),
    # Settings
    "another number of proxies": ([mesh(defaultConfig={"gatewayTopology": {"numTrustedProxies": 3}})], {"BPD085"}),
    "no number of proxies": ([mesh()], {"BPD085"}),
    "addresses by the PROXY protocol": ([mesh(defaultConfig={"gatewayTopology": {"proxyProtocol": {}}})], set()),
    "pods that say it themselves": (
        [
            mesh(),
            pod(
                {"name": "istio-proxy"},
                OWN,
                metadata={"annotations": {"proxy.istio.io/config": "gatewayTopology: {numTrustedProxies: 1}"}},
            ),
        ],
        set(),
    ),
    "a format of its own": (
        [mesh(accessLogFile="/l", accessLogFormat="%REQ(X-Forwarded-For)%", **PROXIES)],
        {"BPD087"},
    ),
    "a log that is off": (
        [
            mesh(accessLogFile="/l", **PROXIES),
            made("Telemetry", {"accessLogging": [{"disabled": True}]}, api="telemetry.istio.io/v1"),
        ],
        set(),
    ),
    "pruning by an operator": (
        [
            made(
                "Istio",
                {"values": {"pilot": {"env": {"PILOT_FILTER_GATEWAY_CLUSTER_CONFIG": True}}}},
                api="sailoperator.io/v1",
            ),
            host(DECIDED),
        ],
        {"BPD084", "BPD085"},
    ),
    "a policy of no rule": (
        [
            made(
                "AuthorizationPolicy",
                {"action": "CUSTOM", "provider": {"name": "borderpost"}},
                api="security.istio.io/v1",
            )
        ],
        {"BPD090"},
    ),
    "a policy for our host": (
        [
            host(DECIDED),
            made(
                "AuthorizationPolicy",
                {
                    "action": "CUSTOM",
                    "provider": {"name": "borderpost"},
                    "rules": [{"to": [{"operation": {"hosts": ["ai.example", "ai.example:*"]}}]}],
                },
                api="security.istio.io/v1",
            ),
        ],
        set(),
    ),
    "a policy for some callers": (
        [
            made(
                "AuthorizationPolicy",
                {"action": "CUSTOM", "provider": {"name": "borderpost"}, "rules": [{"from": [{}]}]},
                api="security.istio.io/v1",
            )
        ],
        {"BPD090"},
    ),
    # Pods
    "no volume for the record": ([pod({"name": "borderpost", "image": "b"})], {"BPD095"}),
    "a volume for the record": ([pod(OWN)], set()),
    "pods of others": ([made("Pod", {"containers": [{"name": "x"}]}, api="v1")], set()),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_said_of_it(name: str) -> None:
    objects, rules = CASES[name]
    raw = json.dumps([OURS, GATEWAY, *objects]).encode()
    found = [one for one in examine_documents(parse_documents(raw, "x.json"), SETTING) if one.rule.id != "BPD099"]
    assert {one.rule.id for one in found} == rules, [one.message for one in found]
    assert all(one.line and one.subject for one in found)


def test_a_container_that_is_no_sidecar_starts_with_envoy() -> None:
    socket = {"endpoint": {"address": {"pipe": {"path": "/run/b/w.sock"}}}}
    cluster = {"name": "borderpost", "load_assignment": {"endpoints": [{"lb_endpoints": [socket]}]}}
    mounted = {"volumeMounts": [{"name": "s", "mountPath": "/run/b"}, *OWN["volumeMounts"]]}
    objects = [
        filters(patch("CLUSTER", "ADD", cluster), spec={"workloadSelector": {"labels": {"app": "gw"}}}),
        pod({**OWN, **mounted}),
    ]
    found = examine_documents(parse_documents(json.dumps(objects).encode(), "x.json"))
    assert {one.rule.id for one in found} == {"BPD093"}


def test_without_the_descriptors_it_is_said_that_fields_were_not_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("borderpost_istio.doctor.typed_fields.envoy_types_known", lambda: False)
    (found,) = examine_documents(parse_documents(json.dumps([OURS, GATEWAY]).encode(), "x.json"), SETTING)
    assert (found.rule, found.level.value) == (RULES["BPD057"], "note")
