"""One policy that promises something everywhere, what it promises as assertions, and leaks planted in it one by one.

The promises are worked out by the naive evaluator alone: for each place, data class and tenant the regions that are
never legal between two dates. So an assertion fails for a mutated policy if, and only if, somebody gained a region.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, NamedTuple

from pydantic import ValidationError

from borderpost.demo.scenery import REGIONS
from borderpost.policy.bundle import PolicyBundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.event_schema import EventsFile
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import to_us
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.schema import RegionSpec
from borderpost.proof.assertions import PolicyAssertions
from borderpost.proof.grounds import Side
from borderpost.proof.prove import Breach, also_of, prove
from borderpost.proof.space import Space
from borderpost_base.errors import Problems
from support.naive_policy import NaivePolicy
from support.policy_builder import regime

NOW = datetime(2026, 11, 21, tzinfo=UTC)
DATES = [NOW, datetime(2027, 3, 1, tzinfo=UTC), datetime(2031, 12, 27, tzinfo=UTC)]
"""The first instants of the times that the policy tells apart from now on."""
PLACES = [
    "DE", "FR", "IE", "NO", "RE", "GL", "GB", "CH", "JP", "US", "CA", "CA-QC", "CA-ON", "KP", "UA", "UA-43", "AQ", "SG",
]  # fmt: skip
CLASSES = ["public", "personal", "payment", "health", "genomic"]
ANYBODY = "somebody-else"
"""A tenant that no rule names. Who is known to be nobody of the rules is free of them, so what is not legal here is not
legal for an unknown tenant either."""
TENANTS = [ANYBODY, "clinic"]
SPECS = {
    name: RegionSpec.model_validate({**spec, "retention": "same", "telemetry": "same"})
    for name, spec in REGIONS.items()
}
HERE = {"country": "DE", "subdivision": "DE-HE", "contracts": ["anywhere"]}
ANYWHERE = {"to": "*", "basis": "here", "require": {"contract": "anywhere"}}
"""What lets this gateway see every request, so that regions alone make the difference."""

EVIDENCE: dict[str, Any] = {"default_classes": []}
"""Data is what is declared and nothing else, so that what a class implies makes a difference."""

POLICY: dict[str, Any] = {
    "packs": [],
    "groups": {
        "EU": ["DE", "FR", "IE", "RE"],
        "EEA": {"all_of": ["EU"], "plus": ["NO"], "minus": []},
        "ADEQUATE": ["CH", "JP", "GB"],
        "GULF": ["AE", "SA"],
        "OUTER": {"all_of": ["EEA", "ADEQUATE"], "plus": ["GL"], "minus": ["CH"]},
    },
    "data_classes": {
        "public": {"rank": 0},
        "personal": {},
        "payment": {"implies": ["personal"]},
        "health": {"implies": ["personal"], "rank": 3},
        "genomic": {"implies": ["health"], "rank": 4},
    },
    "regimes": [
        regime(
            "eea", ["EEA", "GL"], data=["personal"],
            allow=[
                ANYWHERE,
                {"to": "EEA", "basis": "home", "revocable": False},
                {"to": "US", "basis": "framework", "require": {"operator_certified": "apec-cbpr"},
                 "until": "2026-06-01"},
                {"to": "SG", "basis": "clauses", "from": "2027-03-01", "except_data": ["health"]},
            ],
            deny=[{"to": "GULF", "basis": "never"}],
        ),
        regime("uk", ["GB"], data=["personal"], allow=[ANYWHERE, {"to": ["GB", "EEA"], "basis": "bridge"}]),
        regime(
            "swiss", "CH", data=["personal"],
            allow=[
                ANYWHERE, {"to": "OUTER", "basis": "list"},
                {"to": "US", "basis": "framework", "require": {"tia": "approved"}},
            ],
        ),
        regime("japan", "JP", data=["personal"], default="allow", basis="consent", deny=[{"to": ["US", "SG"]}]),
        regime("canada", "CA", data=["personal"], default="allow", basis="accountable", deny=[{"to": "GULF"}]),
        regime("quebec", "CA-QC", data=["personal"], allow=[ANYWHERE, {"to": "EEA", "basis": "assessed"}]),
        regime("america", "US", data=["personal"], default="allow", basis="commerce",
               deny=[{"to": "GULF", "data": ["payment"]}]),
        regime("health", "*", data=["health"], allow=[ANYWHERE, {"to": ["DE", "FR", "CH"], "basis": "health-home"}]),
        regime("genome", "*", data=["genomic"], default="allow", basis="genome",
               deny=[{"to": "*", "unless": {"contract": "anywhere"}}]),
        regime("clinic", "*", data=["personal"], tenant=["clinic"],
               allow=[ANYWHERE, {"to": "DE", "basis": "clinic-home"}]),
        regime("sanctions", ["KP", "UA-43"], kind="embargo"),
        regime("singapore", "SG", data=["personal"], allow=[ANYWHERE, {"to": "SG", "basis": "home"}],
               until="2031-12-27"),
        regime("rest", "*", data=["personal"], default="allow", basis="anything", deny=[{"to": "GULF"}]),
    ],
}  # fmt: skip
"""Every kind of rule that can be loosened."""


class Mutant(NamedTuple):
    """One changed policy."""

    name: str
    policy: dict[str, Any]


def bundle_of(policy: Mapping[str, Any]) -> PolicyBundle:
    """Return the bundle of a policy section without packs."""
    inline = {key: value for key, value in policy.items() if key != "packs"}
    return PolicyBundle.model_validate(
        {"here": HERE, "inline": inline, "tenants": {"clinic": {}}, "evidence": EVIDENCE}
    )


def side_of(policy: Mapping[str, Any]) -> Side:
    """Compile a policy over the regions of the stage, without events."""
    compiled = compile_policy(bundle_of(policy), SPECS)
    return Side(compiled, compile_events(EventList(), compiled))


Legal = Mapping[tuple[str, str, str, datetime], frozenset[str]]


def _by_hand(policy: Mapping[str, Any]) -> NaivePolicy:
    return NaivePolicy(bundle_of(policy), SPECS, EventsFile())


def legal_by_hand(policy: Mapping[str, Any]) -> Legal:
    """Return what the naive evaluator finds legal for each place, class, tenant and time."""
    naive = _by_hand(policy)
    return {
        (place, name, tenant, date): frozenset(
            naive.decide(Facts((Evidence(Source.GEOIP, place),), (name,), tenant), date).legal
        )
        for place in PLACES
        for name in CLASSES
        for tenant in TENANTS
        for date in DATES
    }


class Verdict(NamedTuple):
    """A changed policy, and what `prove` makes of it."""

    mutant: Mutant
    space: Space
    breaches: list[Breach]

    def is_right(self, base: Legal) -> bool:
        """Return True if the naive evaluator agrees: each counterexample gained its region; without any, nobody did."""
        naive = _by_hand(self.mutant.policy)
        if not self.breaches:
            return all(legal <= base[asked] for asked, legal in legal_by_hand(self.mutant.policy).items())
        before = _by_hand(POLICY)
        for breach in self.breaches[:3]:
            facts = self.space.facts(breach.first)
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=breach.first.span.from_us)
            assert facts is not None
            if breach.region not in naive.decide(facts, at).legal or breach.region in before.decide(facts, at).legal:
                return False
        return True


def verdicts(seed: str, base: Legal) -> Iterator[Verdict]:
    """Yield changed policies that load, each held against all that the base policy promises."""
    assertions = promises(base).assertions
    for mutant in mutants(Random(seed)):
        try:
            side = side_of(mutant.policy)
        except (ValidationError, Problems):
            continue  # refused at load: it leaks nothing
        space = Space([side], from_us=to_us(NOW), also=also_of(assertions))
        proofs = prove(space, assertions)
        yield Verdict(mutant, space, [breach for proof in proofs for breach in proof.breaches.values()])


def promises(legal: Legal) -> PolicyAssertions:
    """Return assertions that nobody reaches a region that is not legal by hand."""
    grouped: dict[tuple[str, str, datetime, frozenset[str]], list[str]] = {}
    for (place, name, tenant, date), allowed in legal.items():
        grouped.setdefault((name, tenant, date, frozenset(SPECS) - allowed), []).append(place)
    ends = dict(zip(DATES, [*DATES[1:], None], strict=True))
    return PolicyAssertions.model_validate(
        {
            "apiVersion": "residency/v1",
            "kind": "PolicyAssertions",
            "assertions": [
                {
                    "id": f"promise-{number}",
                    "says": f"{name} of {tenant} in {', '.join(places)} never reaches {', '.join(sorted(never))}",
                    "when": {
                        "subject_in": places, "data": [name], **({"tenant": tenant} if tenant != ANYBODY else {})
                    },
                    "never": {"regions": sorted(never)},
                    "from": date.isoformat(),
                    **({"until": end.isoformat()} if (end := ends[date]) else {}),
                }
                for number, ((name, tenant, date, never), places) in enumerate(grouped.items())
                if never
            ],
        }
    )  # fmt: skip


def mutants(random: Random) -> Iterator[Mutant]:
    """Yield changed policies, each once: one or two rules loosened, or turned in a way that may loosen them."""
    seen: list[dict[str, Any]] = [POLICY]
    while True:
        policy = copy.deepcopy(POLICY)
        names = []
        for _ in range(random.choice([1, 1, 2])):
            change = random.choice(_CHANGES)
            names.append(f"{change.__name__.removeprefix('_')}: {change(random, policy)}")
        if policy not in seen:
            seen.append(policy)
            yield Mutant(", ".join(names), policy)


def _any_regime(random: Random, policy: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = random.choice(policy["regimes"])
    return found


def _any_entry(random: Random, policy: dict[str, Any], kind: str) -> tuple[dict[str, Any], int] | None:
    having = [one for one in policy["regimes"] if one.get(kind)]
    chosen = random.choice(having)
    return chosen, random.randrange(len(chosen[kind]))


def _widen_group(random: Random, policy: dict[str, Any]) -> str:
    name, code = random.choice(sorted(policy["groups"])), random.choice(["US", "SG", "AE", "GL", "CH", "CA", "GB"])
    group = policy["groups"][name]
    (group["plus"] if isinstance(group, dict) else group).append(code)
    return f"{code} into {name}"


def _lose_territory(random: Random, policy: dict[str, Any]) -> str | None:
    lists = [group for group in policy["groups"].values() if isinstance(group, list)]
    lists += [one["applies_when"]["subject_in"] for one in policy["regimes"]
              if isinstance(one["applies_when"]["subject_in"], list)]  # fmt: skip
    chosen = random.choice([one for one in lists if len(one) > 1])
    return str(chosen.pop(random.randrange(len(chosen))))


def _forget_minus(random: Random, policy: dict[str, Any]) -> str:
    policy["groups"]["OUTER"]["minus"] = []
    return "CH stays in OUTER"


def _swap_date(random: Random, policy: dict[str, Any]) -> str | None:
    dated = [
        entry for one in policy["regimes"] for entry in (*one.get("allow", ()), one) if {"from", "until"} & {*entry}
    ]
    chosen = random.choice(dated)
    key = random.choice(sorted({"from", "until"} & {*chosen}))
    before, new = chosen[key], random.choice(["2020-01-01", "2026-11-01", "2027-03-01", "2031-12-27"])
    chosen[key] = new
    return f"{key} {before} to {new}"


def _drop_date(random: Random, policy: dict[str, Any]) -> str:
    dated = [
        entry for one in policy["regimes"] for entry in (*one.get("allow", ()), one) if {"from", "until"} & {*entry}
    ]
    chosen = random.choice(dated)
    key = random.choice(sorted({"from", "until"} & {*chosen}))
    return f"no {key}, was {chosen.pop(key)}"


def _drop_implication(random: Random, policy: dict[str, Any]) -> str:
    name = random.choice(["payment", "health", "genomic"])
    policy["data_classes"][name].pop("implies", None)
    return name


def _free_class(random: Random, policy: dict[str, Any]) -> str:
    name = random.choice(CLASSES[1:])
    policy["data_classes"][name]["rank"] = 0
    return name


def _drop_regime(random: Random, policy: dict[str, Any]) -> str:
    return str(policy["regimes"].pop(random.randrange(len(policy["regimes"])))["id"])


def _drop_deny(random: Random, policy: dict[str, Any]) -> str | None:
    found = _any_entry(random, policy, "deny")
    assert found is not None
    found[0]["deny"].pop(found[1])
    return str(found[0]["id"])


def _narrow_deny(random: Random, policy: dict[str, Any]) -> str | None:
    found = _any_entry(random, policy, "deny")
    assert found is not None
    found[0]["deny"][found[1]]["data"] = [random.choice(CLASSES)]
    return str(found[0]["id"])


def _widen_allow(random: Random, policy: dict[str, Any]) -> str | None:
    found = _any_entry(random, policy, "allow")
    assert found is not None
    entry = dict(found[0]["allow"][found[1]])
    to = random.choice(["US", "SG", "AE", "IE", "*"])
    entry["to"] = [*([entry["to"]] if isinstance(entry["to"], str) else entry["to"]), to]
    found[0]["allow"][found[1]] = entry
    return f"{found[0]['id']} to {to}"


def _drop_requirement(random: Random, policy: dict[str, Any]) -> str | None:
    having = [(one, index) for one in policy["regimes"] for index, entry in enumerate(one.get("allow", ()))
              if "require" in entry]  # fmt: skip
    chosen, index = random.choice(having)
    chosen["allow"][index] = {key: value for key, value in chosen["allow"][index].items() if key != "require"}
    return str(chosen["id"])


def _forget_exception(random: Random, policy: dict[str, Any]) -> str:
    for one in policy["regimes"]:
        for entry in one.get("allow", ()):
            entry.pop("except_data", None)
    return "health by clauses"


def _other_subjects(random: Random, policy: dict[str, Any]) -> str | None:
    chosen = _any_regime(random, policy)
    chosen["applies_when"]["subject_in"] = random.choice(["FR", "CA", "EU"])
    return str(chosen["id"])


def _other_data(random: Random, policy: dict[str, Any]) -> str | None:
    chosen = _any_regime(random, policy)
    chosen["applies_when"]["data"] = [random.choice(CLASSES)]
    return str(chosen["id"])


def _only_a_tenant(random: Random, policy: dict[str, Any]) -> str | None:
    chosen = _any_regime(random, policy)
    chosen["applies_when"]["tenant"] = ["clinic"]
    return str(chosen["id"])


def _no_law_needed(random: Random, policy: dict[str, Any]) -> str:
    policy["no_regime"] = "allow"
    return "no_regime: allow"


_CHANGES = [
    _widen_group, _lose_territory, _forget_minus, _swap_date, _drop_date, _drop_implication, _free_class, _drop_regime,
    _drop_deny, _narrow_deny, _widen_allow, _drop_requirement, _forget_exception, _other_subjects, _other_data,
    _only_a_tenant, _no_law_needed,
]  # fmt: skip
