"""The built-in packs as data: each says where it is from, stands with what it builds on, and fits to the others."""

from __future__ import annotations

import datetime
import itertools
from pathlib import Path

import pytest
import yaml

import borderpost.policy
from borderpost.config.packs import built_in_packs
from borderpost.policy import built_in, codes
from borderpost.policy.bundle import build_bundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.pack import AllowEntry, PolicyPack, Regime
from borderpost.policy.places import Places, group_cells, mentioned_in
from borderpost.policy.schema import Here, InlineRules, RegionSpec
from borderpost_base.errors import BorderpostError
from support.policy_builder import Court

WORLD = built_in_packs("world")
BY_ID = {pack.metadata.id: pack for pack in WORLD}
REGIMES = [regime for pack in WORLD for regime in pack.regimes]
GROUPS = {name: group for pack in WORLD for name, group in pack.groups.items()}
HOME = {"domestic", "intra-eea", "not-of-concern"}
"""Bases that no legal event takes away: the data stays at home, or the law does not restrict where it goes."""


def test_every_pack_file_is_listed_and_bears_its_name() -> None:
    folder = Path(borderpost.policy.__file__).parent / "packs"
    assert {file.stem for file in folder.iterdir()} == set(built_in.PACKS) == set(BY_ID)
    assert len(built_in.PACKS) == len(set(built_in.PACKS))


@pytest.mark.parametrize("name", built_in.PACKS)
def test_a_pack_stands_alone_with_what_it_builds_on(name: str) -> None:
    packs = built_in_packs(name)
    assert [pack.metadata.id for pack in packs] == list(dict.fromkeys([*BY_ID[name].metadata.builds_on, name]))
    bundle = build_bundle(here=Here(country="DE"), packs=packs)
    assert compile_policy(bundle, {"r": RegionSpec(country="DE")}).regimes is not None


def test_the_starter_collection_has_what_it_always_had() -> None:
    ids = {regime.id for pack in built_in_packs("starter") for regime in pack.regimes}
    assert ids == {
        "eu-gdpr", "uk-gdpr", "ch-fadp", "ae-pdpl", "ae-difc", "ae-adgm", "sg-pdpa", "in-dpdp", "in-rbi-payment",
        "in-uidai", "br-lgpd", "us-general", "us-28cfr202", "ofac-comprehensive", "ofac-syria", "ofac-ukraine-regions",
    }  # fmt: skip


def test_the_world_holds_every_pack_in_one_order() -> None:
    assert [pack.metadata.id for pack in WORLD] == list(built_in.PACKS)
    assert built_in.COLLECTIONS["world"][: len(built_in.STARTER)] == built_in.COLLECTIONS["starter"]


def test_names_collide_nowhere() -> None:
    for first, second in itertools.combinations(WORLD, 2):
        assert not first.groups.keys() & second.groups.keys()
        assert not first.data_classes.keys() & second.data_classes.keys()
    assert len(REGIMES) == len({regime.id for regime in REGIMES})
    counters = [counter.id for regime in REGIMES for counter in regime.counters]
    assert len(counters) == len(set(counters))
    assert not set(built_in.COLLECTIONS) & set(built_in.PACKS)


@pytest.mark.parametrize("pack", WORLD, ids=lambda pack: pack.metadata.id)
def test_a_pack_says_when_it_was_read_and_when_to_read_it_again(pack: PolicyPack) -> None:
    metadata = pack.metadata
    assert metadata.not_legal_advice is True
    assert metadata.review_by is not None
    assert datetime.timedelta(0) < metadata.review_by - metadata.as_of <= datetime.timedelta(days=183)
    assert metadata.builds_on == (() if metadata.id == "base" else ("base",))


def entries() -> list[tuple[Regime, AllowEntry]]:
    return [(regime, entry) for regime in REGIMES for entry in regime.allow]


def test_every_basis_has_its_own_source() -> None:
    unsourced = [
        f"{regime.id}/{entry.basis}"
        for regime, entry in entries()
        if entry.source is None and entry.confidence == "sourced" and entry.basis not in HOME
    ]
    assert unsourced == []
    assert all(regime.source for regime in REGIMES)
    assert all(group.source for group in GROUPS.values() if not isinstance(group, tuple))


def test_what_an_event_can_take_away() -> None:
    kept = {f"{regime.id}/{entry.basis}" for regime, entry in entries() if not entry.revocable}
    home = {f"{regime.id}/{entry.basis}" for regime, entry in entries() if entry.basis in HOME}
    assert kept == home
    for regime, entry in entries():
        assert entry.revocable or (entry.require is None) == (entry.basis != "not-of-concern"), regime.id


