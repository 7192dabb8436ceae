"""The detector on Microsoft Presidio, with the real library: forms, words before weak ones, and nothing in logs."""

from __future__ import annotations

import importlib.util
import logging
import socket
from collections.abc import Iterator

import pytest

from borderpost.payload.detectors import Detector
from borderpost.payload.detectors.known import DetectorSettings, make_detectors
from borderpost.payload.texts import Text
from borderpost_base import limits
from borderpost_base.errors import BorderpostError

pytestmark = [
    pytest.mark.full,
    pytest.mark.filterwarnings("default"),  # of what the library imports
    pytest.mark.skipif(importlib.util.find_spec("presidio_analyzer") is None, reason="needs presidio-analyzer"),
]
ENTITIES = ("US_PASSPORT", "US_SSN", "UK_NINO", "US_MBI", "IT_FISCAL_CODE")


@pytest.fixture(scope="module")
def detector() -> Iterator[Detector]:
    (made,) = make_detectors([DetectorSettings("presidio", "personal", ENTITIES)])
    yield made


@pytest.mark.parametrize(
    "text",
    ["my passport number is 123456789", "PASSPORT: 123456789", "ssn 212-09-9999 it is", "social security: 212 09 9998",
     "the NINO is AB123456C", "medicare beneficiary 1EG4-TE5-MK73", "RSSMRA85T10A562S"],
)  # fmt: skip
def test_what_presidio_knows_is_found(detector: Detector, text: str) -> None:
    assert detector.finds(Text(text))


@pytest.mark.parametrize("text", ["123456789", "order 212099998 of today", "a passport is needed", "", "hello"])
def test_a_weak_form_without_a_word_for_it_is_left_alone(detector: Detector, text: str) -> None:
    assert not detector.finds(Text(text))


def test_more_weak_forms_than_are_looked_at_count_as_a_finding(detector: Detector) -> None:
    few = " , ".join(str(212_091_000 + number) for number in range(20))
    many = " , ".join(str(212_091_000 + number) for number in range(limits.DETECTOR_WINDOWS_MAX + 1))
    assert not detector.finds(Text(few))
    assert detector.finds(Text(many))


def test_it_logs_nothing_and_asks_nobody(
    detector: Detector, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with caplog.at_level(logging.DEBUG, logger="root"):
        assert detector.finds(Text("passport 123456789, mail jane@example.org, see https://example.org"))
    assert "123456789" not in caplog.text
    assert detector.name == "presidio"
    assert detector.data_class == "personal"


@pytest.mark.parametrize(
    ("only", "words"),
    [((), "name entities"), (("PERSON",), "one of ABA_ROUTING_NUMBER"), (("US_SSM",), "did you mean `US_SSN`?"),
     (("EMAIL_ADDRESS",), "the detector `email`")],
)  # fmt: skip
def test_entities_are_those_that_need_no_language_model(only: tuple[str, ...], words: str) -> None:
    with pytest.raises(BorderpostError) as caught:
        make_detectors([DetectorSettings("presidio", "x", only)])
    assert caught.value.code == "BP1310"
    assert words in caught.value.mend
