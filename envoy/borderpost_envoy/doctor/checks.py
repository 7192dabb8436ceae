"""What a rule of the doctor is: its text, the fact that it rests on, and the function that looks.

Each rule is one function, registered with its text:

    @check(Rule("BPD003", "…", "…", "…"), source=EXT_PROC)
    def refuses_without_an_answer(scene: Scene) -> Iterator[Hit]: ...

so that `--list`, `--explain`, SARIF and the reference are made from what is run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from borderpost.reports.finding import Finding, Level, Rule
from borderpost_base.errors import NOWHERE
from borderpost_base.yaml_source import dotted
from borderpost_envoy.doctor.message import Message
from borderpost_envoy.doctor.scene import Scene

REFERENCE: Final = "docs/reference/doctor-rules.md"
"""The page that has a section for each rule."""

_DOCS = "https://www.envoyproxy.io/docs/envoy/v1.40.0"
EXT_PROC: Final = f"{_DOCS}/configuration/http/http_filters/ext_proc_filter"
EXT_AUTHZ: Final = f"{_DOCS}/configuration/http/http_filters/ext_authz_filter"
EXT_PROC_API: Final = f"{_DOCS}/api-v3/extensions/filters/http/ext_proc/v3/ext_proc.proto"
MUTATION_RULES: Final = f"{_DOCS}/api-v3/config/common/mutation_rules/v3/mutation_rules.proto"
MANAGER: Final = f"{_DOCS}/api-v3/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto"
HEADERS: Final = f"{_DOCS}/configuration/http/http_conn_man/headers"
ROUTES: Final = f"{_DOCS}/api-v3/config/route/v3/route_components.proto"
CLUSTERS: Final = f"{_DOCS}/api-v3/config/cluster/v3/cluster.proto"
AGGREGATES: Final = f"{_DOCS}/intro/arch_overview/upstream/aggregate_cluster"
PRIORITIES: Final = f"{_DOCS}/intro/arch_overview/upstream/load_balancing/priority"
LOCALITIES: Final = f"{_DOCS}/intro/arch_overview/upstream/load_balancing/locality_weight"
CIRCUIT_BREAKERS: Final = f"{_DOCS}/intro/arch_overview/upstream/circuit_breaking"
MANAGEMENT: Final = f"{_DOCS}/intro/arch_overview/http/http_connection_management"
UPGRADES: Final = f"{_DOCS}/intro/arch_overview/http/upgrades"
TLS: Final = f"{_DOCS}/intro/arch_overview/security/ssl"
ADMIN: Final = f"{_DOCS}/operations/admin"
ACCESS_LOGS: Final = f"{_DOCS}/configuration/observability/access_log/usage"
RATE_LIMITS: Final = f"{_DOCS}/configuration/http/http_filters/rate_limit_filter"
HTTP_FILTERS: Final = f"{_DOCS}/intro/arch_overview/http/http_filters"


@dataclass(frozen=True, slots=True)
class Hit:
    """One breach, before it is told as a finding."""

    at: Message
    """Where it stands."""
    subject: str
    """What it is about, for people."""
    message: str
    level: Level | None = None
    """Where it differs from the rule's."""
    mend: str | None = None
    """Where this case has a better one than the rule's."""


Look = Callable[[Scene], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Check:
    """A registered rule."""

    rule: Rule
    source: str
    """Where Envoy's own documentation says the fact that the rule rests on."""
    look: Look

    def findings(self, scene: Scene) -> Iterator[Finding]:
        """Look, and tell what was found."""
        for hit in self.look(scene):
            place, subject = NOWHERE, hit.subject
            if scene.file is not None:
                place = hit.at.node.place
            else:  # lines of a dump that nobody keeps tell nothing; the path leads there
                subject = f"{subject} ({dotted(hit.at.node.path) or 'the whole'})"
            yield Finding(
                self.rule,
                hit.message,
                file=scene.file,
                line=place.line,
                column=place.column,
                subject=subject,
                level=hit.level or self.rule.level,
                help=hit.mend,
            )


def section_of(rule: Rule) -> str:
    """Return where the reference tells of a rule."""
    return f"{REFERENCE}#{rule.id.lower()}"


CHECKS: dict[str, Check] = {}
"""Every rule about Envoy's configuration by its id; filled by the modules of `borderpost_envoy.doctor.rules`."""


def check(rule: Rule, *, source: str) -> Callable[[Look], Look]:
    """Register a function as a rule."""

    def register(look: Look) -> Look:
        if rule.id in CHECKS:
            raise ValueError(f"rule {rule.id} is registered twice")
        CHECKS[rule.id] = Check(rule, source, look)
        return look

    return register
