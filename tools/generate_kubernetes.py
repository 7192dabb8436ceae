"""Make plain manifests, the Kustomize base and the overlays from what the chart renders for the plain case.

The text is cut and moved, not parsed and written anew, so that the chart's comments stand in every form of it. What is
said here is only what a form adds: how it is used, and where evidence lies where Istio makes the pods.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from render_chart import CASES, MANIFESTS

PLAIN = CASES / "plain"
_HELMS_OWN = re.compile(r"(?m)^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n")
_ORDER = ("ConfigMap", "ServiceAccount", "Role", "RoleBinding", "Service", "NetworkPolicy", "StatefulSet")

_EVIDENCE = """\
# Istio makes a Deployment here, whose pods keep neither name nor claim. This claim goes with its pod; the record
# stays, because the volume's class says `reclaimPolicy: Retain`. Each pod's log has the pod's name.
- name: evidence
  ephemeral:
    volumeClaimTemplate:
      spec:
        accessModes: [ReadWriteOnce]
        storageClassName: borderpost-evidence
        resources: {requests: {storage: 20Gi}}
"""

_MANIFESTS = """\
# Made by `make generate` from the Helm chart. Namespace istio-ingress; change here what you would say in values:
# the image, the configuration, and the log's name (`audit.log` and, with the pod's name, BORDERPOST_AUDIT__LOG).
"""
_BASE = """\
# Made by `make generate` from the Helm chart. The configuration is borderpost.yaml beside it.
"""
_KUSTOMIZATION = """\
# Made by `make generate`. An overlay replaces the image, the configuration and the log's name: see ../example.
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [gateway.yaml]
configMapGenerator:
  - {name: borderpost-config, namespace: istio-ingress, files: [borderpost.yaml]}
# The name stays, because the sidecar takes a changed configuration while it runs.
generatorOptions: {disableNameSuffixHash: true}
"""
_ISTIO_CHART = """\
# Made by `make generate`. Values for Istio's own chart `gateway`, for those who keep it: Borderpost beside its Envoy.
#
#     kubectl --namespace istio-ingress create configmap borderpost-config --from-file=borderpost.yaml
#     helm upgrade ai-gateway istio/gateway --namespace istio-ingress --values values-for-istio-gateway-chart.yaml
#
# Change the image, and the log's name in BORDERPOST_AUDIT__LOG to `audit.log` of your configuration. That chart has no
# `enableServiceLinks`: no Service in the namespace may be called `borderpost`, or its variables are taken for ours.
"""
_PARAMETERS = """\
# Made by `make generate`. What a Gateway of the class `istio` takes by `infrastructure.parametersRef` (gateway.yaml):
# laid over the Deployment that Istio makes for it. Change the image and the log's name as in plain manifests.
apiVersion: v1
kind: ConfigMap
metadata: {name: borderpost-gateway, namespace: istio-ingress}
data:
"""


def generate(root: Path) -> dict[Path, bytes]:
    """Return {path relative to the repository: content}."""
    rendered = (root / PLAIN / MANIFESTS).read_text(encoding="utf-8")
    config = (root / PLAIN / "borderpost.yaml").read_bytes()
    documents = documents_of(_HELMS_OWN.sub("", rendered))
    pods = next(text for text in documents if kind_of(text) == "StatefulSet")
    without_config = [text for text in documents if kind_of(text) != "ConfigMap"]
    return {
        Path("istio/manifests/borderpost.yaml"): _joined(_MANIFESTS, documents),
        Path("istio/kustomize/base/gateway.yaml"): _joined(_BASE, without_config),
        Path("istio/kustomize/base/kustomization.yaml"): _KUSTOMIZATION.encode(),
        Path("istio/kustomize/base/borderpost.yaml"): config,
        Path("istio/chart/values-for-istio-gateway-chart.yaml"): (_ISTIO_CHART + _gateway_values(pods)).encode(),
        Path("istio/examples/gateway-api/parameters.yaml"): (_PARAMETERS + _parameters(pods)).encode(),
    }


def documents_of(rendered: str) -> list[str]:
    """Return helm's documents without its notes of where they are from; what others need comes first."""
    parts = re.split(r"(?m)^---\n(?:# Source: .*\n)?", rendered)
    texts = [part.strip("\n") + "\n" for part in parts if part.strip()]
    return sorted(texts, key=lambda text: _ORDER.index(kind_of(text)) if kind_of(text) in _ORDER else len(_ORDER))


