"""The data document: what the rules of decision look up (`data.borderpost.tables`)."""

from __future__ import annotations

from typing import Any

from borderpost.policy import codes
from borderpost.policy.compile import CompiledPolicy
from borderpost.policy.events import CompiledEvents
from borderpost.policy.pack import Regime
from borderpost.policy.regimes import CompiledRegime
from borderpost.rego.names import Names


def tables_of(events: CompiledEvents, names: Names) -> dict[str, Any]:
    """Return the tables. `names` must have been asked for all territories of the events before."""
    policy = events.policy
    regimes = {
        compiled.id: _regime(regime, compiled, names)
        for compiled, regime in zip(policy.regimes, policy.bundle.regimes, strict=True)
    }
    return {
        "subdivision_unknown": policy.treatment,
        "trust_model_header": policy.trust_model,
        "treat_as": sorted(policy.treat_as),
        "mode": str(policy.mode),
        "no_regime": policy.bundle.inline.no_regime,
        "regions": list(policy.region_ids),
        "sinks": list(policy.index.sinks),
        "classes": _classes(policy),
        "groups": _groups(events, names),
        "tenants": _tenants(policy),
        "regimes": regimes,
        "territories": names.territories(),
        "places": names.spots.known(),
        "rest": names.spots.rest(),
        "own_code": dict(sorted(codes.OWN_CODE.items())),
        **names.location_tables(),
    }


def _classes(policy: CompiledPolicy) -> dict[str, Any]:
    """Return each data class: all that it implies and itself, whether it is protected, and its mode."""
    found = {}
    for name, mask in sorted(policy.classes.items()):
        mode = policy.class_modes.get(name)
        found[name] = {
            "with": sorted(other for other, bit in policy.own_bits.items() if bit & mask),
            "protected": name not in policy.free,
            "mode": None if mode is None else str(mode),
        }
    return found


def _groups(events: CompiledEvents, names: Names) -> dict[str, list[str]]:
    """Return each group with every code that may be in it."""
    codes_known = {code: events.places[code].cells for code in names.spots.known()}
    return {
        name: [code for code, cells in codes_known.items() if cells & group]
        for name, group in sorted(events.territory.groups.items())
    }


def _tenants(policy: CompiledPolicy) -> dict[str, Any]:
    """Return what tenants add to a workload of theirs."""
    return {
        name: {
            "classes": list(tenant.classes or ()),
            "purpose": tenant.purpose,
            "mode": tenant.mode and str(tenant.mode),
        }
        for name, tenant in sorted(policy.bundle.tenants.items())
    }


def _regime(regime: Regime, compiled: CompiledRegime, names: Names) -> dict[str, Any]:
    return {
        "kind": regime.kind,
        "default": regime.default,
        **({"basis": regime.basis} if regime.basis else {}),
        "subjects": names.territory(regime.applies_when.subject_in),
        "gives": sorted(label.partition("/")[2] for label in compiled.labels),
        "counters": sorted(compiled.counters),
    }
