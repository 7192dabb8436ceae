"""Small readings of nodes that Istio's and Envoy's kinds share: protobuf field names, hosts, clusters, findings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from borderpost.manifests.objects import Object
from borderpost.manifests.tree import Node
from borderpost.reports.finding import Finding, Level, Rule
from borderpost_envoy.doctor.message import Message

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"
IGNORE = "borderpost.dev/ignore"
"""Annotation with accepted findings, `BPD050 reason`; several one a line, or parted by `;`."""
CLUSTER_DOMAIN = ".svc.cluster.local"
_CLUSTER = re.compile(r"outbound\|(?P<port>\d+)\|(?P<subset>[^|]*)\|(?P<host>[^|\s]+)\Z")


def field(node: Node, *names: str) -> Node:
    """Return what stands below these protobuf fields, each written in snake_case or in camelCase."""
    return Message(node).get(*names).node


def present(node: Node) -> bool:
    """Say whether something stands there."""
    return node.value is not None


def texts_of(node: Node) -> list[str]:
    """Return the items of a list that are text; or the text itself, which protobuf takes for a list of one."""
    if isinstance(node.value, str):
        return [node.value]
    return [item.text for item in node.each() if item.text is not None]


def labels_of(node: Node) -> dict[str, str]:
    """Return labels as plain text."""
    return {key: value.text or "" for key, value in node.items()}


def everything(node: Node) -> Iterator[Node]:
    """Yield a node and all below it, parents first, in the order of the file."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        below = [child for _, child in one.items()] or list(one.each())
        waiting.extend(reversed(below))


def accepted(one: Object) -> frozenset[str]:
    """Return the rules whose findings about an object are accepted: those that its annotation names with a reason."""
    lines = re.split(r"[;\n]", one.node.get("metadata", "annotations").get(IGNORE).text or "")
    parted = [line.strip().partition(" ") for line in lines]
    return frozenset(code for codes, _, reason in parted if reason.strip() for code in codes.split(","))


class ClusterName(NamedTuple):
    """An Envoy cluster as istiod names it (istio/istio, `model.BuildSubsetKey`)."""

    host: str
    port: int
    subset: str


def cluster_name(text: str) -> ClusterName | None:
    """Return what a cluster's name says; None for one that istiod did not make of a service."""
    found = _CLUSTER.match(text)
    return ClusterName(found["host"].lower(), int(found["port"]), found["subset"]) if found else None


def full_host(host: str, namespace: str) -> str:
    """Return a host as istiod knows it: a name without a dot is a Service of the namespace."""
    host = host.lower()
    return host if "." in host or host == "*" else f"{host}.{namespace}{CLUSTER_DOMAIN}"


def covers(pattern: str, host: str) -> bool:
    """Say whether a host pattern takes every name that another one does: equal, `*`, or `*.` and an ending."""
    pattern, host = pattern.lower(), host.lower()
    return pattern in ("*", host) or (pattern.startswith("*") and host.endswith(pattern[1:]))


def finding(
    rule: Rule, message: str, node: Node, one: Object, *, mend: str | None = None, level: Level | None = None
) -> Finding:
    """Return a finding about an object, at a node of it."""
    place = node.place
    return Finding(
        rule,
        message,
        place.file,
        place.line,
        place.column,
        subject=one.subject,
        level=level or rule.level,
        help=mend,
    )
