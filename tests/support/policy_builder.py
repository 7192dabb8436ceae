"""Small policies written in a few words, for tests that say one thing each."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from borderpost.config.packs import built_in_packs
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Law, Source
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import RegionSpec

CLASSES = {"public": {"rank": 0}, "personal": {}, "health": {"implies": ["personal"], "rank": 3}}

CONTAINED: dict[str, Any] = {"retention": "same", "telemetry": "same"}
"""What a region says that keeps everything in its own place."""


def starter() -> tuple[PolicyPack, ...]:
    """Read the packs of the starter collection as the product does."""
    return tuple(built_in_packs("starter"))


def regime(id_: str, subject_in: Any, **more: Any) -> dict[str, Any]:
    """Return a regime in the file's form; `data` goes to its conditions."""
    applies: dict[str, Any] = {
        "subject_in": subject_in,
        **{key: more.pop(key) for key in ("data", "tenant", "model") if key in more},
    }
    return {"id": id_, "title": id_, "source": "test", "applies_when": applies, **more}


class Court:
    """A policy over regions that answers questions in short form."""

    def __init__(
        self,
        *regimes: Mapping[str, Any],
        regions: Mapping[str, Any],
        here: Mapping[str, Any] | None = None,
        packs: tuple[PolicyPack, ...] = (),
        evidence: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        no_regime: str = "allow",
        events: tuple[Mapping[str, Any], ...] = (),
        tenants: tuple[str, ...] = (),
    ) -> None:
        inline = {"regimes": list(regimes), "groups": dict(groups or {}), "no_regime": no_regime}
        if not packs:
            inline["data_classes"] = CLASSES
        self.bundle = PolicyBundle.model_validate(
            {
                "here": here or {"country": "DE"},
                "packs": packs,
                "inline": inline,
                "evidence": evidence or {},
                "tenants": {tenant: {} for tenant in tenants},
            }
        )
        specs = {
            region_id: RegionSpec.model_validate(CONTAINED | ({"country": spec} if isinstance(spec, str) else spec))
            for region_id, spec in regions.items()
        }
        self.policy = compile_policy(self.bundle, specs)
        self.events = compile_events(EventList(EventsFile.model_validate({"events": list(events)})), self.policy)

    def ask(
        self,
        *,
        at: str | datetime | int = "2026-11-20",
        classes: tuple[str, ...] = ("personal",),
        tenant: str | None = None,
        model: str | None = None,
        missing: str | None = None,
        **said: str,
    ) -> Law:
        """Decide: `court.ask(token="DE", geoip="FR")`. `at` is an instant, or microseconds since 1970."""
        evidence = tuple(Evidence(source, said[source]) for source in Source if source in said)
        now_us = at if isinstance(at, int) else to_us(parse_instant(at))
        return decide(Facts(evidence, classes, tenant, model, missing), self.policy, self.events, now_us)