@pytest.mark.parametrize(
    "doubtful",
    [
        "ch-fadp/dpo-annex1", "ch-fadp/ch-scc", "ae-pdpl/ae-contract", "ae-difc/difc-adequacy", "jp-appi/cbpr",
        "au-app/app8-reasonable-steps", "us-fedramp/fedramp-high", "ru-152fz/art12-transfer",
    ],
)  # fmt: skip
def test_what_needs_review_says_so(doubtful: str) -> None:
    regime_id, _, name = doubtful.partition("/")
    assert {e.confidence for r, e in entries() if (r.id, e.basis) == (regime_id, name)} == {"needs-review"}


EU27 = [
    "AT", "BE", "BG", "HR", "CY", "CZ", "DK", "EE", "FI", "FR", "DE", "GR", "HU", "IE", "IT", "LV", "LT", "LU",
    "MT", "NL", "PL", "PT", "RO", "SK", "SI", "ES", "SE",
]  # fmt: skip
INSIDE = ["GP", "MQ", "GF", "RE", "YT", "MF", "AX"]
OUTSIDE = ["FO", "GL", "NC", "PF", "PM", "WF", "BL", "TF", "AW", "CW", "SX", "BQ", "SJ", "CH", "GB", "XK"]


def members(group: str) -> set[str]:
    places = Places(mentioned_in(GROUPS.values()))
    cells = group_cells(GROUPS, places)[group]
    return {code for code in codes.COUNTRIES if not places[code].cells & ~cells}


def test_the_union_the_area_and_the_territories_inside_them() -> None:
    """TEU Art. 52, TFEU Art. 349 and 355, EEA Agreement; Switzerland, the United Kingdom and Kosovo are in neither."""
    assert members("EU") == {*EU27, *INSIDE}
    assert members("EEA") == {*EU27, *INSIDE, "IS", "LI", "NO"}
    assert not members("EEA") & set(OUTSIDE)


def test_every_country_is_of_concern_or_not() -> None:
    """28 CFR 202.601; Hong Kong and Macao belong to China."""
    assert members("US_COUNTRIES_OF_CONCERN") == {"CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE"}
    assert members("US_NOT_OF_CONCERN") == codes.COUNTRIES - members("US_COUNTRIES_OF_CONCERN")


def test_the_territories_of_the_united_states() -> None:
    """Each is a country of ISO 3166-1 and listed below US in ISO 3166-2."""
    assert members("US_AND_TERRITORIES") == {
        "US",
        *(own for below, own in codes.OWN_CODE.items() if below[:3] == "US-"),
    }


def test_the_world_is_every_country_and_what_is_abroad_is_the_rest() -> None:
    assert members("WORLD") == codes.COUNTRIES
    assert members("CN_ABROAD") == codes.COUNTRIES - {"CN"}


def test_every_class_but_public_is_protected() -> None:
    for name in BY_ID["base"].data_classes:
        law = Court(
            regions={"us": {"country": "US", "retention": "none", "telemetry": "none"}},
            here={"country": "US"},
            packs=(BY_ID["base"],),
            no_regime="refuse",
        ).ask(geoip="DE", classes=(name,))
        assert law.reason == ("ok" if name == "public" else "no-regime")


def test_only_base_has_words_that_others_share() -> None:
    assert not [pack.metadata.id for pack in WORLD if pack.data_classes and pack.metadata.id != "base"]
    assert not BY_ID["base"].regimes


def test_files_are_plain_yaml_that_other_readers_understand_too() -> None:
    """`NO` is quoted wherever it stands: a reader of YAML 1.1 would make a boolean of it."""
    for name in built_in.PACKS:
        assert PolicyPack.model_validate(yaml.safe_load(built_in.pack_text(name).read_bytes())) == BY_ID[name]


def test_the_whole_world_is_one_policy() -> None:
    bundle = build_bundle(here=Here(country="DE"), packs=WORLD, policy=InlineRules())
    assert len(compile_policy(bundle, {"r": RegionSpec(country="DE")}).regimes) == len(REGIMES)


@pytest.mark.parametrize("name", ["../starter", "", "starter.yaml", "world", "starter"])
def test_only_packs_have_text(name: str) -> None:
    with pytest.raises(BorderpostError, match="BP0213"):
        built_in.pack_text(name)


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(BorderpostError, match="eu-gdrp") as caught:
        built_in.members("eu-gdrp")
    assert caught.value.mend == "did you mean `eu-gdpr`?"
