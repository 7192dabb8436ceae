"""What `borderpost render istio` writes is silent; small changes of it, and what a proxy lacks of it, are found."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from borderpost.cli.main import main
from borderpost.config.load import load_config
from borderpost.config.model import Config
from borderpost.manifests.reading import parse_documents
from borderpost_base.json_source import load_json
from borderpost_envoy.doctor.configuration import read_configuration
from borderpost_envoy.doctor.model import Configuration
from borderpost_envoy.doctor.sources import Source
from borderpost_istio.doctor import compare, examine, examine_documents, setting_of

CONFIG = """\
here: {country: DE}
OBSERVE
regions: {eu: {country: DE}, us: {country: US}}
server: {directory: /run/borderpost/server}
audit: {directory: /var/lib/borderpost/audit}
istio:
  VERSION
  namespace: istio-ingress
  workload: {istio: ai-gateway}
  gateways: [istio-ingress/ingress]
  hosts: HOSTS
  trusted_proxies: 1
  egress: null
  regions: {eu: {host: eu.inference.example}, us: {host: us.inference.example}}
"""
GATEWAY = """\
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress, namespace: istio-ingress}
spec:
  selector: {istio: ai-gateway}
  servers: [{port: {number: 443, name: https, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: x}, hosts: ["*"]}]
