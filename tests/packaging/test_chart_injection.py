"""What Istio's own injector makes of the chart's pods: it runs offline, with the settings of istiod's own chart."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from render_chart import CASES, MANIFESTS, cases

from support.go_tools import go_tool
from support.istio_charts import istio_charts
from support.istio_lab import lab_tools
from support.kube_schemas import documents
from support.pod_security import violations

ROOT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 120
_REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"

pytestmark = [pytest.mark.full, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the injector's templates and values, and the mesh's configuration, as istiod's chart makes them."""
    folder = tmp_path_factory.mktemp("injection")
    chart = istio_charts(folder) / "istio-control/istio-discovery"
    words = [str(go_tool("helm")), "template", "istiod", str(chart), "--namespace", "istio-system"]
    done = subprocess.run(
        [*words, "--kube-version", "1.31.0"], capture_output=True, text=True, check=True, timeout=_TIMEOUT_S
    )
    data = {one["metadata"]["name"]: one["data"] for one in documents(done.stdout) if one["kind"] == "ConfigMap"}
    (folder / "templates.yaml").write_text(data["istio-sidecar-injector"]["config"])
    (folder / "values.json").write_text(data["istio-sidecar-injector"]["values"])
    (folder / "mesh.yaml").write_text(data["istio"]["mesh"])
    return folder


def pods_of(case: str) -> dict[str, Any]:
    (found,) = [one for one in documents((ROOT / CASES / case / MANIFESTS).read_text()) if one["kind"] == "StatefulSet"]
    return found


def injected(settings: Path, pods: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the pod template as Istio's webhook would leave it."""
    (folder / "pods.yaml").write_text(yaml.safe_dump(pods))
    words = [
        str(lab_tools().istioctl), "kube-inject", "--revision", "default", "--filename", str(folder / "pods.yaml"),
        "--injectConfigFile", str(settings / "templates.yaml"), "--valuesFile", str(settings / "values.json"),
        "--meshConfigFile", str(settings / "mesh.yaml"),
    ]  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)
    (found,) = documents(done.stdout)
    return dict(found["spec"]["template"])


@pytest.mark.parametrize("case", cases(ROOT))
def test_istio_leaves_the_sidecar_first_and_its_probes_alone(settings: Path, case: str, tmp_path: Path) -> None:
    pods = pods_of(case)
    template = injected(settings, pods, tmp_path)
    pod = template["spec"]
    (sidecar,) = pod["initContainers"]
    (asked,) = pods["spec"]["template"]["spec"]["initContainers"]
    assert sidecar["restartPolicy"] == "Always"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert sidecar[probe] == asked[probe]
    (proxy,) = pod["containers"]
    assert proxy["name"] == "istio-proxy"
    assert proxy["image"] != "auto"
    assert proxy["args"][:2] == ["proxy", "router"]
    assert {"name": "borderpost-socket", "mountPath": "/run/borderpost", "readOnly": True} in proxy["volumeMounts"]
    mounted = {mount["mountPath"] for mount in proxy["volumeMounts"]}
    assert not {path for path in mounted if path.startswith(("/var/lib/borderpost", "/etc/borderpost"))}


@pytest.mark.parametrize("case", cases(ROOT))
def test_the_pod_as_it_is_admitted_is_restricted(settings: Path, case: str, tmp_path: Path) -> None:
    pod = injected(settings, pods_of(case), tmp_path)["spec"]
    assert violations(pod) == []
    assert pod["automountServiceAccountToken"] is False


def test_the_sidecar_s_metrics_are_scraped_inside_the_pod(settings: Path, tmp_path: Path) -> None:
    template = injected(settings, pods_of("full"), tmp_path)
    assert template["metadata"]["annotations"]["prometheus.io/port"] == "15020"
    environment = {one["name"]: one.get("value") for one in template["spec"]["containers"][0]["env"]}
    assert environment["ISTIO_PROMETHEUS_ANNOTATIONS"] == '{"scrape":"true","path":"/metrics","port":"9500"}'
    assert '"terminationDrainDuration":"600s"' in str(environment["PROXY_CONFIG"])
    assert '"numTrustedProxies":1' in str(environment["PROXY_CONFIG"])


def test_without_our_annotation_the_pod_would_wait_for_itself(settings: Path, tmp_path: Path) -> None:
    pods = pods_of("plain")
    del pods["spec"]["template"]["metadata"]["annotations"][_REWRITE]
    (sidecar,) = injected(settings, pods, tmp_path)["spec"]["initContainers"]
    assert sidecar["startupProbe"]["httpGet"]["port"] == 15020, "the agent's port, in a container that starts later"
