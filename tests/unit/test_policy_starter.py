"""The starter pack, fact by fact: each case is a sentence of law with its source, asked as a question."""

from __future__ import annotations

from typing import Any

import pytest

from borderpost.policy.model import Ruling
from borderpost.policy.places import Places, group_cells, mentioned_in
from support.policy_builder import Court, starter

PACK = starter()


def where(country: str, *certifications: str, contracts: tuple[str, ...] = (), tia: bool = False) -> dict[str, Any]:
    place, _, suffix = country.partition("-")
    built: dict[str, Any] = {"country": place, "contracts": list(contracts)}
    if suffix:
        built["subdivision"] = country
    return built | {"operator": {"certifications": list(certifications)}} | ({"tia": "approved"} if tia else {})


def basis(subject: str, region: dict[str, Any], *, data: str = "personal", at: str = "2026-11-20") -> str | None:
    """Return the basis on which data of a subject may go to a region, None if it may not.

    The gateway stands in the region itself, so that only the region is judged.
    """
    court = Court(regions={"r": region}, here=region, packs=(PACK,), no_regime="refuse")
    law = court.ask(token=subject, geoip=subject, classes=(data,), at=at)
    return law.bases["r"] if law.legal else None


EU27 = [
    "AT",
    "BE",
    "BG",
    "HR",
    "CY",
    "CZ",
    "DK",
    "EE",
    "FI",
    "FR",
    "DE",
    "GR",
    "HU",
    "IE",
    "IT",
    "LV",
    "LT",
    "LU",
    "MT",
    "NL",
    "PL",
    "PT",
    "RO",
    "SK",
    "SI",
    "ES",
    "SE",
]
SPECIAL_INSIDE = ["GP", "MQ", "GF", "RE", "YT", "MF", "AX"]
SPECIAL_OUTSIDE = ["FO", "GL", "NC", "PF", "PM", "WF", "BL", "TF", "AW", "CW", "SX", "BQ", "SJ", "CH", "GB", "XK"]


@pytest.mark.parametrize("code", [*EU27, *SPECIAL_INSIDE, "IS", "LI", "NO"])
def test_the_eea_and_the_territories_inside_it(code: str) -> None:
    """TEU Art. 52, TFEU Art. 349 and 355, EEA Agreement."""
    assert basis(code, where("DE")) == "eu-gdpr/intra-eea"
    assert basis("DE", where(code)) == "eu-gdpr/intra-eea"


@pytest.mark.parametrize("code", SPECIAL_OUTSIDE)
def test_territories_outside_eu_law(code: str) -> None:
    """TFEU Art. 355(2) and (5); Switzerland, the United Kingdom and Kosovo are in neither EU nor EEA."""
    places = Places(mentioned_in(PACK.groups.values()))
    assert not places[code].cells & group_cells(PACK.groups, places)["EEA"]


def test_the_groups_have_their_sizes() -> None:
    assert [len(PACK.groups[name]) for name in ("EU27", "EU_SPECIAL")] == [27, 7]  # type: ignore[arg-type]


DPF, SCC = where("US", "eu-us-dpf"), where("US", contracts=("scc-2021",), tia=True)

