"""Rules about what stands around the routes: the mesh's settings, identities, pods, Envoy Gateway, what is loaded."""

from __future__ import annotations

from typing import Final

from borderpost.reports.finding import Level, Rule

MESH_FAILOVER: Final = Rule(
    "BPD083",
    "the whole mesh fails over across localities",
    "A `localityLbSetting` of the mesh holds for each host that does not say otherwise, with its failover targets.",
    "Set `localityLbSetting: {enabled: false}` in the mesh's settings, or in the DestinationRule of each region.",
    Level.WARNING,
)
CLUSTERS_PRUNED: Final = Rule(
    "BPD084",
    "clusters that only the header names are pruned",
    "With PILOT_FILTER_GATEWAY_CLUSTER_CONFIG a gateway is sent only the clusters that a VirtualService names: the "
    "others answer 503, and a failover that was planned is not there.",
    "Name each region's host as a destination in a VirtualService of the gateway.",
)
TRUSTED_HOPS: Final = Rule(
    "BPD085",
    "the gateway trusts another number of proxies than the configuration says",
    "Too many trusted hops let a caller write its own address into x-forwarded-for, and with it its country; too few "
    "make every caller stand where the load balancer does.",
    "Set `gatewayTopology.numTrustedProxies` to the number of your own proxies in front, as in the configuration.",
)
INTERNAL_NETWORKS: Final = Rule(
    "BPD086",
    "private addresses count as internal",
    "With ENABLE_HCM_INTERNAL_NETWORKS Envoy believes what such callers send in x-envoy- headers, and keeps the ones "
    "that it strips from everybody else.",
    "Remove the variable from istiod, or keep the gateway's clients out of `meshNetworks`.",
    Level.WARNING,
)
ADDRESSES_LOGGED: Final = Rule(
    "BPD087",
    "the access log holds client addresses",
    "An address is personal data: a log that leaves the region takes it along, and the law was not asked.",
    "Log without %DOWNSTREAM_REMOTE_ADDRESS%, %REQ(X-FORWARDED-FOR)% and their kin; Istio's default format has them.",
    Level.WARNING,
)
MTLS_LAX: Final = Rule(
    "BPD088",
    "the workload takes plaintext from the mesh",
    "Under PERMISSIVE or DISABLE whoever reaches the port may ask for decisions, or be the region.",
    "Set `mtls: {mode: STRICT}` in a PeerAuthentication of the namespace.",
    Level.WARNING,
)
PROVIDER_OPEN: Final = Rule(
    "BPD089",
    "the mesh's extension provider fails open",
    "`failOpen: true` serves each request undecided while Borderpost is away.",
    "Set `failOpen: false`, which is the default.",
)
NOT_ASKED: Final = Rule(
    "BPD090",
    "nobody asks Borderpost, or only for a part of the requests",
    "A provider that no AuthorizationPolicy of action CUSTOM names is never called; one with rules for some hosts, "
    "paths or methods is called for those alone; a dry run is not called at all.",
    "Write an AuthorizationPolicy with `action: CUSTOM`, the provider, the gateway's selector, and `rules: [{}]`.",
)
NO_CONTAINER: Final = Rule(
    "BPD091",
    "the gateway's pods have no container of Borderpost",
    "The filter asks over a socket in the pod: without the container each request is refused.",
    "Add the container, its volume and its mounts to the gateway's pods.",
)
SOCKET_VOLUME: Final = Rule(
    "BPD092",
    "the socket has no volume in memory that both containers mount",
    "On a disk the door of the decision outlives the pod, counts against its storage, and may be on a shared path; "
    "unmounted on one side, nobody can ask.",
    "Mount one `emptyDir: {medium: Memory}` into istio-proxy and Borderpost, at the folder of the sockets.",
)
START_ORDER: Final = Rule(
    "BPD093",
    "the gateway may take requests before Borderpost answers",
    "Containers of a pod start together: until the socket exists, each request is refused, at each rollout anew.",
    "Run it as a native sidecar: in `initContainers`, with `restartPolicy: Always` and a `startupProbe`.",
    Level.WARNING,
)
SOCKET_GROUP: Final = Rule(
    "BPD094",
    "Envoy may not open the socket",
    "istio-proxy runs as group 1337; a socket of another group with mode 0660 is closed to it, and each request 500.",
    "Run Borderpost with `runAsGroup: 1337`, or give the pod `fsGroup: 1337`.",
)
EVIDENCE_LOST: Final = Rule(
    "BPD095",
    "the evidence dies with its pod",
    "What stands in an emptyDir, or in the container itself, is gone with the pod, and a record that can vanish "
    "proves nothing.",
    "Keep it on a claim of each pod (a StatefulSet's volumeClaimTemplates), and ship it.",
)
POLICY_WITHOUT_EFFECT: Final = Rule(
    "BPD096",
    "a policy of Envoy Gateway has no effect",
    "EnvoyPatchPolicy is off unless EnvoyGateway's settings turn it on, and a policy whose target is missing does "
    "nothing but say so in its status: the gateway serves without it.",
    "Set `extensionApis.enableEnvoyPatchPolicy: true`, and target a Gateway or route that exists.",
)
FALLBACK: Final = Rule(
    "BPD097",
    "a fallback backend may stand in another region",
    "With `fallback: true` Envoy Gateway puts it into the same cluster at a lower priority: it serves as soon as the "
    "first fails, and nobody asks.",
    "Give each region a Backend and a route of its own.",
)
NOT_LOADED: Final = Rule(
    "BPD098",
    "what was rendered is not what is loaded",
    "The proxy runs what it was sent last and accepted. A patch that matched nothing, an update that was refused, or "
    "another patch on top is visible there alone.",
    "Look at the EnvoyFilter's match and at `istioctl proxy-status`; render and apply again.",
)
NOT_EXAMINED: Final = Rule(
    "BPD099",
    "an object was not examined",
    "Its version is not one that is known here, or what it refers to is not among the files: nothing is said of it.",
    "Give the objects that it refers to as well (`kubectl get … -A -o yaml`), in a version that is served.",
    Level.NOTE,
)

RULES: Final = (
    MESH_FAILOVER,
    CLUSTERS_PRUNED,
    TRUSTED_HOPS,
    INTERNAL_NETWORKS,
    ADDRESSES_LOGGED,
    MTLS_LAX,
    PROVIDER_OPEN,
    NOT_ASKED,
    NO_CONTAINER,
    SOCKET_VOLUME,
    START_ORDER,
    SOCKET_GROUP,
    EVIDENCE_LOST,
    POLICY_WITHOUT_EFFECT,
    FALLBACK,
    NOT_LOADED,
    NOT_EXAMINED,
)
