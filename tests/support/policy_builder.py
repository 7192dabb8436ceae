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
from borderpost.policy.model import Evidence, Facts, Law, Mode, Source
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
        **{key: more.pop(key) for key in ("data", "tenant", "model", "purpose") if key in more},
    }
    return {"id": id_, "title": id_, "source": "test", "applies_when": applies, **more}


def at_home(spec: Any) -> dict[str, Any]:
    """Return a region in the file's form, that keeps what it is sent in its own place where it does not say."""
    return {"retention": "same", "telemetry": "same", **({"country": spec} if isinstance(spec, str) else spec)}


class Court:
    """A policy over regions that answers questions in short form."""

    def __init__(
        self,
        *regimes: Mapping[str, Any],
        regions: Mapping[str, Any],
        here: Mapping[str, Any] | None = None,
        sinks: Mapping[str, Any] | None = None,
        packs: tuple[PolicyPack, ...] = (),
        evidence: Mapping[str, Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        classes: Mapping[str, Any] | None = None,
        no_regime: str = "allow",
        mode: Mode = Mode.LEGAL_FIRST,
        events: tuple[Mapping[str, Any], ...] = (),
        clock_error_us: int = 0,
        drills: bool = False,
        tenants: tuple[str, ...] = (),
    ) -> None:
        inline: dict[str, Any] = {
            "regimes": list(regimes),
            "groups": dict(groups or {}),
            "no_regime": no_regime,
            "mode": mode,
        }
        if not packs:
            inline["data_classes"] = {**CLASSES, **(classes or {})}
        self.bundle = PolicyBundle.model_validate(
            {
                "here": here or {"country": "DE"},
                "sinks": sinks or {},
                "packs": packs,
                "inline": inline,
                "evidence": evidence or {},
                "tenants": {tenant: {} for tenant in tenants},
            }
        )
        self.regions = {region_id: RegionSpec.model_validate(at_home(spec)) for region_id, spec in regions.items()}
        self.policy = compile_policy(self.bundle, self.regions)
        file = EventsFile.model_validate({"events": list(events), "clock_error_us": clock_error_us})
        self.events = compile_events(EventList(file), self.policy, drills=drills)

    def ask(
        self,
        *,
        at: str | datetime | int = "2026-11-20",
        classes: tuple[str, ...] = ("personal",),
        tenant: str | None = None,
        model: str | None = None,
        missing: str | None = None,
        purpose: str | None = None,
        mode: Mode | None = None,
        doubt: str | None = None,
        stale: bool = False,
        **said: str,
    ) -> Law:
        """Decide: `court.ask(token="DE", geoip="FR")`. `at` is an instant, or microseconds since 1970; `doubt` is why
        GeoIP is not believed."""
        evidence = tuple(
            Evidence(source, said[source], doubt=doubt if source is Source.GEOIP else None)
            for source in Source
            if source in said
        )
        now_us = at if isinstance(at, int) else to_us(parse_instant(at))
        facts = Facts(evidence, classes, tenant, model, missing, purpose, mode)
        return decide(facts, self.policy, self.events, now_us, stale=stale)
