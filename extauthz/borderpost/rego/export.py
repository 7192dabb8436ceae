"""The law of one configuration as a Rego module with its data and its tests, as files by name.

    request.rego judgement.rego events.rego places.rego decision.rego    the rules of decision, the same for every law
    workload.rego     entry points: `allow_region` for admission control, `deny` for Conftest
    law.rego          the regimes, their entries and the legal events, each with its source
    data.json         what the rules look up: places, processors, data classes
    decision_test.rego    questions at every boundary and seeded ones, with our answers
    .manifest         roots and revision, so that the folder is an OPA bundle

The answers are those of `borderpost.policy.decide.decide`, but for `valid_until_us`, which is not told. The same law
gives the same bytes.
"""

from __future__ import annotations

import importlib.resources
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import CompiledPolicy, compile_policy
from borderpost.policy.events import CompiledEvents, EventList, compile_events
from borderpost.policy.schema import RegionSpec
from borderpost.rego.cases import cases_text
from borderpost.rego.law import LawText
from borderpost.rego.legal_events import EventsText
from borderpost.rego.literals import comment
from borderpost.rego.names import Names
from borderpost.rego.tables import tables_of

MODULES: Final = ("request", "places", "events", "judgement", "decision", "workload")
"""The modules that are the same for every law."""


_KINDS: Final = {
    **{kind: f"{kind} contains one if some one in object.keys({{}})" for kind in ("live", "governs")},
    **{kind: f"{kind} := {{}}" for kind in ("allows", "denies", "event")},
}
"""What the law is made of, and what there is where there is none of a kind."""


class Source(NamedTuple):
    """What an export is made from."""

    policy: CompiledPolicy
    events: CompiledEvents
    listed: EventList
    """The list that `events` was compiled from."""

    @property
    def revision(self) -> str:
        """Return what names this law: the digests of policy and events."""
        return f"policy {self.policy.bundle.digest}, events {self.listed.digest}"


def source_of(
    bundle: PolicyBundle, regions: Mapping[str, RegionSpec], listed: EventList, *, drills: bool = False
) -> Source:
    """Compile what is to be exported. Raises as `compile_policy` does."""
    policy = compile_policy(bundle, regions)
    return Source(policy, compile_events(listed, policy, drills=drills), listed)


def export(source: Source, cases: int) -> dict[str, str]:
    """Return the files by name, with so many seeded questions beside those at the boundaries."""
    names = Names(source.events)
    files = {f"{name}.rego": module_text(name) for name in MODULES}
    files["law.rego"] = law_text(source, names)
    files["data.json"] = json_text({"borderpost": {"tables": tables_of(source.events, names)}})
    files["decision_test.rego"] = cases_text(source.events, source.revision, cases)
    files[".manifest"] = json_text({"revision": source.revision, "roots": ["borderpost"], "rego_version": 1})
    return dict(sorted(files.items()))


def module_text(name: str) -> str:
    """Return a module that is the same for every law."""
    return (importlib.resources.files("borderpost.rego") / "modules" / f"{name}.rego").read_text(encoding="utf-8")


def law_text(source: Source, names: Names) -> str:
    """Return the regimes and events as a module."""
    rules = [*LawText(source.events, names).rules()]
    events = EventsText(source.events, source.listed.file.clock_error_us, names)
    rules += events.rules()
    never = ", ".join(events.never())
    body = "\n".join([*rules, *_nothing_said(rules)])
    imports = [name for name in ("events", "request") if f"{name}." in body]
    return "\n".join(
        [
            comment(
                "The law of one deployment, made by `borderpost policy export rego`: do not edit, make it anew.",
                f"From {source.revision}.",
                *([f"Events that are never in force, left out: {never}."] if never else []),
                "Numbers of rules are those of the policy reference. None of it is legal advice.",
            )
            + "package borderpost.law\n",
            "import rego.v1\n",
            *(["".join(f"import data.borderpost.{name}\n" for name in imports)] if imports else []),
            body,
        ]
    )


def _nothing_said(rules: Sequence[str]) -> Iterator[str]:
    """Yield, of each kind of rule of which the law has none, that there is none."""
    said = {line.partition("[")[0].partition(" ")[0].partition(".")[0] for rule in rules for line in rule.splitlines()}
    for kind, empty in _KINDS.items():
        if kind not in said:
            yield f"{empty}\n"


def json_text(value: Mapping[str, Any]) -> str:
    """Return JSON for people and diffs: a line a value, sorted."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
