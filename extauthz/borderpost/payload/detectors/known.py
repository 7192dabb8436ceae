"""The detectors that a configuration can name; each is imported, with its library, only where it is named."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from borderpost.payload.detectors import Detector
from borderpost_base.errors import BorderpostError


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What a configuration says of one detector."""

    name: str
    """One of `DETECTORS`."""
    data_class: str
    """The data class that a finding brings."""
    only: tuple[str, ...] = ()
    """What to look for, where there is a choice (`DetectorKind.choice`); none: the detector's default."""


@dataclass(frozen=True, slots=True)
class DetectorKind:
    """One detector that can be named."""

    name: str
    about: str
    """What it finds, in a few words."""
    choice: str | None
    """What `DetectorSettings.only` names, in a few words; None where there is no choice."""
    extra: str | None
    """The optional extra of the package that has its library; None where it needs none."""
    module: str
    """Our module, with `make(settings) -> Detector`."""


_HOME: Final = "borderpost.payload.detectors"

DETECTORS: Final[Mapping[str, DetectorKind]] = {
    kind.name: kind
    for kind in (
        DetectorKind("cards", "numbers of payment cards", None, "payload", f"{_HOME}.cards"),
        DetectorKind("ibans", "bank accounts (IBAN)", None, "payload", f"{_HOME}.ibans"),
        DetectorKind("national-ids", "numbers of people", "numbers such as `de.idnr`", "payload", f"{_HOME}.national"),
        DetectorKind("phones", "telephone numbers", "countries whose national form counts", "payload",
                     f"{_HOME}.phones"),
        DetectorKind("email", "e-mail addresses", None, None, f"{_HOME}.email"),
        DetectorKind("presidio", "what Microsoft Presidio's patterns find", "entities such as `US_SSN`", "presidio",
                     f"{_HOME}.presidio"),
    )
}  # fmt: skip
"""Every detector by its name."""


def make_detectors(settings: Iterable[DetectorSettings]) -> tuple[Detector, ...]:
    """Make detectors, in the order given; imports their libraries.

    Raises BorderpostError: BP1309 for a library that is not installed, BP1310 for a name or a choice that is unknown.
    """
    return tuple(_make(one) for one in settings)


def _make(settings: DetectorSettings) -> Detector:
    kind = DETECTORS.get(settings.name)
    if kind is None:
        near = difflib.get_close_matches(settings.name, DETECTORS, n=1)
        mend = f"did you mean `{near[0]}`?" if near else f"one of {', '.join(f'`{name}`' for name in DETECTORS)}"
        raise BorderpostError("BP1310", f"`{settings.name}` is no detector", mend=mend)
    if settings.only and kind.choice is None:
        raise BorderpostError("BP1310", f"the detector `{kind.name}` has no choice", mend="leave `only` out")
    try:
        made: Detector = importlib.import_module(kind.module).make(settings)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if kind.extra is None or library == "borderpost":
            raise
        raise BorderpostError(
            "BP1309",
            f"the detector `{kind.name}` needs `{library}`, which is not installed",
            mend=f"pip install 'borderpost[{kind.extra}]'",
        ) from error
    return made
