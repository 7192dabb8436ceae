"""Numbers that states give to people: the written form, and the check of python-stdnum (dates, check digits).

Looked for by default are those that few numbers pass by chance: fewer than one in 150 random strings of digits of the
right length. Of others one in ten or fifty does, so they are looked for only where they are named.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from borderpost.payload.detectors.candidates import form, spelt_out
from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text
from borderpost_base import limits
from borderpost_base.errors import BorderpostError


@dataclass(frozen=True, slots=True)
class NationalId:
    """One number that can be looked for."""

    name: str
    """Country (ISO 3166-1, lower case) and number: `de.idnr`."""
    about: str
    """What people call it."""
    written: tuple[str, ...]
    """Its forms, as `candidates.spelt_out` reads them."""
    by_default: bool = False
    """Looked for without being named."""
    begins: str = ""
    """How its digits begin (a regular expression), where python-stdnum does not look at that."""

    @property
    def module(self) -> str:
        """The module of python-stdnum that checks it."""
        country, _, number = self.name.partition(".")
        return f"stdnum.{country + '_' if country in {'in', 'is'} else country}.{number}"


_BETWEEN: Final = re.compile(r"[^0-9A-Za-z]+")
_DATE: Final = r"\d\d[01]\d[0-3]\d"
"""Year, month and day."""
_ELEVEN: Final = ("0{11}",)
_THIRTEEN: Final = ("0{13}",)
_BELGIAN: Final = ("0{11}", "00[. ]00[. ]00[ -]000[ .-]00")

NATIONAL_IDS: Final = {
    one.name: one
    for one in (
        NationalId("be.bis", "Belgian BIS number", _BELGIAN, True),
        NationalId("be.nn", "Belgian national number", _BELGIAN, True),
        NationalId("bg.egn", "Bulgarian personal number", ("0{10}", "0{6} 000 0")),
        NationalId("br.cpf", "Brazilian CPF", ("0{11}", "000.000.000-00")),
        NationalId("ca.sin", "Canadian social insurance number", ("0{9}", "000 000 000", "000-000-000")),
        NationalId("ch.ssn", "Swiss AHV number", ("0{13}", "000.0000.0000.00"), True, "756"),
        NationalId("cl.rut", "Chilean RUT", ("00?.000.000-[0a]", "0{7}0?-[0a]")),
        NationalId("cn.ric", "Chinese resident identity number", ("0{17}[0a]",), True),
        NationalId("cz.rc", "Czech birth number", ("0{6}/?0000?",)),
        NationalId("de.idnr", "German tax identification number", ("0{11}", "00 000 000 000"), True, "[1-9]"),
        NationalId("dk.cpr", "Danish CPR number", ("0{6}-?0{4}",)),
        NationalId("ee.ik", "Estonian personal code", _ELEVEN, True, "[1-8]" + _DATE),
        NationalId("es.dni", "Spanish DNI", ("0{8}[ -]?a",), True),
        NationalId("es.nie", "Spanish NIE", ("a-?0{7}[ -]?a",), True),
        NationalId("fi.hetu", "Finnish personal identity code", ("0{6}[-+a]000[0a]",), True),
        NationalId("fr.nir", "French social security number",
                   ("0{15}", "0{6}a0{8}", "0 00 00 0[0a] 000 000 ?00"), True,
                   r"[1-478]\d\d(?:0[1-9]|1[0-2]|[23]\d|4[0-2]|[5-9]\d)"),
        NationalId("gb.nhs", "British NHS number", ("0{10}", "000[ -]000[ -]0000")),
        NationalId("gr.amka", "Greek AMKA", _ELEVEN, True, r"[0-3]\d[01]\d"),
        NationalId("hr.oib", "Croatian OIB", _ELEVEN),
        NationalId("id.nik", "Indonesian NIK", ("0{16}",)),
        NationalId("ie.pps", "Irish PPS number", ("0{7}aa?",)),
        NationalId("il.idnr", "Israeli identity number", ("0{9}", "0{8}-0")),
        NationalId("in.aadhaar", "Indian Aadhaar number", ("0{12}", "0000[ -]0000[ -]0000")),
        NationalId("in.pan", "Indian PAN", ("a{5}0{4}a",)),
        NationalId("is.kennitala", "Icelandic kennitala", ("0{6}-?0{4}",), True, r"[0-7]\d[01]\d"),
        NationalId("it.codicefiscale", "Italian codice fiscale", ("a{6}00a00a000a",), True),
        NationalId("kr.rrn", "South Korean resident registration number", ("0{6}-?0{7}",), True, _DATE),
        NationalId("lt.asmens", "Lithuanian personal code", _ELEVEN),
        NationalId("mx.curp", "Mexican CURP", ("a{4}0{6}a{6}[0a]0",), True),
        NationalId("nl.bsn", "Dutch BSN", ("0{9}", "0000.00.000")),
        NationalId("no.fodselsnummer", "Norwegian birth number", ("0{6} ?0{5}",), True, r"[0-7]\d"),
        NationalId("pl.pesel", "Polish PESEL", _ELEVEN),
        NationalId("pt.cc", "Portuguese citizen card", ("0{8} ?0 ?[0a][0a]0",)),
        NationalId("ro.cnp", "Romanian CNP", _THIRTEEN, True, r"[1-9]\d\d[01]\d[0-3]"),
        NationalId("se.personnummer", "Swedish personal number", ("0{6}[-+]?0{4}", "0{8}[-+]?0{4}"), True),
        NationalId("si.emso", "Slovenian EMŠO, and JMBG elsewhere", _THIRTEEN, True, r"[0-3]\d[01]\d[09]"),
        NationalId("th.pin", "Thai identity number", ("0{13}", "0-0000-00000-00-0")),
        NationalId("tr.tckimlik", "Turkish identity number", _ELEVEN),
        NationalId("us.ssn", "US social security number", ("000-00-0000",)),
        NationalId("za.idnr", "South African identity number", ("0{13}", "0{6} 0{4} 0 ?0 ?0"), True, _DATE),
    )
}  # fmt: skip
"""Every number that can be looked for, by its name."""


class _Check:
    """The check of one number."""

    def __init__(self, one: NationalId) -> None:
        self._check: Callable[[str], bool] = importlib.import_module(one.module).is_valid
        self._begins = re.compile(one.begins)

    def holds(self, piece: str, compact: str) -> bool:
        """Say whether a piece passes; `compact` is the piece without what stands between its characters."""
        return self._begins.match(compact) is not None and self._is_valid(piece)

    def _is_valid(self, piece: str) -> bool:
        try:
            return self._check(piece)
        except KeyError:  # cn.ric of python-stdnum 2.2, for a county that it does not know
            return False


class NationalIds:
    """Finds numbers that states give to people."""

    name = "national-ids"

    def __init__(self, data_class: str, ids: Iterable[NationalId]) -> None:
        self.data_class = data_class
        checks: dict[str, list[_Check]] = {}
        for one in ids:
            check = _Check(one)
            for spelling in (spelling for written in one.written for spelling in spelt_out(written)):
                checks.setdefault(spelling, []).append(check)
        self._forms = [(form(spelling, re.escape(spelling)), tuple(those)) for spelling, those in checks.items()]

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        left = limits.DETECTOR_CANDIDATES_MAX
        for one_form, checks in self._forms:
            searched = text if one_form.characters_before > 2 else text.numbers
            for piece in set(one_form.pieces(searched)):
                left -= 1
                if left < 0 or _is_one(piece.upper(), checks):
                    return True
        return False


def make(settings: DetectorSettings) -> NationalIds:
    """Make the detector for the numbers named, or for those looked for by default. Raises BorderpostError BP1310."""
    for name in settings.only:
        if name not in NATIONAL_IDS:
            near = difflib.get_close_matches(name, NATIONAL_IDS, n=1)
            mend = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(NATIONAL_IDS)}"
            raise BorderpostError("BP1310", f"`{name}` is no number of people that is known here", mend=mend)
    chosen = tuple(
        one for one in NATIONAL_IDS.values() if (one.name in settings.only if settings.only else one.by_default)
    )
    return NationalIds(settings.data_class, chosen)


def _is_one(piece: str, checks: Iterable[_Check]) -> bool:
    compact = _BETWEEN.sub("", piece)
    varied = len(set(compact)) > 1  # of a row of one digit nobody's number is made
    return varied and any(check.holds(piece, compact) for check in checks)
