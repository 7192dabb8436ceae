"""What the law says, as a table: sentences of law with their sources, and the answers that follow from them."""

from __future__ import annotations

from typing import Any, NamedTuple

TODAY = "2026-11-20"


class Place(NamedTuple):
    """A region and what it brings."""

    code: str
    contract: str | None = None
    certified: str | None = None
    operator: str | None = None
    tia: bool = False

    def spec(self) -> dict[str, Any]:
        country, _, suffix = self.code.partition("-")
        operator: dict[str, Any] = {"certifications": [self.certified] if self.certified else []}
        if self.operator:
            operator["jurisdiction"] = self.operator
        built: dict[str, Any] = {"country": country, "operator": operator}
        built["contracts"] = [self.contract] if self.contract else []
        if suffix:
            built["subdivision"] = self.code
        return built | ({"tia": "approved"} if self.tia else {})


class Case(NamedTuple):
    """May data of a subject go to a region? `says` is the basis, or `no: ` and the reason."""

    source: str
    subject: str
    region: Place
    says: str
    data: str = "personal"
    at: str = TODAY
    packs: tuple[str, ...] = ("world",)
    reached: tuple[tuple[str, int], ...] = ()


ART45, EXIT = "GDPR Art. 45, adequacy decisions", "ICO: countries that were EU-adequate at exit"
ANNEX1, SENSITIVE = "Swiss Data Protection Ordinance, Annex 1", "PIPL Art. 28, Provisions of 22 March 2024 Art. 8"
CN_YEAR, CN_SENSITIVE = "cn-pipl-year", "cn-sensitive-year"
CN_SCC = Place("SG", "cn-standard-contract")
CN_CERTIFIED = Place("SG", certified="cn-pip-certification")
CN_ASSESSED = Place("SG", "cn-security-assessment")
DPF = Place("US", certified="eu-us-dpf")

EUROPE = [
    *(
        Case(ART45, "DE", Place(to), "eu-gdpr/art45")
        for to in ["AD", "AR", "BR", "FO", "GG", "IL", "IM", "JP", "JE", "NZ", "KR", "CH", "UY", "GB"]
    ),
    Case("Adequacy decision for Canada: commercial organisations only", "DE", Place("CA"), "no: eu-gdpr/no-basis"),
    Case("Adequacy decision for Canada", "DE", Place("CA", certified="pipeda"), "eu-gdpr/art45-pipeda"),
    Case("Data Privacy Framework: certified recipients only", "DE", Place("US"), "no: eu-gdpr/no-basis"),
    Case("Data Privacy Framework, T-553/23 Latombe", "DE", DPF, "eu-gdpr/art45-dpf"),
    Case("GDPR Art. 46, clauses of 2021", "DE", Place("IN", "scc-2021", tia=True), "eu-gdpr/art46-scc"),
    Case("C-311/18 Schrems II: clauses and an assessment", "DE", Place("IN", "scc-2021"), "no: eu-gdpr/no-basis"),
    *(
        Case("TFEU Art. 355: outside EU law, and not adequate", "DE", Place(to), "no: eu-gdpr/no-basis")
        for to in ["GL", "NC", "PF", "PM", "WF", "BL", "TF", "AW", "CW", "SX", "BQ", "SJ", "GI", "XK"]
    ),
    Case("UK GDPR: at home", "GB", Place("GB"), "uk-gdpr/domestic"),
    Case("ICO: EEA", "GB", Place("DE"), "uk-gdpr/uk-adequacy"),
    Case("ICO: Gibraltar", "GB", Place("GI"), "uk-gdpr/uk-adequacy"),
    *(
        Case(EXIT, "GB", Place(to), "uk-gdpr/uk-adequacy")
        for to in ["AD", "AR", "FO", "GG", "IL", "IM", "JP", "JE", "NZ", "CH", "UY", "KR"]
    ),
    Case(EXIT, "GB", Place("CA", certified="pipeda"), "uk-gdpr/uk-adequacy-pipeda"),
    Case("ICO: Brazil is on the EU's list, not on the UK's", "GB", Place("BR"), "no: uk-gdpr/no-basis"),
    Case("UK Extension: certified for it, not for the DPF alone", "GB", DPF, "no: uk-gdpr/no-basis"),
    Case("UK Extension to the DPF", "GB", Place("US", certified="uk-us-bridge"), "uk-gdpr/uk-us-bridge"),
    Case("ICO: transfer agreement", "GB", Place("US", "uk-idta", tia=True), "uk-gdpr/uk-idta"),
    Case("ICO: addendum", "GB", Place("US", "uk-addendum", tia=True), "uk-gdpr/uk-addendum"),
    Case("ICO: agreement without assessment", "GB", Place("US", "uk-idta"), "no: uk-gdpr/no-basis"),
    Case(ANNEX1, "CH", Place("CH"), "ch-fadp/domestic"),
    *(Case(ANNEX1, "CH", Place(to), "ch-fadp/dpo-annex1") for to in ["DE", "GB", "AR", "IL", "NZ", "MC"]),
    Case(ANNEX1, "CH", Place("CA", certified="pipeda"), "ch-fadp/dpo-annex1-pipeda"),
    Case(ANNEX1, "CH", DPF, "no: ch-fadp/no-basis"),
    Case(ANNEX1, "CH", Place("US", certified="swiss-us-dpf"), "ch-fadp/dpo-annex1-dpf"),
    Case("FADP: clauses", "CH", Place("US", "ch-scc", tia=True), "ch-fadp/ch-scc"),
]

