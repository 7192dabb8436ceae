"""Kinds of Kubernetes itself: where pods may connect to, and how many of them may go at once.

Only the fields that are used here. Source: Kubernetes API reference, `networking.k8s.io/v1` and `policy/v1`.
"""

from __future__ import annotations

from typing import Literal

from borderpost_istio.kinds.model import KubeModel, KubeObject, LabelSelector


class IpBlock(KubeModel):
    """A range of addresses, and what is left out of it."""

    cidr: str
    except_: tuple[str, ...] | None = None


class Peer(KubeModel):
    """Whom a pod may talk with; pods and namespaces together mean those pods in those namespaces."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IpBlock | None = None


class PolicyPort(KubeModel):
    """A port of the other side."""

    protocol: Literal["TCP", "UDP"]
    port: int


class EgressRule(KubeModel):
    """Peers and ports that may be connected to; a missing `to` means everybody."""

    to: tuple[Peer, ...] | None = None
    ports: tuple[PolicyPort, ...] | None = None


class NetworkPolicySpec(KubeModel):
    """What pods may connect to."""

    pod_selector: LabelSelector
    policy_types: tuple[Literal["Egress", "Ingress"], ...]
    egress: tuple[EgressRule, ...] | None = None


class NetworkPolicy(KubeObject):
    """What pods may connect to, where the cluster's network enforces it."""

    api_version: Literal["networking.k8s.io/v1"] = "networking.k8s.io/v1"
    kind: Literal["NetworkPolicy"] = "NetworkPolicy"
    spec: NetworkPolicySpec


class PodDisruptionBudgetSpec(KubeModel):
    """How many pods may be taken away at once."""

    max_unavailable: int | str | None = None
    min_available: int | str | None = None
    selector: LabelSelector


class PodDisruptionBudget(KubeObject):
    """How many pods may be taken away at once by those who drain nodes."""

    api_version: Literal["policy/v1"] = "policy/v1"
    kind: Literal["PodDisruptionBudget"] = "PodDisruptionBudget"
    spec: PodDisruptionBudgetSpec