"""
OBSERVED = "1.31"
SHARED, WHOLE = "[models.example.com, chat.example.com]", '["*"]'
VARIANTS = {
    "host": ("1.29", SHARED, ()),
    "gateway": ("1.29", WHOLE, ()),
    "table": ("1.30", SHARED, ()),
    "by header": ("1.29", SHARED, ("--route-style", "cluster_header")),
    "authz": ("1.29", SHARED, ("--via", "ext_authz")),
    "observed": (OBSERVED, SHARED, ()),
}
RENDERED = Path(__file__).resolve().parents[2] / "istio/rendered"
Capture = pytest.CaptureFixture[str]


@functools.cache
def configured(folder: Path, version: str, hosts: str) -> Path:
    path = folder / f"{version}-{len(hosts)}.yaml"
    changes = {"VERSION": f'version: "{version}"', "HOSTS": hosts, "OBSERVE": ""}
    if version == OBSERVED:
        changes["VERSION"] += "\n  routes: [{name: rest, prefix: /v1}]"
        changes["OBSERVE"] = "routes: {chat: {}, rest: {}}\nobserve: {routes: {chat: {region: us}}}"
    text = functools.reduce(lambda text, change: text.replace(*change), changes.items(), CONFIG)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rendered")


def rendered(folder: Path, capsys: Capture, name: str) -> tuple[str, Config]:
    """Return a variant and its configuration."""
    version, hosts, options = VARIANTS[name]
    path, kept = configured(folder, version, hosts), folder / f"{name}.out"
    if not kept.exists():
        assert main(["render", "istio", "--config", str(path), *options]) == 0
        kept.write_text(capsys.readouterr().out, encoding="utf-8")
    return kept.read_text(encoding="utf-8"), loaded_config(path)


@functools.cache
def loaded_config(path: Path) -> Config:
    return load_config(path, environ={}).config


def found(text: str, config: Config) -> set[str]:
    documents = parse_documents(text.encode(), "ours.yaml")
    return {finding.rule.id for finding in examine_documents(documents, setting_of(config))}


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "observed"])
@pytest.mark.parametrize("gateway", ["", GATEWAY], ids=["alone", "with its Gateway"])
def test_what_is_rendered_is_silent(folder: Path, capsys: Capture, name: str, gateway: str) -> None:
    text, config = rendered(folder, capsys, name)
    assert found(text + gateway, config) == set()


def test_an_observed_route_is_told_and_nothing_else(folder: Path, capsys: Capture) -> None:
    """Its VirtualService leads to a region, whatever is decided, which is what observing means."""
    text, config = rendered(folder, capsys, "observed")
    route = {"name": "chat", "route": [{"destination": {"host": "us.inference.example"}}]}
    spec = {"hosts": ["old.example.com"], "gateways": ["istio-ingress/ingress"], "http": [route]}
    metadata = {"name": "old", "namespace": "old"}
    old = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
    whole = f"{text}{GATEWAY}---\n{json.dumps(old)}\n"
    (finding,) = examine_documents(parse_documents(whole.encode(), "ours.yaml"), setting_of(config))
    assert (finding.rule.id, finding.level.value) == ("BPD060", "warning")
    assert "no law is kept" in finding.message


@pytest.mark.parametrize("path", sorted(RENDERED.glob("*.yaml")), ids=lambda path: path.stem)
def test_golden_renderings_are_silent(path: Path) -> None:
    findings, errors = examine([path])
    assert errors == []
    assert [(finding.rule.id, finding.line, finding.message) for finding in findings] == []


def test_rendered_files_and_the_chart_s_pods_are_silent_together(folder: Path, capsys: Capture) -> None:
    text, config = rendered(folder, capsys, "host")
    pods = Path(__file__).resolve().parents[2] / "istio/manifests/borderpost.yaml"
    (folder / "ours").mkdir(exist_ok=True)
    (folder / "ours/ours.yaml").write_text(text + GATEWAY, encoding="utf-8")
    findings, errors = examine([folder / "ours", pods], config=config)
    assert errors == []
    # The manifests' own number of proxies is another one, which the EnvoyFilter sets right.
    assert findings == []
    text = (folder / "ours/ours.yaml").read_text(encoding="utf-8")
    (folder / "ours/ours.yaml").write_text(text.replace("xff_num_trusted_hops: 1", "xff_num_trusted_hops: 7"))
    findings, errors = examine([folder / "ours", pods], config=config)
    assert [finding.rule.id for finding in findings] == ["BPD085"]


CHANGES: dict[str, tuple[str, str, str, set[str]]] = {
    "failure": ("host", "failure_mode_allow: false", "failure_mode_allow: true", {"BPD059"}),
    "context": ("host", "context: GATEWAY", "context: SIDECAR_INBOUND", {"BPD053"}),
    "typo": ("host", "message_timeout:", "mesage_timeout:", {"BPD057"}),
    "replace": ("host", "operation: INSERT_FIRST", "operation: REPLACE", {"BPD052"}),
    "other route": ("host", "  - name: borderpost\n", "  - name: theirs\n", {"BPD050"}),
    "other filter": ("host", "name: envoy.filters.http.router", "name: envoy.filters.http.rooter", {"BPD050"}),
    "selector": ("gateway", "istio: ai-gateway\n", "istio: other\n", {"BPD054"}),
    "labels of another": ("host", "istio: ai-gateway\n", "istio: other\n", {"BPD054"}),
    "namespace of another": ("host", "namespace: istio-ingress", "namespace: shop", {"BPD055"}),
    "plaintext": ("host", "mode: SIMPLE", "mode: DISABLE", {"BPD079"}),
    "any certificate": ("host", "subjectAltNames:\n      - eu", "credentialName: x\n      # - eu", {"BPD080"}),
    "failover": ("host", "enabled: false", "enabled: true\n        failoverPriority: [a]", {"BPD076"}),
    "anywhere": ("host", "resolution: DNS", "resolution: NONE", {"BPD081"}),
    "permissive": ("host", "mode: STRICT", "mode: PERMISSIVE", {"BPD088"}),
    "always off": ("host", "overrides: {}", "disabled: true", {"BPD060"}),
    "skipped": ("by header", "request_header_mode: SEND", "request_header_mode: SKIP", {"BPD060"}),
    "open authorizer": ("authz", "failure_mode_allow: false", "failure_mode_allow: true", {"BPD059"}),
    "no clusters": ("table", "exact_match_map:", "exact_match_mapp:", {"BPD057"}),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_small_change_is_found(folder: Path, capsys: Capture, name: str) -> None:
    variant, old, new, rules = CHANGES[name]
    text, config = rendered(folder, capsys, variant)
    assert old in text
    assert rules <= found(text.replace(old, new) + GATEWAY, config) - {"BPD099"}


OTHERS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "our host": ({"hosts": ["models.example.com"], "route": "eu.inference.example"}, set()),
    "a host of theirs": ({"hosts": ["shop.example.com"], "route": "shop"}, set()),
    "a host of theirs to a region": ({"hosts": ["shop.example.com"], "route": "eu.inference.example"}, {"BPD071"}),
    "our host and one of theirs": (
        {"hosts": ["models.example.com", "shop.example.com"], "route": "eu.inference.example"},
        {"BPD071"},
    ),
    "every host": ({"hosts": ["*.example.com"], "route": "shop"}, {"BPD070"}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_another_team_adds(folder: Path, capsys: Capture, name: str) -> None:
    """A route of theirs for our host is behind ours, which take every path."""
    made, rules = OTHERS[name]
    http = [{"name": "theirs", "route": [{"destination": {"host": made["route"]}}]}]
    spec = {"hosts": made["hosts"], "gateways": ["istio-ingress/ingress"], "http": http}
    metadata = {"name": "shop", "namespace": "shop"}
    theirs = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
    text, config = rendered(folder, capsys, "host")
    assert found(f"{text}{GATEWAY}---\n{json.dumps(theirs)}\n", config) == rules


@pytest.mark.parametrize(("variant", "rules"), [("host", {"BPD071"}), ("gateway", set())])
def test_our_host_at_another_gateway_of_the_pods(
    folder: Path, capsys: Capture, variant: str, rules: set[str]
) -> None:  # fmt: skip
    """Only what takes the whole gateway stands before the routes of all its ports."""
    http = [{"name": "theirs", "route": [{"destination": {"host": "shop"}}]}]
    spec = {"hosts": ["models.example.com"], "gateways": ["istio-ingress/plain"], "http": http}
    metadata = {"name": "shop", "namespace": "shop"}
    theirs = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}
    second = GATEWAY.replace("name: ingress", "name: plain").replace("443", "8443")
    text, config = rendered(folder, capsys, variant)
    whole = f"{text}{GATEWAY}{second}---\n{json.dumps(theirs)}\n"
    assert found(whole, config) == rules
    unconfigured = {finding.rule.id for finding in examine_documents(parse_documents(whole.encode(), "ours.yaml"))}
    assert unconfigured == ({"BPD070"} if rules else set())


def test_of_hosts_with_one_set_of_routes_only_the_longest_has_a_virtual_host(folder: Path, capsys: Capture) -> None:
    """istiod puts them together under the longest name: a patch of another's matches nothing."""
    text, config = rendered(folder, capsys, "host")
    for name, rules in (("models.example.com:443", set()), ("chat.example.com:443", {"BPD050"})):
        named = re.sub(r"vhost:\n(?: *#.*\n)?", f'vhost:\n          name: "{name}"\n', text)
        assert found(named + GATEWAY, config) == rules


