"""The atoms are complete: any request, drawn at random, has the law of its atoms."""

from __future__ import annotations

from random import Random

import pytest

from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Law, Source
from borderpost.proof.grounds import Side
from borderpost.proof.space import Atom, Space, Whereabouts
from borderpost.proof.standings import BELIEVED, Also, Asking, Doubt
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from support import policy_cases, space_cases
from support.policy_builder import Court, regime
from support.space_cases import Request, law_of, places_of

EVER = to_us(parse_instant("2000-01-01"))
NOW = to_us(parse_instant("2026-11-20"))


def space_of(*courts: Court, **more: object) -> Space:
    return Space([Side(court.policy, court.events) for court in courts], from_us=NOW, **more)  # type: ignore[arg-type]


def legal_by_atoms(space: Space, asked: Request, at_us: int, side: int = 0) -> tuple[set[str], list[Atom]]:
    """Return what is legal for a request by its atoms alone: what is legal for each believed place, or, where none is
    known, for nobody's; nothing where a place in doubt bars it."""
    atoms = list(space.atoms_of(asked.asking, places_of(asked), at_us, stale=asked.stale))
    reader = space.readers[side]
    legal = set(space.sides[side].policy.region_ids)
    for atom, (source, _) in zip(atoms, asked.said, strict=True):
        law = space.law(atom, side)
        if source is not Source.GEOIP or reader.believes(asked.doubt):
            legal &= set(law.legal) if law is not None else set()
        elif space.bars(atom, side):
            legal = set()
    placed = any(
        source is Source.TOKEN or (source is Source.GEOIP and reader.believes(asked.doubt)) for source, _ in asked.said
    )
    if not placed:  # a header alone places nobody; then what holds for nobody's place holds too
        nobody = space.law(atoms[0]._replace(where=Whereabouts(None)), side)
        legal &= set(nobody.legal) if nobody is not None else set()
    return legal, atoms


@pytest.mark.slow
@pytest.mark.parametrize("block", range(6))
def test_a_request_has_the_law_of_its_atoms(block: int) -> None:
    asked_count = 0
    for seed in range(block * 3, block * 3 + 3):
        random = Random(f"space/{seed}")
        space = Space([space_cases.side(space_cases.world(random))], from_us=EVER)
        inside = set(space)
        assert len(inside) == len(space)
        for _ in range(40):
            asked, at_us = space_cases.request(random), to_us(policy_cases.instant(random))
            law = law_of(space, asked, at_us)
            if law is None:
                continue  # refused before the law is asked; a single side has no atom for it
            expected, atoms = legal_by_atoms(space, asked, at_us)
            assert set(atoms) <= inside
            if space.crossing:
                assert set(law.legal) <= expected, (seed, asked, at_us)
            else:
                assert set(law.legal) == expected, (seed, asked, at_us)
            asked_count += 1
            alone = asked.said[0]
            if len(asked.said) == 1 and alone[0] is not Source.HEADER:
                one = space.law(atoms[0])
                assert one is not None
                assert said(one) == said(law), (seed, asked, at_us)
    assert asked_count > 50


def said(law: Law) -> tuple[object, ...]:
    """Return a law without what names the place."""
    return law.ruling, law.reason, law.legal, law.regimes, dict(law.bases), dict(law.refused), law.mode, law.events


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_two_sides_share_their_atoms(seed: int) -> None:
    """What tells requests apart on either side does so in the space of both."""
    random = Random(f"pair/{seed}")
    sides = [space_cases.side(space_cases.world(random)) for _ in range(2)]
    space = Space(sides, from_us=EVER)
    for _ in range(40):
        asked, at_us = space_cases.request(random), to_us(policy_cases.instant(random))
        laws = [law_of(space, asked, at_us, number) for number in range(2)]
        for number, law in enumerate(laws):
            if law is not None:
                expected, _ = legal_by_atoms(space, asked, at_us, number)
                assert set(law.legal) <= expected if space.crossing else set(law.legal) == expected, (seed, asked)


def test_places_that_no_rule_tells_apart_are_one() -> None:
    court = Court(regime("r", ["DE", "UA-43"]), regions={"eu": "DE"})
    grounds = {ground.code: ground.codes for ground in space_of(court).grounds.grounds}
    assert grounds.keys() == {"AD", "DE", "UA"}
    assert grounds["DE"] == ("DE", "UA-43")
    assert "FR" in grounds["AD"]
    assert "UA-ZZ" in grounds["AD"], "the rest of a country that is cut is like any other place"


def test_what_is_asked_about_is_told_apart() -> None:
    court = Court(regime("r", "DE"), regions={"eu": "DE"}, groups={"EU": ["DE", "FR"]})
    space = space_of(court, also=Also(places=("EU", "DE-BY")))
    grounds = {ground.code for ground in space.grounds.grounds}
    assert grounds == {"AD", "DE", "FR", "DE-BY", "DE-ZZ"}
    assert space.grounds.covers(["EU"], "DE-BY")
    assert not space.grounds.covers(["DE-BY"], "DE")


def test_time_is_cut_at_each_date_and_nowhere_else() -> None:
    court = Court(
        regime("r", "DE", allow=[{"to": "DE", "basis": "b", "from": "2027-01-01", "until": "2028-01-01"}]),
        regime("past", "DE", until="2020-01-01"),
        regions={"eu": "DE"},
    )
    starts = [span.from_us for span in space_of(court).spans]
    assert starts == [NOW, to_us(parse_instant("2027-01-01")), to_us(parse_instant("2028-01-01"))]


def test_a_request_that_nobody_asks_the_law_about_has_no_atom() -> None:
    court = Court(regime("r", "DE"), regions={"eu": "DE"}, tenants=("acme",))
    with pytest.raises(ValueError, match="no side"):
        space_of(court).atoms_of(Asking(named="unknown"), [("DE", BELIEVED)], NOW)
    with pytest.raises(ValueError, match="outside"):
        space_of(court).atoms_of(Asking(), [("DE", BELIEVED)], NOW - 1)


def test_doubt_is_an_atom_only_where_somebody_doubts() -> None:
    doubting = Court(regime("r", "DE"), regions={"eu": "DE"})
    believing = Court(
        regime("r", "DE"),
        regions={"eu": "DE"},
        evidence={"geoip": {"anonymiser": "believe", "hosting": "believe", "min_confidence": 0}},
    )
    assert space_of(believing).doubts == ()
    assert [doubt.name for doubt in space_of(doubting, believing).doubts] == ["anonymiser"]
    half = Court(regime("r", "DE"), regions={"eu": "DE"}, evidence={"geoip": {"hosting": "believe"}})
    assert space_of(doubting, half).doubts == (Doubt("anonymiser", 100), Doubt("hosting", 100))


def test_more_kinds_than_one_run_goes_through_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    court = Court(regime("r", "DE"), regions={"eu": "DE"}, tenants=("acme",))
    for name in ("PROOF_ATOMS_MAX", "PROOF_STANDINGS_MAX", "PROOF_DECLARATIONS_MAX"):
        with monkeypatch.context() as patch:
            patch.setattr(limits, name, 1)
            with pytest.raises(BorderpostError, match="BP1202"):
                space_of(court)