TRANSFERS = [
    # GDPR Art. 45, adequacy decisions
    *(
        ("DE", where(code), "eu-gdpr/art45")
        for code in ["AD", "AR", "FO", "GG", "IL", "IM", "JP", "JE", "NZ", "KR", "CH", "UY"]
    ),
    # Brazil, 26/27 January 2026
    ("DE", where("BR"), "eu-gdpr/art45"),
    # Canada: commercial organisations under PIPEDA
    ("DE", where("CA"), None),
    ("DE", where("CA", "pipeda"), "eu-gdpr/art45-pipeda"),
    # United Kingdom, to 27 December 2031
    ("DE", where("GB"), "eu-gdpr/art45"),
    # United States: recipients certified under the Data Privacy Framework only
    ("DE", where("US"), None),
    ("DE", DPF, "eu-gdpr/art45-dpf"),
    # GDPR Art. 46: standard contractual clauses with a transfer impact assessment
    ("DE", SCC, "eu-gdpr/art46-scc"),
    ("DE", where("US", contracts=("scc-2021",)), None),
    ("DE", where("IN", contracts=("scc-2021",), tia=True), "eu-gdpr/art46-scc"),
    ("DE", where("SG"), None),
    ("DE", where("GI"), None),
    ("DE", where("GL"), None),
    ("DE", where("NC"), None),
    # UK: the EEA and Gibraltar, the EU-adequate countries as of exit, Korea, the US by the extension, IDTA, addendum
    ("GB", where("GB"), "uk-gdpr/domestic"),
    ("GB", where("DE"), "uk-gdpr/uk-adequacy"),
    ("GB", where("GI"), "uk-gdpr/uk-adequacy"),
    *(
        ("GB", where(code), "uk-gdpr/uk-adequacy")
        for code in ["AD", "AR", "FO", "GG", "IL", "IM", "JP", "JE", "NZ", "CH", "UY", "KR"]
    ),
    ("GB", where("CA", "pipeda"), "uk-gdpr/uk-adequacy-pipeda"),
    ("GB", where("BR"), None),
    ("GB", where("US"), None),
    ("GB", DPF, None),
    ("GB", where("US", "uk-us-bridge"), "uk-gdpr/uk-us-bridge"),
    ("GB", where("US", contracts=("uk-idta",), tia=True), "uk-gdpr/uk-idta"),
    ("GB", where("US", contracts=("uk-addendum",), tia=True), "uk-gdpr/uk-addendum"),
    # Switzerland: Annex 1 of the Data Protection Ordinance; the US for certified recipients
    ("CH", where("CH"), "ch-fadp/domestic"),
    ("CH", where("DE"), "ch-fadp/dpo-annex1"),
    ("CH", where("US"), None),
    ("CH", DPF, None),
    ("CH", where("US", "swiss-us-dpf"), "ch-fadp/dpo-annex1-dpf"),
    ("CH", where("CA", "pipeda"), "ch-fadp/dpo-annex1-pipeda"),
    ("CH", where("US", contracts=("ch-scc",), tia=True), "ch-fadp/ch-scc"),
    # UAE: federal law onshore, DIFC and ADGM with laws of their own
    ("AE", where("AE"), "ae-pdpl/domestic"),
    ("AE", where("DE"), None),
    ("AE", where("DE", contracts=("ae-contract",)), "ae-pdpl/ae-contract"),
    ("AE-DIFC", where("AE-DIFC"), "ae-difc/domestic"),
    ("AE-DIFC", where("AE"), None),
    ("AE-DIFC", where("DE"), "ae-difc/difc-adequacy"),
    ("AE-DIFC", where("US", contracts=("difc-scc",)), "ae-difc/difc-scc"),
    ("AE-ADGM", where("AE-ADGM"), "ae-adgm/domestic"),
    ("AE-ADGM", where("AE-DIFC"), None),
    ("AE-ADGM", where("GB"), "ae-adgm/adgm-adequacy"),
    ("AE-ADGM", where("US", contracts=("adgm-scc",)), "ae-adgm/adgm-scc"),
    # Singapore: PDPA s. 26, regs 10 to 12
    ("SG", where("SG"), "sg-pdpa/domestic"),
    ("SG", where("DE"), None),
    ("SG", where("DE", contracts=("sg-enforceable",)), "sg-pdpa/sg-enforceable"),
    ("SG", where("US", "apec-cbpr"), "sg-pdpa/sg-cbpr"),
    ("SG", where("US", "apec-prp"), "sg-pdpa/sg-prp"),
    # India: DPDP s. 16, a negative list on which nobody stands
    ("IN", where("US"), "in-dpdp/s16-not-restricted"),
    ("IN", where("CN"), "in-dpdp/s16-not-restricted"),
    # Brazil: LGPD Art. 33, ANPD Res. 32/2026 (EU and EEA), Res. 19/2024 (SCCs)
    ("BR", where("BR"), "br-lgpd/domestic"),
    ("BR", where("DE"), "br-lgpd/anpd-adequacy"),
    ("BR", where("US"), None),
    ("BR", where("US", contracts=("br-scc",)), "br-lgpd/br-scc"),
    # US: no general localisation
    ("US", where("DE"), "us-general/no-localisation"),
    ("US", where("CN"), "us-general/no-localisation"),
    # Places without a law in the pack
    ("KE", where("KE"), None),
    ("JP", where("JP"), None),
    ("GI", where("GI"), None),
]


@pytest.mark.parametrize(
    ("subject", "region", "expected"),
    TRANSFERS,
    ids=[f"{s}-{r['country']}-{e}-{n}" for n, (s, r, e) in enumerate(TRANSFERS)],
)
def test_transfers(subject: str, region: dict[str, Any], expected: str | None) -> None:
    assert basis(subject, region) == expected


DATED = [
    # EU: Brazil from 27 January 2026; United Kingdom until 27 December 2031
    ("DE", where("BR"), "2026-01-27"),
    ("DE", where("GB"), "-2031-12-27"),
    # UK: Korea 19 December 2022; US by the extension 12 October 2023
    ("GB", where("KR"), "2022-12-19"),
    ("GB", where("US", "uk-us-bridge"), "2023-10-12"),
    # Switzerland: certified recipients in the US since 15 September 2024
    ("CH", where("US", "swiss-us-dpf"), "2024-09-15"),
    # Brazil recognises the EU and the EEA from the same day
    ("BR", where("DE"), "2026-01-27"),
]


