"""Place codes: ISO 3166-1 alpha-2 countries, and what counts as a place inside a country.

A code is a country (`DE`) or a country with a suffix of 1 to 8 capital letters or digits: an ISO 3166-2
subdivision (`CA-QC`, `UA-43`, suffix of at most three) or, with four and more, a jurisdiction that ISO does not
know (`AE-DIFC`). The two kinds may overlap (the DIFC lies in `AE-DU`), two of one kind never do.
Only the country is checked against a list: subdivisions change several times a year.
"""

from __future__ import annotations

import difflib
import functools
import re
from typing import Final

from borderpost_base.errors import BorderpostError

_TABLE = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
ISO_3166_1: Final = frozenset(_TABLE.split())
"""The 249 officially assigned alpha-2 codes of ISO 3166-1."""

USER_ASSIGNED: Final = frozenset({"XK"})
"""Kosovo: ISO reserves XA–XZ for users; XK is what GeoIP databases and EU bodies write."""

COUNTRIES: Final = ISO_3166_1 | USER_ASSIGNED
"""Every country code that policy, regions and evidence may name."""

RESERVED: Final[dict[str, str]] = {"UK": "GB", "EL": "GR"}
"""Codes that EU institutions write, and the ISO code meant."""

OWN_CODE: Final[dict[str, str]] = {
    **{f"FR-{code}": code for code in ("BL", "GF", "GP", "MF", "MQ", "NC", "PF", "PM", "RE", "TF", "WF", "YT")},
    **{f"NL-{code}": code for code in ("AW", "CW", "SX")},
    **{f"NL-BQ{number}": "BQ" for number in (1, 2, 3)},
    **{f"US-{code}": code for code in ("AS", "GU", "MP", "PR", "UM", "VI")},
    **{f"CN-{code}": code for code in ("HK", "MO", "TW")},
    "FI-01": "AX",
    "NO-21": "SJ",
    "NO-22": "SJ",
}
"""Places that ISO 3166-2 lists below one country and ISO 3166-1 as a country of its own. Law tells them apart from
the country (`FR-NC` is not in the EU), so the country code is the only one that rules may use."""

ISO_SUFFIX_MAX: Final = 3
"""Longest suffix of ISO 3166-2, in characters; a longer one is a jurisdiction that ISO does not know."""

PATTERN: Final = "^[A-Z]{2}(-[A-Z0-9]{1,8})?$"
"""The form of a code, for JSON Schemas; which countries there are it does not say."""

_CODE = re.compile(r"([A-Z]{2})(?:-([A-Z0-9]{1,8}))?")


def split_code(code: str) -> tuple[str, str | None]:
    """Return country and suffix of a code. Raises BorderpostError BP0201 or BP0202 with the likely mend."""
    if not isinstance(code, str):
        raise _not_text(code)
    found = _CODE.fullmatch(code)
    if found is None:
        raise _malformed(code)
    if found[1] not in COUNTRIES:
        raise _unknown(code, found[1])
    if code in OWN_CODE:
        mend = f"did you mean `{OWN_CODE[code]}`?"
        raise BorderpostError("BP0202", f"`{code}` has a country code of its own", mend=mend)
    return found[1], found[2]


def is_code(code: str) -> bool:
    """Say whether the code is well formed and its country known; evidence may use those of `OWN_CODE`, rules not."""
    found = _CODE.fullmatch(code)
    return found is not None and found[1] in COUNTRIES


def looks_like_code(text: str) -> bool:
    """Say whether a reader would take the text for a place code, right or wrong."""
    return text in RESERVED or bool(re.fullmatch(r"[A-Za-z]{2}([-_][A-Za-z0-9]+)?|[A-Za-z]{2,3}-.*", text))


def is_iso_suffix(suffix: str) -> bool:
    """Say whether a suffix is an ISO 3166-2 subdivision rather than another jurisdiction."""
    return len(suffix) <= ISO_SUFFIX_MAX


def _not_text(code: object) -> BorderpostError:
    if isinstance(code, bool):
        mend = 'quote it: "NO" is Norway, and some YAML readers make a boolean of it'
        return BorderpostError(
            "BP0202", f"a boolean (`{str(code).lower()}`) stands where a code is expected", mend=mend
        )
    return BorderpostError("BP0202", f"`{code}` is not text; a code such as `DE` is expected")


def _malformed(code: str) -> BorderpostError:
    upper = code.upper().replace("_", "-").strip()
    if _CODE.fullmatch(upper):
        if upper[:2] in RESERVED:
            upper = RESERVED[upper[:2]] + upper[2:]
        return BorderpostError("BP0202", f"`{code}` is not written as a code", mend=f"did you mean `{upper}`?")
    return BorderpostError("BP0202", f"`{code}` is not a place code")


def _unknown(code: str, country: str) -> BorderpostError:
    if country in RESERVED:
        meant = RESERVED[country] + code[2:]
        return BorderpostError("BP0201", f"`{country}` is not an ISO 3166-1 code", mend=f"did you mean `{meant}`?")
    near = _nearest(country)
    mend = f"nearest known: {', '.join(near)}" if near else None
    return BorderpostError("BP0201", f"`{country}` is not an ISO 3166-1 code", mend=mend)


@functools.cache  # of two letters there are 676 pairs
def _nearest(country: str) -> list[str]:
    return difflib.get_close_matches(country, sorted(COUNTRIES), n=3, cutoff=0.5)
