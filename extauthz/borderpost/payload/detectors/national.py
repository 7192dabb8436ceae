"""Numbers that states give to people: the written form, and the check of python-stdnum (dates, check digits).

Looked for by default are those that few numbers pass by chance: fewer than one in 150 random strings of digits of the
right length. Of others one in ten or fifty does, so they are looked for only where they are named.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from borderpost.payload.detectors.candidates import Shape, any_is, shape
from borderpost.payload.detectors.known import DetectorSettings
from borderpost.payload.texts import Text
from borderpost_base.errors import BorderpostError


@dataclass(frozen=True, slots=True)
class NationalId:
    """One number that can be looked for."""

    name: str
    """Country (ISO 3166-1, lower case) and number: `de.idnr`."""
    about: str
    """What people call it."""
    written: tuple[str, ...]
    """Its forms, as `candidates.shape` reads them."""
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
_TEN: Final = ("00{9}",)
_ELEVEN: Final = ("00{10}",)
_THIRTEEN: Final = ("00{12}",)
_SIX_FIVE: Final = ("00{5} ?0{5}",)
_BELGIAN: Final = ("00{10}", "00[.]00[.]00[ -]000[ .-]00")

NATIONAL_IDS: Final = {
    one.name: one
    for one in (
        NationalId("be.bis", "Belgian BIS number", _BELGIAN, True),
        NationalId("be.nn", "Belgian national number", _BELGIAN, True),
        NationalId("bg.egn", "Bulgarian personal number", _TEN),
        NationalId("br.cpf", "Brazilian CPF", ("00{10}", "000[.]000[.]000-00")),
        NationalId("ca.sin", "Canadian social insurance number", ("00{8}", "000([ -])000(?:\\1)000")),
        NationalId("ch.ssn", "Swiss AHV number", ("00{12}", "000[.]0{4}[.]0{4}[.]00"), True),
        NationalId("cl.rut", "Chilean RUT", ("00?[.]?000[.]?000-[0a]",)),
        NationalId("cn.ric", "Chinese resident identity number", ("00{16}[0a]",), True),
        NationalId("cz.rc", "Czech birth number", ("00{5}/?0{3,4}",)),
        NationalId("de.idnr", "German tax identification number", ("00{10}", "00 000 000 000"), True),
        NationalId("dk.cpr", "Danish CPR number", ("00{5}-?0{4}",)),
        NationalId("ee.ik", "Estonian personal code", _ELEVEN, True),
        NationalId("es.dni", "Spanish DNI", ("00{7}[ -]?a",), True),
        NationalId("es.nie", "Spanish NIE", ("a00{6}[ -]?a",), True),
        NationalId("fi.hetu", "Finnish personal identity code", ("00{5}[-+a]000[0a]",), True),
        NationalId("fr.nir", "French social security number",
                   ("00{14}", "00{5}[0a]0{8}", "0 00 00 0[0a] 000 000 ?00"), True,
                   r"[1-478]\d\d(?:0[1-9]|1[0-2]|[23]\d|4[0-2]|[5-9]\d)"),
        NationalId("gb.nhs", "British NHS number", ("00{9}", "000([ -])000(?:\\1)0{4}")),
        NationalId("gr.amka", "Greek AMKA", _ELEVEN, True),
        NationalId("hr.oib", "Croatian OIB", _ELEVEN),
        NationalId("id.nik", "Indonesian NIK", ("00{15}",)),
        NationalId("ie.pps", "Irish PPS number", ("00{6}a{1,2}",)),
        NationalId("il.idnr", "Israeli identity number", ("00{8}",)),
        NationalId("in.aadhaar", "Indian Aadhaar number", ("00{11}", "0000([ -])0{4}(?:\\1)0{4}")),
        NationalId("in.pan", "Indian PAN", ("aaaaa0000a",)),
        NationalId("is.kennitala", "Icelandic kennitala", ("00{5}-?0{4}",), True),
        NationalId("it.codicefiscale", "Italian codice fiscale", ("aaaaaa00a00a000a",), True),
        NationalId("kr.rrn", "South Korean resident registration number", ("00{5}-?0{7}",), True),
        NationalId("lt.asmens", "Lithuanian personal code", _ELEVEN),
        NationalId("mx.curp", "Mexican CURP", ("aaaa000000a{6}[0a]0",), True),
        NationalId("nl.bsn", "Dutch BSN", ("00{8}",)),
        NationalId("no.fodselsnummer", "Norwegian birth number", _SIX_FIVE, True),
        NationalId("pl.pesel", "Polish PESEL", _ELEVEN),
        NationalId("pt.cc", "Portuguese citizen card", ("00{7} ?0 ?[0a]{2}0",)),
        NationalId("ro.cnp", "Romanian CNP", _THIRTEEN, True),
        NationalId("se.personnummer", "Swedish personal number", ("00{5}[-+]?0{4}", "00{7}[-+]?0{4}"), True),
        NationalId("si.emso", "Slovenian EMŠO, and JMBG elsewhere", _THIRTEEN, True),
        NationalId("th.pin", "Thai identity number", ("00{12}", "0-0{4}-0{5}-00-0")),
        NationalId("tr.tckimlik", "Turkish identity number", _ELEVEN),
        NationalId("us.ssn", "US social security number", ("000-00-0{4}",)),
        NationalId("za.idnr", "South African identity number", ("00{12}", "00{5} 0{4} 0 ?0 ?0"), True),
    )
}  # fmt: skip
"""Every number that can be looked for, by its name."""


class _Sought:
    """One number that is looked for: its shapes, and its check."""

    def __init__(self, one: NationalId) -> None:
        self.shapes = tuple(shape(written) for written in one.written)
        self._check: Callable[[str], bool] = importlib.import_module(one.module).is_valid
        self._begins = re.compile(one.begins)

    def is_one(self, piece: str) -> bool:
        """Say whether a piece of one of the shapes passes the check. Of a row of one digit nobody's number is made."""
        letters_and_digits = _BETWEEN.sub("", piece)
        return (
            len(set(letters_and_digits)) > 1
            and self._begins.match(letters_and_digits) is not None
            and self._is_valid(piece.upper())
        )

    def _is_valid(self, piece: str) -> bool:
        try:
            return self._check(piece)
        except KeyError:  # cn.ric of python-stdnum 2.2, for a county that it does not know
            return False


class NationalIds:
    """Finds numbers that states give to people."""

    name = "national-ids"

    def __init__(self, data_class: str, ids: tuple[NationalId, ...]) -> None:
        self.data_class = data_class
        self._sought = tuple(map(_Sought, ids))

    def finds(self, text: Text) -> bool:
        """Say whether the text holds one."""
        return any(
            any_is((piece for one_shape in sought.shapes for piece in _in(text, one_shape)), sought.is_one)
            for sought in self._sought
        )


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


def _in(text: Text, one_shape: Shape) -> Iterator[str]:
    """Yield the pieces of a shape; one with many digits in a row is only looked for where digits stand close."""
    return one_shape.pieces(text if one_shape.letters_before > 1 else text.numbers)
