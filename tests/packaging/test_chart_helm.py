"""The chart through helm itself, its overlays through Istio's own chart and kustomize, and all of it by kubeconform."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from render_chart import CASES, CHART, MANIFESTS, arguments_of, cases, render

from support.go_tools import go_tool
from support.istio_charts import istio_charts
from support.kube_schemas import documents, unfit
from support.pod_security import violations

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 600

pytestmark = [pytest.mark.full, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def helm() -> list[str]:
    return [str(go_tool("helm"))]


@pytest.mark.parametrize("case", cases(ROOT))
def test_the_chart_lints_and_renders_what_is_recorded(helm: list[str], case: str, tmp_path: Path) -> None:
    words = [*helm, "lint", "--strict", *arguments_of(ROOT, case)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[ERROR]" not in done.stdout
    assert "[WARNING]" not in done.stdout
    text = render(helm, ROOT, case)
    assert text == (ROOT / CASES / case / MANIFESTS).read_text(), "python tools/render_chart.py writes it anew"
    for kubernetes in ("1.29", "1.37"):
        assert unfit(text, tmp_path, kubernetes) == []


REFUSALS = {
    "evidence.storage is emptyDir: the record of every decision would die with its pod": [
        "--set", "evidence.storage=emptyDir",
    ],
    "at '/evidence/storage'": ["--set", "evidence.storage=hostPath"],
    "image.repository is not set": ["--set", "image.repository="],
    "gateway.labels: the configuration's istio.workload says": ["--set", "gateway.labels.istio=x"],
    "gateway.trustedProxies: the configuration's istio.trusted_proxies": ["--set", "gateway.trustedProxies=0"],
    "disruptionBudget.enabled: `borderpost render istio` makes": ["--set", "disruptionBudget.enabled=true"],
    "networkPolicy.egress: the configuration's istio.egress says": [
        "--set-json", 'networkPolicy.egress=[{"ports": [{"port": 6379}]}]',
    ],
    "istio.namespace is istio-ingress, and the release goes to elsewhere": ["--namespace", "elsewhere"],
}  # fmt: skip
"""What is said, and what is asked of the plain case to hear it."""

CONFIG_REFUSALS = {
    "config: runtime.directory is /run/borderpost/state": ("/run/borderpost-state/run", "/run/borderpost/state"),
    "config: audit.directory is run/audit": ("/var/lib/borderpost/audit", "run/audit"),
    "config: counters.directory is /tmp/c": ("/var/lib/borderpost/counters", "/tmp/c"),
    "config: audit.log is not set": ("  log: gateway.example.com/borderpost ", "  # "),
    "config: audit.log is too long": ("gateway.example.com/borderpost ", "g" * 115 + " "),
    "config: istio.workload is not set": ("workload: {istio: ai-gateway}", "workload: {}"),
    "config: istio.service_account is other": ("  gateways: [inference]", "  service_account: other"),
}
"""What is said, and what of the plain configuration is written otherwise."""


CONFIGS = {
    "config is not set": "",
    "config is no YAML mapping": "[]",
    "config: server.listen is tcp": "server: {listen: tcp}",
    "config: server.directory is not set": "here: {country: DE}",
    "config: server.directory is /tmp/x": "server: {directory: /tmp/x}",
    "config: server.directory is /run/borderpost: in the pod it lies below": "server: {directory: /run/borderpost}",
    "config: server.directory is /run/borderpost/../x": "server: {directory: /run/borderpost/../x}",
}
"""What is said, and the whole configuration."""


@pytest.mark.parametrize("said", REFUSALS)
def test_the_chart_refuses(helm: list[str], said: str) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(helm, ROOT, "plain", *REFUSALS[said])
    assert said in caught.value.stderr


@pytest.mark.parametrize("said", CONFIGS)
def test_the_chart_refuses_what_is_no_configuration_for_a_pod(helm: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "borderpost.yaml").write_text(CONFIGS[said])
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(helm, ROOT, "plain", "--set-file", f"config={tmp_path / 'borderpost.yaml'}")
    assert said in caught.value.stderr


@pytest.mark.parametrize("said", CONFIG_REFUSALS)
def test_the_chart_refuses_a_configuration_that_would_not_fit_the_pod(
    helm: list[str], said: str, tmp_path: Path
) -> None:
    before, after = CONFIG_REFUSALS[said]
    text = (ROOT / CASES / "plain/borderpost.yaml").read_text()
    assert before in text
    (tmp_path / "borderpost.yaml").write_text(text.replace(before, after))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        render(helm, ROOT, "plain", "--set-file", f"config={tmp_path / 'borderpost.yaml'}")
    assert said in caught.value.stderr


def test_a_restart_is_asked_for_where_only_a_new_process_takes_the_change(helm: list[str], tmp_path: Path) -> None:
    text = (ROOT / CASES / "plain/borderpost.yaml").read_text()

    def restart(changed: str) -> str:
        (tmp_path / "borderpost.yaml").write_text(changed)
        found = documents(render(helm, ROOT, "plain", "--set-file", f"config={tmp_path / 'borderpost.yaml'}"))
        (pods,) = [one for one in found if one["kind"] == "StatefulSet"]
        return str(pods["spec"]["template"]["metadata"]["annotations"]["borderpost/restart"])

    before = restart(text)
    assert restart(text.replace("us-east-1: {country: US}", "us-east-1: {country: CA}")) == before
    assert restart(text.replace("peer_users", "workers: 2\n  peer_users")) != before
    assert restart(text.replace("host: 0.0.0.0", "host: 0.0.0.0, port: 9500")) != before


@pytest.mark.parametrize("path", ["argo-cd/application.yaml", "flux/borderpost.yaml"])
def test_examples_of_pipelines_render(helm: list[str], path: str, tmp_path: Path) -> None:
    for document in documents((ROOT / "istio/examples" / path).read_text()):
        spec = document["spec"]
        values = spec.get("values") or next((s["helm"]["valuesObject"] for s in spec.get("sources", [])[:1]), None)
        if values is not None:
            break
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(values))
    words = [*helm, "template", "borderpost", str(ROOT / CHART), "--namespace", "istio-ingress"]
    words += ["--kube-version", "1.31.0", "--values", str(tmp_path / "values.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert unfit(done.stdout, tmp_path) == []


def test_istio_s_own_chart_takes_the_sidecar(helm: list[str], tmp_path: Path) -> None:
    chart = istio_charts(tmp_path) / "gateway"
    values = ROOT / "istio/chart/values-for-istio-gateway-chart.yaml"
    words = [*helm, "template", "ai-gateway", str(chart), "--namespace", "istio-ingress"]
    words += ["--kube-version", "1.31.0", "--values", str(values)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert unfit(done.stdout, tmp_path) == []
    (pods,) = [one for one in documents(done.stdout) if one["kind"] == "Deployment"]
    pod: dict[str, Any] = pods["spec"]["template"]["spec"]
    assert violations(pod) == []
    assert [box["name"] for box in pod["initContainers"]] == ["borderpost"]
    assert {"name": "borderpost-socket", "mountPath": "/run/borderpost", "readOnly": True} in pod["containers"][0][
        "volumeMounts"
    ]


@pytest.mark.parametrize("folder", ["base", "example"])
def test_kustomize_builds_what_the_chart_would(folder: str, tmp_path: Path) -> None:
    words = [str(go_tool("kustomize")), "build", str(ROOT / "istio/kustomize" / folder)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    assert unfit(done.stdout, tmp_path) == []
    found = {(one["kind"], one["metadata"]["name"]): one for one in documents(done.stdout)}
    plain = {
        (one["kind"], one["metadata"]["name"]): one
        for one in documents((ROOT / "istio/manifests/borderpost.yaml").read_text())
    }
    assert found.keys() == plain.keys()
    pods = found["StatefulSet", "borderpost"]
    assert violations(pods["spec"]["template"]["spec"]) == []
    assert found["ConfigMap", "borderpost-config"]["data"] == {
        "borderpost.yaml": (ROOT / "istio/kustomize" / folder / "borderpost.yaml").read_text()
    }
    if folder == "base":
        assert {key: one.get("spec") for key, one in found.items()} == {
            key: one.get("spec") for key, one in plain.items()
        }
    else:
        assert {one["metadata"]["namespace"] for one in found.values()} == {"ai-gateway"}
        assert found["RoleBinding", "borderpost"]["subjects"][0]["namespace"] == "ai-gateway"


def test_what_is_rendered_for_istio_and_what_the_chart_makes_fit_each_other(helm: list[str], tmp_path: Path) -> None:
    config = ROOT / CASES / "plain/borderpost.yaml"
    words = [sys.executable, "-m", "borderpost.cli", "render", "istio", "--config", str(config)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stderr
    (tmp_path / "istio.yaml").write_text(done.stdout)
    text = render(helm, ROOT, "plain", "--set-file", f"rendered={tmp_path / 'istio.yaml'}")
    assert unfit(text, tmp_path) == []
    found = documents(text)
    names = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(names) == len(set(names))
    assert {one["metadata"]["namespace"] for one in found} == {"istio-ingress"}
    assert len([kind for kind, _ in names if kind == "PodDisruptionBudget"]) == 1
    (pods,) = [one["spec"]["template"] for one in found if one["kind"] == "StatefulSet"]
    for one in found:
        selector = one["spec"].get("workloadSelector", {}).get("labels") if "spec" in one else None
        if one["kind"] == "EnvoyFilter":
            assert selector is not None
            assert selector.items() <= pods["metadata"]["labels"].items()
    patched = [one for one in found if one["kind"] == "EnvoyFilter"]
    assert any("/run/borderpost/server/worker-0.sock" in str(one) for one in patched)
    policies = [one["spec"]["policyTypes"] for one in found if one["kind"] == "NetworkPolicy"]
    assert sorted(policies) == [["Egress"], ["Ingress"]]


TEXTS = {
    "plain": "a: 1\n",
    "no newline at the end": "a: 1",
    "newlines at the end": "a: 1\n\n\n",
    "spaces first": "   a\n b\n",
    "spaces last": "a:   \n\n  b  \n",
    "a template": "{{ .Values.image }} {{- fail \"x\" }}\n",
    "documents": "---\na: 1\n---\nb: NO\n...\n",
    "tabs and returns": "a:\tb\r\nc\r\n",
    "words": "Ä „x“ \u2028 y\n",
    "a comment first": "# NO\n\n# c\na: 'it''s'\n",
    "a line of a list": '{"n":1}\n{"n":2}\n',
}  # fmt: skip


def test_files_reach_the_config_map_byte_by_byte(helm: list[str], tmp_path: Path) -> None:
    words = []
    for number, text in enumerate(TEXTS.values()):
        path = tmp_path / f"text-{number}"
        path.write_bytes(text.encode())
        words += ["--set-file", f"files.f{number}={path}"]
    config = tmp_path / "borderpost.yaml"
    config.write_bytes((ROOT / CASES / "plain/borderpost.yaml").read_bytes().replace(b"\n", b"\r\n") + b"\n# \xc3\xa4")
    found = documents(render(helm, ROOT, "plain", *words, "--set-file", f"config={config}"))
    (data,) = [one["data"] for one in found if one["kind"] == "ConfigMap"]
    assert {name: data[f"f{number}"] for number, name in enumerate(TEXTS)} == TEXTS
    assert data["borderpost.yaml"].encode() == config.read_bytes()


def test_the_gateway_api_overlay_merges_into_a_deployment_of_istio_s(helm: list[str], tmp_path: Path) -> None:
    """Istio lays the overlay over its Deployment as Kubernetes merges patches, and so does kustomize."""
    chart = istio_charts(tmp_path) / "gateway"
    words = [*helm, "template", "ai-gateway", str(chart), "--namespace", "istio-ingress", "--kube-version", "1.31.0"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)
    (theirs,) = [one for one in documents(done.stdout) if one["kind"] == "Deployment"]
    pod = theirs["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "istio-envoy", "emptyDir": {"medium": "Memory"}}]
    pod["containers"][0]["volumeMounts"] = [{"name": "istio-envoy", "mountPath": "/etc/istio/proxy"}]
    overlay = yaml.safe_load((ROOT / "istio/examples/gateway-api/parameters.yaml").read_text())["data"]["deployment"]
    (tmp_path / "theirs.yaml").write_text(yaml.safe_dump(theirs))
    head = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ai-gateway"}}
    target = {"kind": "Deployment", "name": "ai-gateway"}
    patch = yaml.safe_dump({**head, **yaml.safe_load(overlay)})
    (tmp_path / "kustomization.yaml").write_text(
        yaml.safe_dump({"resources": ["theirs.yaml"], "patches": [{"target": target, "patch": patch}]})
    )
    built = subprocess.run(
        [str(go_tool("kustomize")), "build", str(tmp_path)], capture_output=True, text=True, timeout=_TIMEOUT_S
    )
    assert built.returncode == 0, built.stderr
    assert unfit(built.stdout, tmp_path) == []
    (merged,) = documents(built.stdout)
    found = merged["spec"]["template"]["spec"]
    assert violations(found) == []
    (proxy,) = found["containers"]
    assert proxy["image"] == "auto"
    assert {mount["mountPath"] for mount in proxy["volumeMounts"]} == {"/etc/istio/proxy", "/run/borderpost"}
    assert {"istio-envoy", "borderpost-socket", "evidence"} <= {volume["name"] for volume in found["volumes"]}
    assert [box["name"] for box in found["initContainers"]] == ["borderpost"]
    assert merged["spec"]["selector"] == theirs["spec"]["selector"]