ASIA = [
    Case("PIPL: at home", "CN", Place("CN"), "cn-pipl/domestic"),
    Case("Hong Kong is outside the mainland", "CN", Place("HK"), "cn-pipl/exempt-small-volume"),
    Case("Provisions Art. 5: fewer than 100,000 persons", "CN", Place("SG"), "cn-pipl/exempt-small-volume"),
    Case(
        "Provisions Art. 5: the 100,000th person",
        "CN",
        Place("SG"),
        "no: cn-pipl/no-basis",
        reached=((CN_YEAR, 99_999),),
    ),
    Case(
        "Provisions Art. 8: standard contract from 100,000",
        "CN",
        CN_SCC,
        "cn-pipl/standard-contract",
        reached=((CN_YEAR, 99_999),),
    ),
    Case(
        "Provisions Art. 8: certification from 100,000",
        "CN",
        CN_CERTIFIED,
        "cn-pipl/certification",
        reached=((CN_YEAR, 99_999),),
    ),
    *(
        Case(
            "Provisions Art. 7: security assessment from 1,000,000",
            "CN",
            region,
            says,
            reached=((CN_YEAR, 99_999), (CN_YEAR, 999_999)),
        )
        for region, says in [
            (CN_SCC, "no: cn-pipl/no-basis"),
            (CN_CERTIFIED, "no: cn-pipl/no-basis"),
            (CN_ASSESSED, "cn-pipl/security-assessment"),
        ]
    ),
    *(
        Case(SENSITIVE, "CN", region, says, data)
        for data in ["health", "biometric", "payment", "precise-geo", "children", "special"]
        for region, says in [
            (Place("SG"), "no: cn-pipl/no-basis"),
            (CN_SCC, "cn-pipl-sensitive/standard-contract"),
        ]
    ),
    *(
        Case(
            "Provisions Art. 7: sensitive data of 10,000 persons",
            "CN",
            region,
            says,
            "health",
            reached=((CN_SENSITIVE, 9_999),),
        )
        for region, says in [
            (CN_SCC, "no: cn-pipl-sensitive/no-basis"),
            (CN_CERTIFIED, "no: cn-pipl-sensitive/no-basis"),
            (CN_ASSESSED, "cn-pipl-sensitive/security-assessment"),
        ]
    ),
    Case("Provisions Art. 7: important data", "CN", CN_SCC, "no: cn-important-data/no-basis", "important-data"),
    Case(
        "Provisions Art. 7: important data",
        "CN",
        CN_ASSESSED,
        "cn-important-data/security-assessment",
        "important-data",
    ),
    Case("DSL: at home", "CN", Place("CN"), "cn-important-data/domestic", "important-data"),
    Case("152-FZ Art. 18(5)", "RU", Place("RU"), "ru-152fz/domestic"),
    Case("152-FZ Art. 18(5): processors too", "RU", Place("DE", "ru-art12-notified"), "no: ru-152fz/no-basis"),
    Case("DPDP s. 16: a negative list on which nobody stands", "IN", Place("US"), "in-dpdp/s16-not-restricted"),
    Case("DPDP s. 16", "IN", Place("CN"), "in-dpdp/s16-not-restricted"),
    Case("Reserve Bank of India: payment data", "IN", Place("US"), "no: in-rbi-payment/no-basis", "payment"),
    Case("Reserve Bank of India: payment data", "IN", Place("IN"), "in-rbi-payment/domestic", "payment"),
    Case("UIDAI", "IN", Place("US"), "no: in-uidai/no-basis", "national-id"),
    Case("UIDAI", "IN", Place("IN"), "in-uidai/domestic", "national-id"),
    Case("PDPL Art. 29: at home", "SA", Place("SA"), "sa-pdpl/domestic"),
    Case("PDPL Art. 29: no list of adequate countries", "SA", Place("DE"), "no: sa-pdpl/no-basis"),
    Case("Transfer regulation: clauses", "SA", Place("DE", "sa-scc", tia=True), "sa-pdpl/sa-scc"),
    Case("Transfer regulation: risk assessment", "SA", Place("DE", "sa-scc"), "no: sa-pdpl/no-basis"),
    Case("Transfer regulation: rules", "SA", Place("DE", "sa-binding-rules", tia=True), "sa-pdpl/sa-binding-rules"),
    Case(
        "Transfer regulation: accreditation",
        "SA",
        Place("DE", certified="sa-accreditation", tia=True),
        "sa-pdpl/sa-accreditation",
    ),
    Case("Decree-Law 45/2021: at home", "AE", Place("AE"), "ae-pdpl/domestic"),
    Case("Decree-Law 45/2021: no regulations, no list", "AE", Place("DE"), "no: ae-pdpl/no-basis"),
    Case("Decree-Law 45/2021: contract", "AE", Place("DE", "ae-contract"), "ae-pdpl/ae-contract"),
    *(
        Case("Decree-Law 45/2021: laws of their own", "AE", region, says, data)
        for data in ["health", "financial", "payment"]
        for region, says in [
            (Place("DE", "ae-contract"), "no: ae-pdpl/no-basis"),
            (Place("AE"), "ae-pdpl/domestic"),
        ]
    ),
    Case("DIFC Law 5/2020: at home", "AE-DIFC", Place("AE-DIFC"), "ae-difc/domestic"),
    Case("DIFC Law 5/2020: onshore is abroad", "AE-DIFC", Place("AE"), "no: ae-difc/no-basis"),
    Case("DIFC Law 5/2020 Art. 26", "AE-DIFC", Place("DE"), "ae-difc/difc-adequacy"),
    Case("DIFC Law 5/2020 Art. 27", "AE-DIFC", Place("US", "difc-scc"), "ae-difc/difc-scc"),
    Case("ADGM 2021: at home", "AE-ADGM", Place("AE-ADGM"), "ae-adgm/domestic"),
    Case("ADGM 2021: the other zone is abroad", "AE-ADGM", Place("AE-DIFC"), "no: ae-adgm/no-basis"),
    Case("ADGM 2021 Part V: adequacy list", "AE-ADGM", Place("GB"), "ae-adgm/adgm-adequacy"),
    Case("ADGM 2021 Part V", "AE-ADGM", Place("US", "adgm-scc"), "ae-adgm/adgm-scc"),
    Case("PDPA s. 26: at home", "SG", Place("SG"), "sg-pdpa/domestic"),
    Case("PDPA s. 26: comparable protection", "SG", Place("DE"), "no: sg-pdpa/no-basis"),
    Case("PDPA regs 10, 11: enforceable", "SG", Place("DE", "sg-enforceable"), "sg-pdpa/sg-enforceable"),
    Case("PDPA reg. 12: CBPR", "SG", Place("US", certified="apec-cbpr"), "sg-pdpa/sg-cbpr"),
    Case("PDPA reg. 12: PRP", "SG", Place("US", certified="apec-prp"), "sg-pdpa/sg-prp"),
    Case("PIPA: at home", "KR", Place("KR"), "kr-pipa/domestic"),
    *(
        Case("PIPA Art. 28-8(1)5: the EU and three more", "KR", Place(to), "kr-pipa/pipc-equivalence")
        for to in ["DE", "IS", "LI", "NO"]
    ),
    Case("PIPA: not resident registration numbers", "KR", Place("DE"), "no: kr-pipa/no-basis", "national-id"),
    Case("PIPA: not personal credit information", "KR", Place("DE"), "no: kr-pipa/no-basis", "credit"),
    Case("PIPA Art. 28-8: nowhere else without ground", "KR", Place("US"), "no: kr-pipa/no-basis"),
    Case("PIPA Art. 28-8(1)3", "KR", Place("US", "kr-entrusted"), "kr-pipa/entrusted"),
    Case("PIPA Art. 28-8(1)4", "KR", Place("US", certified="kr-pipc-certification"), "kr-pipa/certified"),
    Case("APPI: at home", "JP", Place("JP"), "jp-appi/domestic"),
    Case("APPI Art. 28: whitelist, EU", "JP", Place("DE"), "jp-appi/ppc-whitelist"),
    Case("APPI Art. 28: whitelist, UK", "JP", Place("GB"), "jp-appi/ppc-whitelist"),
    Case("APPI Art. 28: nowhere else without ground", "JP", Place("US"), "no: jp-appi/no-basis"),
    Case("APPI Art. 28: equivalent", "JP", Place("US", "jp-equivalent-system"), "jp-appi/equivalent-system"),
    Case("APPI Art. 28: CBPR", "JP", Place("US", certified="apec-cbpr"), "jp-appi/cbpr"),
    Case("APP 8: at home", "AU", Place("AU"), "au-app/domestic"),
    Case("APP 8.1: reasonable steps", "AU", Place("NZ", "au-app8"), "au-app/app8-reasonable-steps"),
    Case("APP 8.3: no country prescribed", "AU", Place("NZ"), "no: au-app/no-basis"),
]

