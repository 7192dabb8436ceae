"""Bundles: what a child may add, what it may not say anew, and one sequence of bytes for one meaning."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from pydantic import ValidationError

from borderpost.policy.bundle import PolicyBundle, build_bundle, check_regions
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.model import Facts
from borderpost.policy.pack import PolicyPack
from borderpost.policy.schema import EvidenceSpec, Here, PolicySection, RegionSpec, RouteSpec, TenantSpec
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.yaml_source import load_yaml
from support.policy_builder import regime, starter

HERE = Here(country="DE")


def pack(id_: str, **rules: Any) -> PolicyPack:
    metadata = {"id": id_, "version": "1", "as_of": "2026-11-20", "not_legal_advice": True}
    return PolicyPack.model_validate(
        {"apiVersion": "residency/v1", "kind": "PolicyPack", "metadata": metadata, **rules}
    )


def problems_of(**sections: Any) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        build_bundle(here=HERE, **sections)
    return list(caught.value.errors)


def test_a_child_adds_groups_classes_and_regimes() -> None:
    parent = pack("parent", groups={"G": ["DE"]}, data_classes={"personal": {}})
    child = PolicySection.model_validate(
        {
            "groups": {"H": {"all_of": ["G"], "plus": ["FR"]}},
            "data_classes": {"secret": {"implies": ["personal"]}},
            "regimes": [regime("own", "H", data=["secret"])],
        }
    )
    bundle = build_bundle(here=HERE, packs=[parent], policy=child)
    assert set(bundle.vocabulary.groups) == {"G", "H"}
    assert [r.id for r in bundle.regimes] == ["own"]


@pytest.mark.parametrize(
    ("child", "place"),
    [
        ({"groups": {"G": ["DE", "CN"]}}, "policy.groups.G"),
        ({"data_classes": {"personal": {"rank": 0}}}, "policy.data_classes.personal"),
        ({"regimes": [regime("r", "DE", default="allow", basis="anything")]}, "policy.regimes.0.id"),
    ],
)
def test_a_child_redefines_nothing(child: dict[str, Any], place: str) -> None:
    parent = pack("parent", groups={"G": ["DE"]}, data_classes={"personal": {}}, regimes=[regime("r", "DE")])
    inline = PolicySection.model_validate({"data_classes": {"personal": {}}, **child})
    (error,) = problems_of(packs=[parent], policy=inline)
    assert (error.code, error.place.key) == ("BP0206", place)
    assert "regime of your own" in error.mend


def test_the_same_definition_again_is_no_redefinition() -> None:
    same = {"groups": {"G": ["DE"]}, "data_classes": {"personal": {}}}
    assert len(build_bundle(here=HERE, packs=[pack("a", **same), pack("b", **same)]).packs) == 2


def test_a_pack_is_not_loaded_twice() -> None:
    (error,) = problems_of(packs=[*starter(), pack("a"), pack("a")])
    assert error.code == "BP0206"


def test_a_pack_does_not_lean_on_a_later_one() -> None:
    (error, *_) = problems_of(packs=[pack("a", groups={"H": {"all_of": ["G"]}}), pack("b", groups={"G": ["DE"]})])
    assert (error.code, error.place.key) == ("BP0203", "packs.0.groups.H.all_of.0")


def test_mistakes_of_the_configuration_have_their_line() -> None:
    text = b"""\
policy:
  packs: [starter]
  regimes:
    - {id: own, title: t, source: s, applies_when: {subject_in: EAE, data: [helth], tenant: [acne]}}
evidence: {default_classes: [persona]}
tenants: {acme: {classes: [health, genomics]}}
routes:
  chat: {tenant: acm}
regions:
  eu: {country: DE, processing_scope: zone:EAA}