@pytest.mark.parametrize(("subject", "region", "day"), DATED, ids=[f"{s}-{r['country']}{d}" for s, r, d in DATED])
def test_dates(subject: str, region: dict[str, Any], day: str) -> None:
    begins = not day.startswith("-")
    day = day.removeprefix("-")
    last = basis(subject, region, at=f"{day[:8]}{int(day[8:]) - 1:02d}T23:59:59.999999Z")
    first = basis(subject, region, at=f"{day}T00:00:00Z")
    assert (last is None, first is None) == ((True, False) if begins else (False, True))


@pytest.mark.parametrize("data", ["health", "biometric", "genomic", "precise-geo", "financial", "payment"])
@pytest.mark.parametrize("country", ["CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE"])
def test_us_sensitive_data_and_countries_of_concern(data: str, country: str) -> None:
    """28 CFR 202.601, in force from 8 April 2025."""
    assert basis("US", where(country), data=data) is None
    if country not in ("CU", "IR", "KP"):
        assert basis("US", where(country), data=data, at="2025-04-07T23:59:59.999999Z") is not None
        assert basis("US", where(country), data=data, at="2025-04-08T00:00:00Z") is None
    assert basis("US", where("DE"), data=data) == "us-general/no-localisation"


@pytest.mark.parametrize("data", ["health", "financial"])
def test_uae_health_and_banking_data_stay(data: str) -> None:
    """Federal Decree-Law 45/2021 leaves both to laws of their own."""
    assert basis("AE", where("DE", contracts=("ae-contract",)), data=data) is None
    assert basis("AE", where("AE"), data=data) == "ae-pdpl/domestic"


def test_indian_payment_data_stay() -> None:
    """Reserve Bank of India."""
    assert basis("IN", where("US"), data="payment") is None
    assert basis("IN", where("IN"), data="payment") == "in-dpdp/s16-not-restricted,in-rbi-payment/domestic"


EVERYWHERE = {"eu": where("DE", "eu-us-dpf"), "us": DPF, "ae": where("AE")}


@pytest.mark.parametrize("code", ["CU", "IR", "KP", "UA-43", "UA-40", "UA-14", "UA-09"])
def test_embargoes(code: str) -> None:
    """OFAC: Cuba, Iran, North Korea; Executive Orders 13685 and 14065 (regions of Ukraine)."""
    court = Court(regions=EVERYWHERE, packs=(PACK,), no_regime="allow")
    for said in ({"geoip": code}, {"header": code, "geoip": "DE"}, {"token": code, "geoip": "DE"}):
        assert court.ask(**said).reason == "embargo"


@pytest.mark.parametrize(("at", "embargoed"), [("2025-07-01T03:59:59.999999Z", True), ("2025-07-01T04:00:00Z", False)])
def test_syria_ended(at: str, embargoed: bool) -> None:
    """Executive Order 14312: ended on 1 July 2025, Washington time."""
    court = Court(regions=EVERYWHERE, packs=(PACK,), no_regime="allow")
    assert (court.ask(geoip="SY", at=at).reason == "embargo") is embargoed


def test_ukraine_known_only_as_a_country() -> None:
    reasons = {
        treatment: Court(
            regions=EVERYWHERE, packs=(PACK,), no_regime="allow", evidence={"subdivision_unknown": treatment}
        ).ask(geoip="UA")
        for treatment in ("country-only", "strictest", "refuse")
    }
    assert [law.reason for law in reasons.values()] == ["ok", "embargo", "subdivision-unknown"]
    assert all(law.subdivision_unknown for law in reasons.values())


def test_everything_has_a_source_and_the_pack_says_what_it_is() -> None:
    assert PACK.metadata.not_legal_advice is True
    assert PACK.metadata.as_of.isoformat() == "2026-11-20"
    assert all(regime.source for regime in PACK.regimes)
    unsourced = [
        f"{regime.id}/{entry.basis}"
        for regime in PACK.regimes
        for entry in regime.allow
        if entry.source is None and entry.confidence == "sourced" and entry.basis not in ("domestic", "intra-eea")
    ]
    assert unsourced == []


@pytest.mark.parametrize(
    "doubtful", ["ch-fadp/dpo-annex1", "ch-fadp/ch-scc", "ae-pdpl/ae-contract", "ae-difc/difc-adequacy"]
)
def test_what_needs_review_says_so(doubtful: str) -> None:
    regime_id, _, name = doubtful.partition("/")
    (entry,) = [e for r in PACK.regimes if r.id == regime_id for e in r.allow if e.basis == name]
    assert entry.confidence == "needs-review"


def test_data_classes() -> None:
    sensitive = {"financial", "payment", "precise-geo", "health", "biometric", "genomic"}
    assert set(PACK.data_classes) == sensitive | {"public", "personal"}
    court = Court(regions={"us": where("US")}, packs=(PACK,), here=where("US"), no_regime="refuse")
    for data in sensitive | {"personal"}:
        assert court.ask(geoip="DE", classes=(data,)).ruling is Ruling.FORBIDDEN
    assert court.ask(geoip="DE", classes=("public",)).bases["us"] == "unrestricted"
