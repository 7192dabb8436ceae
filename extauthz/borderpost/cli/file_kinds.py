"""Every kind of file that people write for Borderpost: its name, its JSON Schema, how it is told from the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]

DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True, slots=True)
class FileKind:
    """One kind of file."""

    title: str
    """What it is, for people and editors."""
    files: tuple[str, ...]
    """Names that editors take for such a file."""
    bare: Callable[[], Schema]
    """Makes its JSON Schema; imports the model only then."""

    def schema(self) -> Schema:
        """Return the JSON Schema (draft 2020-12), with descriptions from the models' docstrings."""
        return {"$schema": DRAFT, **self.bare(), "title": self.title}


def _config() -> Schema:
    from borderpost.config.model import Config

    return Config.model_json_schema(by_alias=True)


def _regions() -> Schema:
    from pydantic import TypeAdapter

    from borderpost.config.model import Config
    from borderpost.policy.fields import Identifier
    from borderpost.policy.schema import RegionSpec

    schema = TypeAdapter(dict[Identifier, RegionSpec]).json_schema(by_alias=True)
    return {**schema, "description": Config.model_fields["regions"].description}


def _pack() -> Schema:
    from borderpost.policy.pack import PolicyPack

    return PolicyPack.model_json_schema(by_alias=True)


def _events() -> Schema:
    from borderpost.policy.event_schema import EventsFile

    return EventsFile.model_json_schema(by_alias=True)


def _event() -> Schema:
    from borderpost.events.lines import without_ours
    from borderpost.policy.event_schema import LegalEvent

    return without_ours(LegalEvent.model_json_schema(by_alias=True))


def _trigger() -> Schema:
    from borderpost.events.triggers import Trigger

    return Trigger.model_json_schema(by_alias=True)


def _tests() -> Schema:
    from borderpost.proof.cases import CaseFile

    return CaseFile.model_json_schema(by_alias=True)


def _assertions() -> Schema:
    from borderpost.proof.assertions import PolicyAssertions

    return PolicyAssertions.model_json_schema(by_alias=True)


def _accepted() -> Schema:
    from borderpost.proof.accepted import AcceptedFile

    return AcceptedFile.model_json_schema(by_alias=True)


def _traffic() -> Schema:
    from borderpost.foresight.traffic import Traffic

    return Traffic.model_json_schema(by_alias=True)


def _suppressions() -> Schema:
    from borderpost_envoy.doctor.suppressions import SuppressionFile

    return SuppressionFile.model_json_schema(by_alias=True)


def _limits() -> Schema:
    from borderpost_ratelimit.files.typed import LimitsFile

    return LimitsFile.model_json_schema(by_alias=True)


KINDS: Final[Mapping[str, FileKind]] = {
    "config": FileKind("Borderpost configuration", ("borderpost.yaml", "borderpost.*.yaml"), _config),
    "regions": FileKind("Borderpost regions, by id", ("regions.yaml", "catalogue.yaml"), _regions),
    "pack": FileKind("Borderpost policy pack", ("packs/*.yaml", "*.pack.yaml"), _pack),
    "events": FileKind("Borderpost legal events", ("events.yaml",), _events),
    "event": FileKind("Borderpost legal event, to be signed", ("events/*.yaml", "*.event.yaml"), _event),
    "trigger": FileKind("Borderpost trigger, to be signed", ("triggers/*.yaml", "*.trigger.yaml"), _trigger),
    "tests": FileKind("Borderpost tests of a policy", ("tests/*.yaml", "*.tests.yaml"), _tests),
    "assertions": FileKind(
        "Borderpost assertions about a policy", ("assertions.yaml", "assertions/*.yaml"), _assertions
    ),
    "accepted": FileKind("Borderpost accepted changes of a policy", ("accepted.yaml",), _accepted),
    "traffic": FileKind("Borderpost traffic, for what-if", ("traffic.yaml", "traffic/*.yaml"), _traffic),
    "suppressions": FileKind(
        "Borderpost accepted findings of the doctor", ("suppressions.yaml", "*.suppressions.yaml"), _suppressions
    ),
    "limits": FileKind("Borderpost limits", ("limits/*.yaml", "*.limits.yaml"), _limits),
}
"""Every kind, by the name that commands give it."""

_BY_KIND: Final = {
    "PolicyPack": "pack",
    "LegalEvents": "events",
    "PolicyTests": "tests",
    "PolicyAssertions": "assertions",
    "AcceptedChanges": "accepted",
    "Traffic": "traffic",
}
_BY_KEY: Final = {
    "here": "config",
    "when": "trigger",
    "effective_from": "event",
    "ignore": "suppressions",
    "format": "limits",
}


def kind_of(data: Any) -> str | None:
    """Return which kind of file this content is of; None where it is none of ours that says so itself."""
    if not isinstance(data, dict):
        return None
    if isinstance(named := data.get("kind"), str) and named in _BY_KIND:
        return _BY_KIND[named]
    return next((kind for key, kind in _BY_KEY.items() if key in data), None)