"""
    document = load_yaml(text, "borderpost.yaml")
    sections = document.data
    with pytest.raises(Problems) as caught:
        build_bundle(
            here=HERE,
            packs=starter(),
            policy=PolicySection.model_validate(sections["policy"]),
            evidence=EvidenceSpec.model_validate(sections["evidence"]),
            tenants={"acme": TenantSpec.model_validate(sections["tenants"]["acme"])},
            routes={"chat": RouteSpec.model_validate(sections["routes"]["chat"])},
            document=document,
        )
    assert [(e.code, e.place.line, e.mend) for e in caught.value.errors] == [
        ("BP0203", 4, "did you mean `EEA`?"),
        ("BP0204", 4, "did you mean `health`?"),
        ("BP0214", 4, "did you mean `acme`?"),
        ("BP0204", 5, "did you mean `personal`?"),
        ("BP0204", 6, "did you mean `genomic`?"),
        ("BP0214", 8, "did you mean `acme`?"),
    ]
    bundle = build_bundle(here=HERE, packs=starter())
    regions = {"eu": RegionSpec.model_validate(sections["regions"]["eu"])}
    with pytest.raises(Problems) as caught:
        check_regions(bundle, regions, document)
    assert [(e.code, e.place.line, e.mend) for e in caught.value.errors] == [("BP0203", 10, "did you mean `EEA`?")]


def test_canonical_bytes_are_rfc_8785_and_read_back() -> None:
    own = PolicySection.model_validate({"regimes": [{**regime("own", "IN"), "title": "Datenschutz Ａ\u0308 e\u0301"}]})
    bundle = build_bundle(here=HERE, packs=starter(), policy=own, tenants={"acme": TenantSpec()})
    raw = bundle.canonical()
    assert rfc8785.dumps(json.loads(raw)) == raw
    assert "é".encode() in raw  # normal form C
    assert b"null" not in raw
    assert PolicyBundle.from_canonical(raw) == bundle
    assert PolicyBundle.from_canonical(raw).digest == bundle.digest
    assert bundle.digest.startswith("sha256:")
    assert len(bundle.digest) == 71


@pytest.mark.parametrize(
    "spoil",
    [
        lambda raw: raw[:-1],
        lambda raw: raw + b"\n",
        lambda raw: raw.replace(b'"country":"DE"', b'"country": "DE"'),
        lambda raw: raw.replace(b'"country":"DE"', b'"country":"ZZ"'),
        lambda raw: b"[]",
        lambda raw: b"\xff",
    ],
)
def test_bytes_that_are_not_canonical_are_refused(spoil: Any) -> None:
    with pytest.raises(BorderpostError) as caught:
        PolicyBundle.from_canonical(spoil(build_bundle(here=HERE, packs=starter()).canonical()))
    assert caught.value.code == "BP0215"


def test_names_of_packs_decide_nothing() -> None:
    """The path of a pack file is this machine's; only its content is law."""
    digests = {
        build_bundle(here=HERE, packs=starter(), policy=PolicySection(packs=names)).digest
        for names in (("starter",), ("/elsewhere/starter.yaml",))
    }
    assert len(digests) == 1


def test_everything_that_decides_is_in_the_digest() -> None:
    base = build_bundle(here=HERE, packs=starter())
    others = [
        build_bundle(here=Here(country="FR"), packs=starter()),
        build_bundle(here=HERE, packs=starter(), policy=PolicySection(no_regime="allow")),
        build_bundle(here=HERE, packs=starter(), evidence=EvidenceSpec(subdivision_unknown="strictest")),
        build_bundle(here=HERE, packs=starter(), tenants={"acme": TenantSpec()}),
        build_bundle(here=HERE, packs=starter(), routes={"chat": RouteSpec()}),
    ]
    assert len({bundle.digest for bundle in (base, *others)}) == 6


def test_too_much_is_refused() -> None:
    bundle = build_bundle(here=HERE, packs=starter())
    many = {f"r{number}": RegionSpec(country="DE") for number in range(limits.REGIONS_MAX + 1)}
    with pytest.raises(BorderpostError, match="BP0217"):
        compile_policy(bundle, many)
    jurisdictions = [f"DE-{number:04d}" for number in range(400)]
    subdivisions = [f"DE-{number:03d}" for number in range(400)]
    wide = build_bundle(here=HERE, packs=[pack("p", groups={"G": jurisdictions + subdivisions}), *starter()])
    with pytest.raises(BorderpostError, match="BP0217"):
        compile_policy(wide, {"eu": RegionSpec(country="DE")})


def test_events_over_another_policy_are_a_mistake() -> None:
    bundle = build_bundle(here=HERE, packs=starter())
    policy, other = (compile_policy(bundle, {"eu": RegionSpec(country="DE")}) for _ in range(2))
    with pytest.raises(ValueError, match="another policy"):
        decide(Facts((), ()), policy, compile_events(EventList(), other), 0)


def test_a_bundle_refuses_inconsistency_however_it_is_made() -> None:
    with pytest.raises(ValidationError):
        PolicyBundle.model_validate({"here": {"country": "DE"}})  # default_classes names a class that nobody defines
