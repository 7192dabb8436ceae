"""The chart and what is made of it, without helm: schema, versions, pod security, and the product's own check.

Every form of the manifests is looked at: the chart's cases, plain manifests, Kustomize and the overlays.
"""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import chart_docs
import generate_kubernetes
import jsonschema
import kubernetes_validate
import pytest
import yaml
from render_chart import CASES, CHART, MANIFESTS, cases

from borderpost.config.load import load_config
from borderpost.config.model import Config
from borderpost.version import __version__
from support.kube_schemas import documents
from support.pod_security import containers, violations

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = ("1.29", "1.31", "1.37")
Edit = Callable[[dict[str, Any]], object]


def text(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def read(path: str | Path) -> Any:
    return yaml.safe_load(text(path))


@functools.cache
def schema() -> dict[str, Any]:
    return dict(json.loads(text(CHART / "values.schema.json")))


@functools.cache
def rendered(case: str) -> list[dict[str, Any]]:
    return documents(text(CASES / case / MANIFESTS))


@functools.cache
def pods() -> dict[str, dict[str, Any]]:
    """Return each form's pod, as far as that form says it."""
    found = {case: one_of(rendered(case), "StatefulSet")["spec"]["template"]["spec"] for case in cases(ROOT)}
    found["plain manifests"] = one_of(documents(text("istio/manifests/borderpost.yaml")), "StatefulSet")["spec"][
        "template"
    ]["spec"]
    laid_over = read("istio/examples/gateway-api/parameters.yaml")["data"]["deployment"]
    found["gateway api"] = yaml.safe_load(laid_over)["spec"]["template"]["spec"]
    values = read("istio/chart/values-for-istio-gateway-chart.yaml")
    found["istio's chart"] = {
        **{
            key: values[key]
            for key in ("securityContext", "initContainers", "volumes", "terminationGracePeriodSeconds")
        },
        "containers": [{"name": "istio-proxy", "volumeMounts": values["volumeMounts"]}],
    }
    return found


def one_of(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (document,) = [document for document in found if document["kind"] == kind]
    return document


def sidecar(pod: Mapping[str, Any]) -> dict[str, Any]:
    (found,) = pod["initContainers"]
    return dict(found)


def environment(container: Mapping[str, Any], pod_name: str) -> dict[str, str]:
    """Return the product's variables as a pod of this name would have them."""
    values = {one["name"]: one.get("value", pod_name) for one in container["env"]}
    return {
        name: value.replace("$(POD_NAME)", pod_name) for name, value in values.items() if name.startswith("BORDERPOST_")
    }


def written_config(folder: Path, data: Mapping[str, str]) -> Path:
    for name, content in data.items():
        (folder / name).write_text(content)
    return folder / "borderpost.yaml"


FORMS = list(pods())


# Values, schema, README


def test_the_defaults_and_every_case_fit_the_schema() -> None:
    jsonschema.Draft7Validator.check_schema(schema())
    validator = jsonschema.Draft7Validator(schema())
    validator.validate(read(CHART / "values.yaml"))
    for case in cases(ROOT):
        validator.validate(read(CASES / case / "values.yaml"))


@pytest.mark.parametrize(
    "values",
    [
        {"evidence": {"storage": "hostPath"}},
        {"evidence": {"diesWithPod": True}},
        {"evidence": {"size": "20"}},
        {"evidnce": {}},
        {"evidence": {"sotrage": "claim"}},
        {"config": {"here": {"country": "DE"}}},
        {"image": {"digest": "latest"}},
        {"files": {"borderpost.yaml": "x"}},
        {"files": {"../x": "y"}},
        {"keys": [{"name": "redis"}]},
        {"borderpost": {"user": 0}},
        {"gateway": {"group": 0}},
        {"gateway": {"labels": {}}},
        {"autoscaling": {"minReplicas": 0}},
        {"nameOverride": "Upper"},
        {"networkPolicy": {"regions": []}},
    ],
    ids=str,
)
def test_the_schema_refuses(values: dict[str, Any]) -> None:
    assert not jsonschema.Draft7Validator(schema()).is_valid(values)


def test_the_chart_s_versions_are_the_product_s() -> None:
    chart = read(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_a_value_without_a_comment_is_refused() -> None:
    with pytest.raises(chart_docs.UndocumentedValue, match=r"values.yaml:4: `b.d` has no comment"):
        chart_docs.read_values("b:\n  # c\n  c: 1\n  d: 2\n")
    with pytest.raises(chart_docs.UndocumentedValue, match=r"values.yaml:3: `schema:`"):
        chart_docs.read_values("# a\n# schema: 7\na: 1\n")


def test_the_readme_and_the_schema_know_every_value() -> None:
    values = chart_docs.read_values(text(CHART / "values.yaml"))
    assert len(values) > 50
    readme = text(CHART / "README.md")
    for value in values:
        assert f"**`{'.'.join(value.path)}`**" in readme
        node: Any = schema()
        for name in value.path:
            node = node["properties"][name]
        assert node["description"] == value.description


def test_resource_defaults_are_the_measured_figures() -> None:
    figures = text("docs/internals/figures.md")
    row = next(line for line in figures.splitlines() if line.startswith("| Borderpost by ext_proc "))
    cells = [re.sub(r" ?\(.*", "", cell).strip().replace(",", "") for cell in row.split("|")]
    rate, server_us, envoy_us, log_bytes = float(cells[2]), float(cells[7]), float(cells[8]), float(cells[9])
    soak = re.search(r"a worker's memory after 10 million requests \| soak \| ≤ 150 \| ([\d.]+)", figures)
    assert soak is not None
    said = text(CHART / "values.yaml")
    assert f"({server_us:.0f} µs of {envoy_us:.0f} µs a" in said
    assert f"({float(soak[1]):.0f} MiB after ten million" in said
    assert f"about {round(rate, -3):,.0f} requests a second ({envoy_us:.0f} µs each)" in said
    assert f"about {log_bytes / 1000:.1f} kB of log" in said
    cores = sidecar(pods()["plain"])["resources"]["requests"]["cpu"]
    assert cores == "150m"
    # The plain form takes less than half as much again (microseconds.md), and Envoy is then a whole core.
    assert 1.1 * server_us / envoy_us < 0.15 < 1.5 * server_us / envoy_us


# Manifests


@pytest.mark.parametrize("version", VERSIONS)
def test_the_manifests_are_what_kubernetes_knows(version: str) -> None:
    for case in cases(ROOT):
        for document in rendered(case):
            if "istio.io" not in document["apiVersion"]:
                kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("form", FORMS)
def test_pods_are_restricted(form: str) -> None:
    pod = pods()[form]
    if form in {"gateway api", "istio's chart"}:  # whose own container has what it needs; a full test looks at it
        pod = {**pod, "containers": []}
    assert violations(pod) == []


BREAKS: dict[str, Edit] = {
    "Privilege Escalation": lambda pod: sidecar(pod)["securityContext"].pop("allowPrivilegeEscalation"),
    "Capabilities": lambda pod: sidecar(pod)["securityContext"]["capabilities"].update(add=["NET_ADMIN"]),
    "Running as Non-root user": lambda pod: sidecar(pod)["securityContext"].update(runAsUser=0),
    "Running as Non-root": lambda pod: sidecar(pod)["securityContext"].update(runAsNonRoot=False),
    "Privileged Containers": lambda pod: sidecar(pod)["securityContext"].update(privileged=True),
    "/proc Mount Type": lambda pod: sidecar(pod)["securityContext"].update(procMount="Unmasked"),
    "Seccomp": lambda pod: sidecar(pod)["securityContext"]["seccompProfile"].update(type="Unconfined"),
    "AppArmor": lambda pod: sidecar(pod)["securityContext"].update(appArmorProfile={"type": "Unconfined"}),
    "SELinux": lambda pod: sidecar(pod)["securityContext"].update(seLinuxOptions={"type": "spc_t"}),
    "HostProcess": lambda pod: pod["securityContext"].update(windowsOptions={"hostProcess": True}),
    "Host Namespaces": lambda pod: pod.update(hostPID=True),
    "Volume Types": lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
    "Sysctls": lambda pod: pod["securityContext"]["sysctls"].append({"name": "kernel.core_pattern", "value": "x"}),
    "Host Ports": lambda pod: sidecar(pod)["ports"][0].update(hostPort=80),
    "Host Probes": lambda pod: sidecar(pod)["livenessProbe"]["httpGet"].update(host="169.254.169.254"),
}


@pytest.mark.parametrize("row", BREAKS)
def test_the_check_of_pod_security_sees(row: str) -> None:
    pod = copy.deepcopy(pods()["plain"])
    BREAKS[row](pod)
    assert {found.split(":")[0] for found in violations(pod)} == {row}


@pytest.mark.parametrize("form", FORMS)
def test_the_sidecar_is_there_before_envoy_and_after_it(form: str) -> None:
    pod = pods()[form]
    container = sidecar(pod)
    assert container["restartPolicy"] == "Always"
    assert {"startupProbe", "livenessProbe", "readinessProbe"} <= set(container)
    assert pod["terminationGracePeriodSeconds"] > 60


@pytest.mark.parametrize("form", FORMS)
def test_envoy_sees_the_socket_and_nothing_else_and_cannot_replace_it(form: str) -> None:
    pod = pods()[form]
    (proxy,) = pod["containers"]
    assert proxy["volumeMounts"] == [{"name": "borderpost-socket", "mountPath": "/run/borderpost", "readOnly": True}]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for name in ("borderpost-socket", "borderpost-state"):
        assert volumes[name]["emptyDir"]["medium"] == "Memory"
    context = sidecar(pod)["securityContext"]
    assert context["runAsGroup"] == 1337 == pod["securityContext"]["fsGroup"]
    assert context["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("form", [form for form in FORMS if form not in {"gateway api", "istio's chart"}])
def test_no_token_and_no_service_variables_reach_a_container(form: str) -> None:
    pod = pods()[form]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False


def test_evidence_has_a_claim_for_each_pod_unless_somebody_accepted_its_loss() -> None:
    for case in cases(ROOT):
        spec = one_of(rendered(case), "StatefulSet")["spec"]
        held = [volume for volume in spec["template"]["spec"]["volumes"] if volume["name"] == "evidence"]
        claims = [claim["metadata"]["name"] for claim in spec.get("volumeClaimTemplates", [])]
        if case == "ephemeral":
            assert "emptyDir" in held[0]
        else:
            assert (claims, held) == (["evidence"], [])
            assert spec["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Retain"
    for form in ("gateway api", "istio's chart"):
        (held,) = [volume for volume in pods()[form]["volumes"] if volume["name"] == "evidence"]
        assert held["ephemeral"]["volumeClaimTemplate"]["spec"]["storageClassName"] == "borderpost-evidence"
    kept = one_of(documents(text("istio/examples/gateway-api/gateway.yaml")), "StorageClass")
    assert (kept["metadata"]["name"], kept["reclaimPolicy"]) == ("borderpost-evidence", "Retain")


def test_istio_s_agent_is_kept_from_the_probes() -> None:
    """Istio rewrites probes of init containers too, to go through an agent that starts only after them: a deadlock."""
    for case in cases(ROOT):
        template = one_of(rendered(case), "StatefulSet")["spec"]["template"]
        assert template["metadata"]["annotations"]["sidecar.istio.io/rewriteAppHTTPProbers"] == "false"
    values = read("istio/chart/values-for-istio-gateway-chart.yaml")
    assert values["podAnnotations"]["sidecar.istio.io/rewriteAppHTTPProbers"] == "false"


# The pod and the product's configuration


@pytest.mark.parametrize("case", cases(ROOT))
def test_the_configuration_in_the_pod_passes_the_product_s_own_check(case: str, tmp_path: Path) -> None:
    found = rendered(case)
    pod = one_of(found, "StatefulSet")["spec"]["template"]
    container = sidecar(pod["spec"])
    data = one_of(found, "ConfigMap")["data"]
    assert data["borderpost.yaml"] == text(CASES / case / "borderpost.yaml")
    config = load_config(written_config(tmp_path, data), {}, environment(container, "gw-0")).config
    assert config.audit.log == "gateway.example.com/borderpost/gw-0"
    fits(config, container)
    if config.istio is not None:
        assert config.istio.workload.items() <= pod["metadata"]["labels"].items()
        assert config.istio.namespace == one_of(found, "StatefulSet")["metadata"]["namespace"]
    loopback = config.admin.host == "127.0.0.1"
    assert {"exec" if loopback else "httpGet"} <= set(container["startupProbe"])
    assert container["ports"] == [{"name": "admin", "containerPort": config.admin.port, "protocol": "TCP"}]
    assert pod["spec"]["terminationGracePeriodSeconds"] >= 60 + config.server.drain_s
    memory = int(container["resources"]["requests"]["memory"].removesuffix("Mi"))
    assert memory >= 64 + 96 * config.server.workers


def fits(config: Config, container: Mapping[str, Any]) -> None:
    """Assert that what the product writes lies on volumes that it may write to, each on its own."""
    writable = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    homes = {
        "borderpost-socket": config.server.directory,
        "borderpost-state": config.runtime.directory,
        "evidence": config.audit.directory,
    }
    for volume, directory in {**homes, "counters": config.counters.directory}.items():
        (mount,) = [path for path in writable if directory.is_relative_to(path)]
        assert writable[mount] == ("evidence" if volume == "counters" else volume)
        assert str(directory) != mount, "the mount point itself is everybody's"
    assert config.server.listen == "unix"


@pytest.mark.parametrize("folder", ["istio/kustomize/base", "istio/kustomize/example"])
def test_kustomize_s_configuration_passes_the_product_s_own_check(folder: str) -> None:
    config = load_config(ROOT / folder / "borderpost.yaml", {}, {}).config
    (container,) = (box for kind, box in containers(pods()["plain manifests"]) if kind == "initContainers")
    fits(config, container)
    said = text(f"{folder}/{'gateway' if folder.endswith('base') else 'kustomization'}.yaml")
    assert f"{config.audit.log}/$(POD_NAME)" in said
    assert config.istio is not None
    assert config.istio.namespace in said


@pytest.mark.parametrize("path", ["argo-cd/application.yaml", "flux/borderpost.yaml"])
def test_examples_of_pipelines_give_the_chart_what_it_takes(path: str, tmp_path: Path) -> None:
    values = example_values(path)
    jsonschema.Draft7Validator(schema()).validate(values)
    config = load_config(written_config(tmp_path, {"borderpost.yaml": values["config"]}), {}, {}).config
    fits(config, sidecar(pods()["plain"]))


def example_values(path: str) -> dict[str, Any]:
    """Return the chart's values in an example of Argo CD or Flux."""
    for document in documents(text(f"istio/examples/{path}")):
        if document["kind"] == "HelmRelease":
            return dict(document["spec"]["values"])
        if document["kind"] == "Application":
            return dict(document["spec"]["sources"][0]["helm"]["valuesObject"])
    raise AssertionError(path)


def test_forms_are_cut_from_the_rendered_chart_whole() -> None:
    assert generate_kubernetes.block("a:\n  b:\n    c: 1\n\n    d: 2\n  e: 3\n", "a", "b") == "c: 1\n\nd: 2\n"
    assert generate_kubernetes.block("l:\n- x\n- y\nm: 1\n", "l") == "- x\n- y\n"
    with pytest.raises(KeyError):
        generate_kubernetes.block("a: 1\n", "a")
    plain = rendered("plain")
    made = documents(text("istio/manifests/borderpost.yaml"))
    assert sorted((one["kind"], one["metadata"]["name"]) for one in made) == sorted(
        (one["kind"], one["metadata"]["name"]) for one in plain
    )
    assert sidecar(pods()["plain"]) == sidecar(pods()["gateway api"]) == sidecar(pods()["istio's chart"])