# What a proxy runs with


def running(text: str) -> dict[str, Any]:
    """Return a config dump of a proxy that has each patch, as Envoy prints it."""
    values: dict[str, list[Any]] = {}
    for document in yaml.load_all(text, Loader=yaml.CSafeLoader):
        if document and document["kind"] == "EnvoyFilter":
            for patch in document["spec"]["configPatches"]:
                values.setdefault(patch["applyTo"], []).append(patch["patch"]["value"])
    (manager,) = values["NETWORK_FILTER"]
    config = {**manager["typed_config"], "http_filters": values["HTTP_FILTER"], "rds": {"route_config_name": "https"}}
    config["xff_num_trusted_hops"] = str(config["xff_num_trusted_hops"])
    hosts = [{"name": "chat.example.com:443", "domains": ["chat.example.com"], "routes": values["HTTP_ROUTE"]}]
    listener = {"name": "0.0.0.0_443", "filter_chains": [{"filters": [{**manager, "typed_config": config}]}]}
    kind = "type.googleapis.com/envoy.admin.v3."
    return {
        "configs": [
            {"@type": f"{kind}ListenersConfigDump", "static_listeners": [{"listener": listener}]},
            {"@type": f"{kind}ClustersConfigDump", "static_clusters": [{"cluster": one} for one in values["CLUSTER"]]},
            {
                "@type": f"{kind}RoutesConfigDump",
                "dynamic_route_configs": [{"route_config": {"name": "https", "virtual_hosts": hosts}}],
            },
        ]
    }