def kind_of(document: str) -> str:
    """Return a document's kind."""
    found = re.search(r"(?m)^kind: (\w+)$", document)
    if found is None:
        raise ValueError("a document without a kind")
    return found[1]


def block(text: str, *path: str) -> str:
    """Return what stands below a key, without the indentation. Raises KeyError where no block begins so."""
    lines = text.splitlines()
    for key in path:
        head = next((n for n, line in enumerate(lines) if line == f"{key}:"), None)
        if head is None:
            raise KeyError(key)
        below = lines[head + 1 :]
        end = next((n for n, line in enumerate(below) if line and not line.startswith((" ", "- "))), len(below))
        lines = textwrap.dedent("\n".join(below[:end])).splitlines()
    return "\n".join(lines) + "\n"


def _gateway_values(pods: str) -> str:
    pod = block(pods, "spec", "template", "spec")
    annotations = _without_restart(block(pods, "spec", "template", "metadata", "annotations"))
    return "".join(
        (
            _key("podAnnotations", annotations + 'sidecar.istio.io/inject: "true"\n'),
            _key("securityContext", block(pod, "securityContext")),
            _line(pod, "terminationGracePeriodSeconds"),
            _key("initContainers", block(pod, "initContainers")),
            _key("volumeMounts", block(_proxy(pod), "volumeMounts")),
            _key("volumes", block(pod, "volumes") + _EVIDENCE),
            "service: {externalTrafficPolicy: Local}\n",
            "autoscaling: {minReplicas: 2}\n",
            "podDisruptionBudget: {maxUnavailable: 1}\n",
        )
    )


def _parameters(pods: str) -> str:
    pod = block(pods, "spec", "template", "spec")
    mounts = _key("volumeMounts", block(_proxy(pod), "volumeMounts"))
    annotations = block(pods, "spec", "template", "metadata", "annotations")
    # Istio injects nothing here, so probes stay as they are; only what Envoy itself reads is of use.
    proxy = re.findall(r"(?m)^proxy\.istio\.io/config: \|\n(?:  .*\n)+", annotations)
    spec = "".join(
        (
            _line(pod, "automountServiceAccountToken"),
            _line(pod, "enableServiceLinks"),
            _line(pod, "terminationGracePeriodSeconds"),
            _key("securityContext", block(pod, "securityContext")),
            _key("initContainers", block(pod, "initContainers")),
            _key("containers", "- name: istio-proxy\n" + textwrap.indent(mounts, "  ")),
            _key("volumes", block(pod, "volumes") + _EVIDENCE),
        )
    )
    metadata = _key("metadata", _key("annotations", "".join(proxy)))
    deployment = _key("spec", _key("template", metadata + _key("spec", spec)))
    return "".join(
        (
            textwrap.indent("deployment: |\n" + textwrap.indent(deployment, "  "), "  "),
            "  service: |\n    spec: {externalTrafficPolicy: Local}\n",
            "  serviceAccount: |\n    automountServiceAccountToken: false\n",
            "  horizontalPodAutoscaler: |\n    spec: {minReplicas: 2, maxReplicas: 10}\n",
            "  podDisruptionBudget: |\n    spec: {maxUnavailable: 1}\n",
        )
    )


def _proxy(pod: str) -> str:
    """Return the mapping of Envoy's container, the only item of its list."""
    items = re.sub(r"(?m)^#.*\n", "", block(pod, "containers"))
    return textwrap.dedent(items.replace("- ", "  ", 1))


def _without_restart(annotations: str) -> str:
    return re.sub(r"(?m)^# Changes where only .*\nborderpost/restart: .*\n", "", annotations)


def _line(text: str, key: str) -> str:
    """Return a key of one line, with the comments above it. Raises KeyError."""
    found = re.search(rf"(?m)(^#.*\n)*^{key}: .*\n", text)
    if found is None:
        raise KeyError(key)
    return found[0]


def _key(name: str, below: str) -> str:
    return f"{name}:\n" + textwrap.indent(below, "  ")


def _joined(header: str, documents: list[str]) -> bytes:
    return (header + "---\n".join(documents)).encode()