SENSITIVE_DATA = ("health", "biometric", "genomic", "precise-geo", "financial", "payment", "phi")
OF_CONCERN = ("CN", "HK", "MO", "CU", "IR", "KP", "RU", "VE")
BULK = ("us-general", "us-28cfr202-bulk")
AT_HOME, BELOW = Place("DE", operator="US"), Place("CN", operator="CN")
COVERED_PERSON = Place("DE", operator="CN")
THRESHOLDS = {
    "genomic": 100,
    "biometric": 1_000,
    "precise-geo": 1_000,
    "health": 10_000,
    "financial": 10_000,
    "identifiers": 100_000,
}

AMERICAS = [
    Case("LGPD Art. 33: at home", "BR", Place("BR"), "br-lgpd/domestic"),
    Case("ANPD Res. 32/2026: EU and EEA", "BR", Place("NO"), "br-lgpd/anpd-adequacy"),
    Case("LGPD Art. 33", "BR", Place("US"), "no: br-lgpd/no-basis"),
    Case("ANPD Res. 19/2024: clauses", "BR", Place("US", "br-scc"), "br-lgpd/br-scc"),
    Case("PIPEDA: at home", "CA", Place("CA"), "ca-pipeda/domestic"),
    Case("PIPEDA 4.1.3: accountability", "CA", Place("US", "ca-accountability"), "ca-pipeda/accountability"),
    Case("PIPEDA 4.1.3: comparable protection", "CA", Place("US"), "no: ca-pipeda/no-basis"),
    Case("P-39.1 s. 17: inside Québec", "CA-QC", Place("CA-QC"), "ca-qc/domestic"),
    Case("P-39.1 s. 17: other provinces included", "CA-QC", Place("CA-ON"), "no: ca-qc/no-basis"),
    Case("P-39.1 s. 17: a region that may be outside", "CA-QC", Place("CA"), "no: ca-qc/no-basis"),
    Case("P-39.1 s. 17: assessment", "CA-QC", Place("CA-ON", "ca-qc-agreement"), "no: ca-qc/no-basis"),
    Case("P-39.1 s. 17", "CA-QC", Place("CA-ON", "ca-qc-agreement", tia=True), "ca-qc/s17-agreement"),
    Case("P-39.1 s. 17: Ontario is not Québec", "CA-ON", Place("CA"), "ca-pipeda/domestic"),
    Case("No general localisation", "US", Place("DE"), "us-general/no-localisation"),
    Case("No general localisation", "US", Place("CN"), "us-general/no-localisation"),
    *(
        Case("28 CFR 202.601", "US", Place(to), "no: us-28cfr202/country-of-concern", data, packs=("starter",))
        for data in SENSITIVE_DATA[:-1]
        for to in OF_CONCERN
        if to not in ("CU", "IR", "KP")
    ),
    *(
        Case("28 CFR 202.601, elsewhere", "US", Place("DE"), "us-general/no-localisation", data, packs=("starter",))
        for data in SENSITIVE_DATA[:-1]
    ),
    *(
        Case(f"28 CFR 202.205: {data}", "US", region, f"us-28cfr202-{data}/{says}", data, packs=BULK)
        for data in THRESHOLDS
        for region, says in [(AT_HOME, "not-of-concern"), (BELOW, "below-bulk"), (COVERED_PERSON, "below-bulk")]
    ),
    *(
        Case(
            f"28 CFR 202.205: more than {count} of {data}",
            "US",
            region,
            says.format(data),
            data,
            packs=BULK,
            reached=((f"us-28cfr202-{data}", count),),
        )
        for data, count in THRESHOLDS.items()
        for region, says in [
            (AT_HOME, "us-28cfr202-{}/not-of-concern"),
            (BELOW, "no: us-28cfr202-{}/no-basis"),
            (COVERED_PERSON, "no: us-28cfr202-{}/no-basis"),
        ]
    ),
    Case("28 CFR 202.255: territories", "PR", AT_HOME, "us-28cfr202-health/not-of-concern", "health"),
    Case("28 CFR 202.255: territories", "GU", BELOW, "no: us-28cfr202/country-of-concern", "health"),
    Case("28 CFR 202.211: unknown operator", "US", Place("DE"), "no: us-28cfr202-health/no-basis", "health"),
    Case("28 CFR 202: beside the bulk pack", "US", BELOW, "no: us-28cfr202/country-of-concern", "health"),
    Case(
        "45 CFR 164.502(e): no agreement",
        "US",
        AT_HOME,
        "no: us-hipaa/no-business-associate-agreement",
        "phi",
        packs=("us-general", "us-hipaa"),
    ),
    Case(
        "HIPAA: agreement, no localisation",
        "US",
        Place("DE", "hipaa-baa"),
        "us-general/no-localisation",
        "phi",
        packs=("us-general", "us-hipaa"),
    ),
    Case("HIPAA allows nothing by itself", "KE", Place("DE", "hipaa-baa"), "no: policy/no-regime", "phi"),
    Case("FedRAMP: authorised boundary", "US", Place("US"), "no: us-fedramp/no-basis", "federal"),
    *(
        Case("FedRAMP", "US", Place("US", certified=level), says, data)
        for level, data, says in [
            ("fedramp-moderate", "federal", "us-fedramp/fedramp-moderate"),
            ("fedramp-high", "federal", "us-fedramp/fedramp-high"),
            ("fedramp-high", "federal-high", "us-fedramp/fedramp-high"),
            ("fedramp-moderate", "federal-high", "no: us-fedramp/no-basis"),
        ]
    ),
    Case("FedRAMP: abroad", "US", Place("DE", certified="fedramp-high"), "no: us-fedramp/no-basis", "federal"),
    Case(
        "22 CFR 120.54(a)(2)",
        "US",
        Place("US", certified="itar-us-persons", operator="US"),
        "us-itar/us-persons-only",
        "controlled-technical",
    ),
    *(
        Case(f"22 CFR 120.54: {why}", "US", region, "no: us-itar/no-basis", "controlled-technical")
        for why, region in [
            ("foreign persons may reach it", Place("US", operator="US")),
            ("operator of another country", Place("US", certified="itar-us-persons", operator="DE")),
            ("operator unknown", Place("US", certified="itar-us-persons")),
            ("abroad", Place("DE", certified="itar-us-persons", operator="US")),
        ]
    ),
    *(
        Case("OFAC: comprehensive", subject, Place("DE"), f"no: {regime}/embargo")
        for regime, subjects in {
            "ofac-comprehensive": ["CU", "IR", "KP"],
            "ofac-ukraine-regions": ["UA-43", "UA-40", "UA-14", "UA-09"],
        }.items()
        for subject in subjects
    ),
    *(
        Case("OFAC: no region there serves anybody", "DE", Place(to, "scc-2021", tia=True), says)
        for to, says in [
            ("CU", "no: ofac-comprehensive/embargo"),
            ("UA-43", "no: ofac-ukraine-regions/embargo"),
            ("UA-14", "no: ofac-ukraine-regions/embargo"),
            ("UA-32", "eu-gdpr/art46-scc"),
        ]
    ),
    *(
        Case("No law of the place is known", subject, Place(subject), "no: policy/no-regime")
        for subject in ["KE", "GI", "HK", "FO", "SY"]
    ),
]


