"""The Pod Security Standard "restricted", which includes "baseline", as a list of checks on one pod's specification.

Source: Kubernetes' documentation, Pod Security Standards, as of 1.34; each check has the heading of its row there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Spec = Mapping[str, Any]

SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
}  # fmt: skip
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def violations(pod: Spec) -> list[str]:
    """Return what the standard forbids of this pod, in words; empty if it is restricted."""
    return [*_of_pod(pod), *(found for _, container in containers(pod) for found in _of_container(container, pod))]


def containers(pod: Spec) -> Iterator[tuple[str, Spec]]:
    """Yield every container with the list that it stands in."""
    for kind in _CONTAINERS:
        for container in pod.get(kind) or []:
            yield kind, container


def _of_pod(pod: Spec) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield f"Host Namespaces: {key}"
    context = pod.get("securityContext") or {}
    for sysctl in context.get("sysctls") or []:
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"Sysctls: {sysctl['name']}"
    for volume in pod.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if kinds - VOLUMES:  # none is an emptyDir, by the API's default
            yield f"Volume Types: {volume['name']}"
    yield from _of_context(context, "the pod")


def _of_context(context: Spec, who: str) -> Iterator[str]:
    """Check what pod and container may both say."""
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"HostProcess: {who}"
    if (context.get("seLinuxOptions") or {}).get("type", "") not in SELINUX_TYPES or {"user", "role"} & set(
        context.get("seLinuxOptions") or {}
    ):
        yield f"SELinux: {who}"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield f"AppArmor: {who}"
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"Seccomp: {who}"
    if context.get("runAsUser") == 0:
        yield f"Running as Non-root user: {who}"
    if context.get("runAsNonRoot") is False:
        yield f"Running as Non-root: {who}"


def _of_container(container: Spec, pod: Spec) -> Iterator[str]:
    name = container["name"]
    context = container.get("securityContext") or {}
    above = pod.get("securityContext") or {}
    yield from _of_context(context, name)
    if context.get("privileged"):
        yield f"Privileged Containers: {name}"
    if context.get("procMount", "Default") != "Default":
        yield f"/proc Mount Type: {name}"
    if context.get("allowPrivilegeEscalation") is not False:
        yield f"Privilege Escalation: {name}"
    capabilities = context.get("capabilities") or {}
    if "ALL" not in (capabilities.get("drop") or []) or set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}:
        yield f"Capabilities: {name}"
    if not context.get("runAsNonRoot", above.get("runAsNonRoot")):
        yield f"Running as Non-root: {name}"
    if not (context.get("seccompProfile") or above.get("seccompProfile") or {}).get("type"):
        yield f"Seccomp: {name}"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield f"Host Ports: {name}"
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        if any((container.get(probe) or {}).get(kind, {}).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"Host Probes: {name}"
