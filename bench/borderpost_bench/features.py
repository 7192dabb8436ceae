"""The features axis: parts of the product that a run switches on or off, so that what each costs can be measured.

    --features probes=off,access_log=on

A feature that is not named stands as it does by default. A new part of the product gets a line in `FEATURES`; a run
with it and a run without it are told apart by `borderpost bench compare`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from borderpost.demo.scenery import write_events

_ENDED_EVENTS = 100
_STANDING: tuple[tuple[str, dict[str, list[str]]], ...] = (
    ("injunction", {"subjects": ["AQ"], "countries": ["US"]}),
    ("injunction", {"subjects": ["AQ"], "data": ["health"], "operators": ["Example Cloud GmbH"]}),
    ("regulator_order", {"subjects": ["BV"], "regions": ["eu-central-1", "us-east-1"]}),
    ("adequacy_revoke", {"bases": ["a-basis-of-nobody"], "countries": ["US"]}),
    ("sanctions_add", {"subjects": ["HM"]}),
)
"""Type and scope of events in force. Nobody lives in those places."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One part that can be switched."""

    what: str
    default: bool
    switch: Callable[[dict[str, Any], Path], None] = lambda _config, _directory: None
    """Turns the configuration away from the default; files that it needs go into the directory. What is switched
    elsewhere (in Envoy's rendering) does nothing here."""


def _without_law(config: dict[str, Any], _directory: Path) -> None:
    """Leave the words of the built-in packs, their groups and data classes, and none of their regimes."""
    config["policy"] = {"packs": ["base"], "no_regime": "allow"}


def _with_packs(config: dict[str, Any], _directory: Path) -> None:
    """Take every pack there is; for the clients of the bench their law is the starter packs'."""
    config["policy"]["packs"] = ["world" if pack == "starter" else pack for pack in config["policy"]["packs"]]


def _with_shadow(config: dict[str, Any], _directory: Path) -> None:
    """Weigh a candidate beside the law: the same, and a regime that allows clients in the United States nothing."""
    regime = {
        "id": "candidate", "title": "What a candidate adds", "source": "the bench",
        "applies_when": {"subject_in": "US"}, "default": "deny",
    }  # fmt: skip
    config["shadow"] = {"policy": {**config["policy"], "regimes": [*config["policy"].get("regimes", ()), regime]}}


def _without_probes(config: dict[str, Any], _directory: Path) -> None:
    config["ranking"]["probes"] = {}


def _without_latencies(config: dict[str, Any], _directory: Path) -> None:
    config["ranking"]["latency_ms"] = {}


def _with_events(_config: dict[str, Any], directory: Path) -> None:
    """Write events that have ended, and some in force that concern no request of the bench: each is compiled, those in
    force are weighed for every request, and no answer changes."""
    begun = "2024-01-01T00:00:00Z"
    shared = {"effective_from": begun, "recorded_at": begun, "source": "the bench", "reason": "an event of the bench"}
    ended = {"effective_until": "2024-02-01T00:00:00Z", **shared}
    write_events(directory, [
        *(
            {"id": f"ended-{number}", "type": "region_suspend", "scope": {"regions": ["us-east-1"]}, **ended}
            for number in range(_ENDED_EVENTS)
        ),
        *(
            {"id": f"standing-{number}", "type": kind, "scope": scope, **shared}
            for number, (kind, scope) in enumerate(_STANDING)
        ),
    ])  # fmt: skip


FEATURES: Mapping[str, Feature] = MappingProxyType({
    "law": Feature("the starter packs' regimes; off, any region may serve anybody whose country is known", True,
                   _without_law),
    "probes": Feature("the steward probes every region each two seconds", True, _without_probes),
    "latencies": Feature("regions are ranked by the table of latencies", True, _without_latencies),
    "packs": Feature("every built-in pack is loaded, not the starter packs alone", False, _with_packs),
    "shadow": Feature("a candidate policy is weighed beside the law and differs for clients of one country", False,
                      _with_shadow),
    "events": Feature(f"{_ENDED_EVENTS} legal events that have ended and {len(_STANDING)} in force are on file", False,
                      _with_events),
    "access_log": Feature("Envoy writes its access log, as rendered, to a file", False),
})  # fmt: skip
"""By name, in the order in which they are told."""


@dataclass(frozen=True, slots=True)
class Features:
    """How the features of a run stand."""

    chosen: Mapping[str, bool] = field(default_factory=dict)
    """Those that were named."""

    def on(self, name: str) -> bool:
        """Return True if a feature is on. Raises KeyError for one that there is not."""
        return self.chosen.get(name, FEATURES[name].default)

    def apply(self, config: dict[str, Any], directory: Path) -> None:
        """Turn a configuration of the product, whose file will lie in a directory, to how the features stand."""
        for name, feature in FEATURES.items():
            if self.on(name) != feature.default:
                feature.switch(config, directory)

    def as_dict(self) -> dict[str, bool]:
        """Return how each stands."""
        return {name: self.on(name) for name in FEATURES}

    @property
    def told(self) -> str:
        """Return as text what is not as it is by default; empty if nothing is."""
        differing = (name for name, feature in FEATURES.items() if self.on(name) != feature.default)
        return ",".join(f"{name}={'on' if self.on(name) else 'off'}" for name in differing)


DEFAULTS = Features()
"""Nothing is named."""


def parse_features(text: str) -> dict[str, bool]:
    """Read `NAME=on,NAME=off…`. Raises ValueError for anything else."""
    found = {}
    for one in text.split(","):
        name, _, state = one.partition("=")
        if name not in FEATURES:
            raise ValueError(f"no feature is called `{name}`; there are {', '.join(FEATURES)}")
        if state not in {"on", "off"}:
            raise ValueError(f"`{one}` is not NAME=on or NAME=off")
        found[name] = state == "on"
    return found