def configuration(dump: Any) -> Configuration:
    return read_configuration(Source(load_json(json.dumps(dump).encode(), "dump.json"), "dump.json"))


def differences(text: str, dump: Any) -> list[str]:
    return [finding.message for finding in compare(parse_documents(text.encode(), "ours.yaml"), configuration(dump))]


def test_a_proxy_that_has_all_is_silent(folder: Path, capsys: Capture) -> None:
    text, _ = rendered(folder, capsys, "host")
    dump = running(text)
    raw = json.dumps(dump).replace('"0.250s"', '"0.25s"').replace('"failure_mode_allow": false, ', "")
    assert differences(text, json.loads(raw)) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda raw: raw.replace('"name": "borderpost.ext_proc"', '"name": "gone"'),
            "your EnvoyFilter matched nothing",
        ),
        (lambda raw: raw.replace('"name": "inference"', '"name": "gone"'), "no HTTP route `inference` is loaded"),
        (lambda raw: raw.replace('"name": "borderpost",', '"name": "gone",'), "no cluster `borderpost` is loaded"),
        (
            lambda raw: raw.replace('"message_timeout": "0.250s"', '"message_timeout": "10s"'),
            "HTTP filter `borderpost.ext_proc`: `typed_config.message_timeout` is `10s`, and was rendered as `0.250s`.",
        ),
        (
            lambda raw: raw.replace('"disallow_all": true', '"disallow_all": false'),
            "`typed_config.mutation_rules.disallow_all` is `False`, and was rendered as `True`.",
        ),
        (
            lambda raw: raw.replace('"prefix": "x-borderpost-"', '"prefix": "x-other-"'),
            "`typed_config.early_header_mutation_extensions.0`",
        ),
    ],
)
def test_what_a_proxy_lacks_is_told(folder: Path, capsys: Capture, spoil: Callable[[str], str], said: str) -> None:
    text, _ = rendered(folder, capsys, "host")
    told = differences(text, json.loads(spoil(json.dumps(running(text)))))
    assert any(said in message for message in told), told


def test_a_refused_update_is_told(folder: Path, capsys: Capture) -> None:
    text, _ = rendered(folder, capsys, "host")
    dump = running(text)
    error = {"details": "bad route", "failed_configuration": {"name": "0.0.0.0_443"}}
    dump["configs"][0]["dynamic_listeners"] = [{"name": "0.0.0.0_443", "error_state": error}]
    (message,) = differences(text, dump)
    assert "Envoy refused an update of listener `0.0.0.0_443`" in message
    assert "bad route" in message


def test_istioctl_s_lists_are_read_too(folder: Path, capsys: Capture) -> None:
    """`istioctl proxy-config listeners|clusters|routes -o json`, in camel case."""
    text, config = rendered(folder, capsys, "host")
    listeners, clusters, routes = running(text)["configs"]
    lists = {
        "listeners": [one["listener"] for one in listeners["static_listeners"]],
        "clusters": [one["cluster"] for one in clusters["static_clusters"]],
        "routes": [one["route_config"] for one in routes["dynamic_route_configs"]],
    }
    there = folder / "istioctl"
    there.mkdir(exist_ok=True)
    (there / "ours.yaml").write_text(text, encoding="utf-8")
    for number, (name, items) in enumerate(lists.items()):
        (there / f"{name}.json").write_text(json.dumps(camel(items)), encoding="utf-8")
        findings, errors = examine([there], config=config)
        assert errors == []
        assert bool(findings) == (number < 2), "what is not among the outputs is not loaded"


def camel(value: Any) -> Any:
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {re.sub(r"_([a-z0-9])", lambda letter: letter[1].upper(), key): camel(item) for key, item in value.items()}
