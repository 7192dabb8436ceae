"""The EnvoyProxy: Borderpost as a native sidecar in the pods that Envoy Gateway makes.

Envoy Gateway runs Envoy as user and group 65532, so the sidecar has that group, and with it its socket. It starts
before Envoy and stops after it: at no time is there an Envoy without somebody to ask.
"""

from __future__ import annotations

from typing import Any

from borderpost_envoy.connections import logged_fields
from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan, Sidecar
from borderpost_istio.kinds import Metadata
from borderpost_istio.kinds.envoy_gateway import (
    AccessLog,
    AccessLogSetting,
    DeploymentContainer,
    DeploymentPod,
    EnvoyDeployment,
    EnvoyProxy,
    EnvoyProxySpec,
    FilePath,
    FileSink,
    JsonFormat,
    KubernetesProvider,
    Provider,
    Telemetry,
)
from borderpost_istio.names import PREFIX

_USER = 65_532
_LOG = "/dev/stdout"
_CONFIG_DIRECTORY = "/etc/borderpost"
_SOCKET, _STATE, _CONFIG, _EVIDENCE = (f"{PREFIX}-{what}" for what in ("socket", "state", "config", "evidence"))


def envoy_proxy(plan: EnvoyGatewayPlan, sidecar: Sidecar) -> EnvoyProxy:
    """Return what the Gateway is to name in `infrastructure.parametersRef`."""
    deployment = EnvoyDeployment(
        pod=DeploymentPod(volumes=tuple(_volumes(sidecar))),
        # Read-only: Envoy connects to the socket, and cannot put another in its place.
        container=DeploymentContainer(volume_mounts=(_mount(_SOCKET, sidecar.socket_directory, read_only=True),)),
        init_containers=(_container(sidecar),),
    )
    provider = Provider(kubernetes=KubernetesProvider(envoy_deployment=deployment))
    setting = AccessLogSetting(
        format=JsonFormat(json_=logged_fields(plan)), sinks=(FileSink(file=FilePath(path=_LOG)),)
    )
    telemetry = Telemetry(access_log=AccessLog(settings=(setting,)))
    return EnvoyProxy(
        metadata=Metadata(name=PREFIX, namespace=plan.namespace),
        spec=EnvoyProxySpec(provider=provider, telemetry=telemetry),
    )


def _volumes(sidecar: Sidecar) -> list[dict[str, Any]]:
    claim = sidecar.evidence_claim
    kept: dict[str, Any] = {"emptyDir": {}} if claim is None else {"persistentVolumeClaim": {"claimName": claim}}
    return [
        {"name": _SOCKET, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": _STATE, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
        {"name": _CONFIG, "configMap": {"name": sidecar.config_map}},
        {"name": _EVIDENCE, **kept},
    ]


def _container(sidecar: Sidecar) -> dict[str, Any]:
    def ready(*words: str) -> dict[str, Any]:
        return {"exec": {"command": ["borderpost", "ready", *words]}, "timeoutSeconds": 5}

    return {
        "name": PREFIX,
        "image": sidecar.image,
        "restartPolicy": "Always",
        "args": ["serve"],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            # Each pod writes a log of its own, so each has a name of its own.
            {"name": "BORDERPOST_AUDIT__LOG", "value": f"{sidecar.log}/$(POD_NAME)"},
        ],
        "securityContext": {
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "startupProbe": {**ready(), "periodSeconds": 2, "failureThreshold": 60},
        "livenessProbe": {**ready("--live"), "periodSeconds": 15, "failureThreshold": 3},
        "volumeMounts": [
            _mount(_CONFIG, _CONFIG_DIRECTORY, read_only=True),
            _mount(_SOCKET, sidecar.socket_directory),
            _mount(_STATE, sidecar.state_directory),
            {**_mount(_EVIDENCE, sidecar.evidence_directory), "subPathExpr": "$(POD_NAME)"},
        ],
    }


def _mount(volume: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}
