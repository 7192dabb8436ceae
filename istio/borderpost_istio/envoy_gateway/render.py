"""From a plan to objects with their reasons, and from those to YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from borderpost_envoy import text
from borderpost_envoy.typed import typed_models
from borderpost_istio.envoy_gateway.plan import EnvoyGatewayPlan
from borderpost_istio.kinds import KubeObject, as_data

_MADE = "Rendered by `borderpost render envoy-gateway`; change the configuration and render again."
REASONS: Mapping[tuple[str, ...], str] = {
    **text.REASONS,
    ("removeOnMatch",): "Before anything looks at the request: ours would be a decision, Envoy's steer retries.",
    ("numTrustedHops",): "Entries of x-forwarded-for, from the right, that your own proxies wrote.",
    ("escapedSlashesAction",): "One path has one spelling, so a route's floor cannot be stepped around.",
    ("withUnderscoresAction",): "x_borderpost_cluster is dropped: some upstreams read _ as -.",
    ("failOpen",): "No answer, no route.",
    ("statusOnError",): "What the caller sees when Borderpost cannot answer.",
    ("messageTimeout",): "Envoy's bound on one decision.",
    ("accessibleNamespaces",): "Verified claims travel as metadata, which no client can write.",
    ("writableNamespaces",): "The one metadata namespace our answers may fill.",
    ("circuitBreaker",): "Envoy's default of 1024 open requests would refuse bursts.",
    ("numAttemptsPerPriority",): "On to the next region: the answer names this route only where each is legal.",
    ("requestHeaderModifier",): "The decision is between Envoy and us.",
    ("fallback",): "After the region beside it, which has no such mark.",
    ("hostname",): "Who must answer: a certificate for another name is refused.",
    ("directResponse",): "Where nobody has named a cluster, nobody is sent anywhere.",
    ("restartPolicy",): "A native sidecar: it starts before Envoy, and stops after it.",
    ("requestTimeout",): "No bound where it says 0: a completion may stream for many minutes.",
    ("streamIdleTimeout",): "What must end is silence, not length.",
    ("bufferLimit",): "What Envoy keeps of a request for a retry; by default 32 KiB, less than many a prompt.",
    ("telemetry", "accessLog"): "Envoy Gateway's own has client addresses and paths; this has neither.",
    ("op=remove",): "A tunnel is decided once, and then open for as long as it likes.",
    ("op=add",): "The filter of our EnvoyExtensionPolicy, in whichever filter chain it stands.",
}
"""Comment before a key, by the last parts of its path."""
Rendered = tuple[KubeObject, str]
"""An object, and why it is there."""


def render_objects(plan: EnvoyGatewayPlan) -> list[Rendered]:
    """Return every object of a Gateway, in the order in which they are best applied: what refuses comes first.

    Raises BorderpostError BP0901 where envoy-data-plane is not installed.
    """
    with typed_models():
        # Half a second of imports, only when rendering.
        from borderpost_istio.envoy_gateway.backends import backend_objects
        from borderpost_istio.envoy_gateway.policies import policy_objects
        from borderpost_istio.envoy_gateway.proxy import envoy_proxy
        from borderpost_istio.envoy_gateway.routes import route_objects
    found: list[Rendered] = []
    if plan.sidecar is not None:
        why = (
            "Borderpost in Envoy's pods. Name it in the Gateway: `infrastructure: {parametersRef: {group:\n"
            "gateway.envoyproxy.io, kind: EnvoyProxy, name: borderpost}}`."
        )
        if plan.sidecar.evidence_claim is None:
            why += "\nThe record of every decision dies with its pod: you asked for that."
        found.append((envoy_proxy(plan, plan.sidecar), why))
    return [*found, *policy_objects(plan), *backend_objects(plan), *route_objects(plan)]


def to_yaml(rendered: Sequence[Rendered]) -> str:
    """Return the objects as one YAML stream, with the reasons beside the settings."""
    documents = (text.yaml_text(as_data(each), header=f"{_MADE}\n{why}", reasons=REASONS) for each, why in rendered)
    return "".join(f"---\n{document}" for document in documents)