class Turn(NamedTuple):
    """An instant from which on the answer is another one."""

    source: str
    subject: str
    region: Place
    at: str
    begins: bool
    data: str = "personal"
    packs: tuple[str, ...] = ("world",)


TURNS = [
    Turn("Adequacy decision for Brazil", "DE", Place("BR"), "2026-01-27", True),
    Turn("Adequacy of the UK, to 27 December 2031", "DE", Place("GB"), "2031-12-27", False),
    Turn("UK adequacy regulations for Korea", "GB", Place("KR"), "2022-12-19", True),
    Turn("UK Extension", "GB", Place("US", certified="uk-us-bridge"), "2023-10-12", True),
    Turn("Swiss Annex 1, United States", "CH", Place("US", certified="swiss-us-dpf"), "2024-09-15", True),
    Turn("ANPD Res. 32/2026", "BR", Place("DE"), "2026-01-27", True),
    Turn("Provisions of 22 March 2024", "CN", Place("SG"), "2024-03-22T00:00:00+08:00", True),
    Turn("Provisions of 22 March 2024", "CN", CN_SCC, "2024-03-22T00:00:00+08:00", True, "health"),
    Turn("Certification measures", "CN", CN_CERTIFIED, "2026-01-01T00:00:00+08:00", True, "health"),
    Turn("23-FZ", "RU", Place("DE", "ru-art12-notified"), "2025-07-01T00:00:00+03:00", False),
    Turn("PIPC, 16 September 2025", "KR", Place("DE"), "2025-09-16T00:00:00+09:00", True),
    *(
        Turn("28 CFR 202, 8 April 2025", "US", Place(to), "2025-04-08", False, data, ("starter",))
        for data in ("health", "payment")
        for to in OF_CONCERN
        if to not in ("CU", "IR", "KP")
    ),
    Turn("28 CFR 202.211", "US", Place("DE"), "2025-04-08", False, "health", BULK),
]
