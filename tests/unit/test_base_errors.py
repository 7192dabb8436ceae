"""The error registry, the exception that carries a place, and strict models' errors told to a person."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from pydantic import field_validator

from borderpost_base.errors import ERRORS, NOWHERE, BadValue, BorderpostError, Place, Problems, find_spec
from borderpost_base.strict import StrictModel, known_keys, validate
from borderpost_base.yaml_source import load_yaml


class Probe(StrictModel):
    kind: Literal["http", "tcp"]
    interval_s: float = 2.0


class Treat(StrictModel):
    treat_as: list[str]


class Inner(StrictModel):
    workers: int = 1
    mode: str = "0660"

    @field_validator("mode")
    @classmethod
    def _octal(cls, value: str) -> str:
        if not re.fullmatch("0[0-7]{3}", value):
            raise BadValue("BP0104", f"`{value}` is no octal mode", mend='Write it as "0660".')
        return value


class Outer(StrictModel):
    server: Inner = Inner()
    probes: dict[str, Probe] = {}
    unknown: Literal["refuse"] | Treat = "refuse"
    names: list[Inner] = []
    must: str


def problems(text: str) -> list[BorderpostError]:
    with pytest.raises(Problems) as caught:
        validate(Outer, load_yaml(text.encode(), "c.yaml"))
    return list(caught.value.errors)


def test_every_code_has_its_area_and_all_its_texts() -> None:
    for code, spec in ERRORS.items():
        assert re.fullmatch(r"BP[0-9]{4}", code)
        assert spec.code == code
        for text in (spec.title, spec.cause, spec.mend):
            assert text.strip() == text != ""
        assert spec.cause.endswith("."), code
        assert spec.mend.endswith((".", "?")), code
        assert not spec.title.endswith("."), code


def test_an_unregistered_code_cannot_be_raised() -> None:
    with pytest.raises(KeyError):
        find_spec("BP9999")
    with pytest.raises(KeyError):
        BorderpostError("BP9999", "x")


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (NOWHERE, ""),
        (Place("a.yaml"), "a.yaml"),
        (Place("a.yaml", 3), "a.yaml:3"),
        (Place("a.yaml", 3, 5, "x.y"), "a.yaml:3:5: x.y"),
        (Place(key="x.y"), "x.y"),
        (Place("a.yaml", None, 5), "a.yaml"),
    ],
)
def test_a_place_is_written_as_compilers_do(place: Place, text: str) -> None:
    assert str(place) == text


def test_an_error_says_where_what_and_how_to_mend_it() -> None:
    error = BorderpostError("BP0103", "`here` is required", place=Place("c.yaml", 1))
    assert str(error) == "BP0103 c.yaml:1: `here` is required (mend: Add the key.)"
    assert error.as_dict() == {
        "code": "BP0103",
        "title": "missing key",
        "detail": "`here` is required",
        "place": {"file": "c.yaml", "line": 1},
        "mend": "Add the key.",
    }


def test_no_problems_are_no_exception() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Problems([])


def test_every_mistake_is_told_at_once_with_its_line() -> None:
    found = problems("server:\n  wrokers: 2\n  mode: 'x'\nprobes:\n  eu:\n    kind: udp\n")
    told = {(e.code, e.place.line, e.place.key) for e in found}
    assert told == {
        ("BP0102", 2, "server.wrokers"),
        ("BP0104", 3, "server.mode"),
        ("BP0104", 6, "probes.eu.kind"),
        ("BP0103", 1, "must"),
    }


def test_an_unknown_key_names_the_nearest_known_one() -> None:
    (error,) = problems("must: x\nserver:\n  wrokers: 2\n")
    assert error.mend == "did you mean `workers`?"
    (error,) = problems("must: x\nserver:\n  zzz: 2\n")
    assert error.mend == "known keys here: mode, workers"


def test_keys_inside_mappings_lists_and_unions_are_known_too() -> None:
    assert known_keys(Outer, ("probes", "anything")) == ["interval_s", "kind"]
    assert known_keys(Outer, ("names", 0)) == ["mode", "workers"]
    assert known_keys(Outer, ("unknown",)) == ["treat_as"]
    (error,) = problems("must: x\nprobes:\n  eu:\n    kind: tcp\n    intervall_s: 1\n")
    assert error.mend == "did you mean `interval_s`?"


def test_the_branches_of_a_union_make_one_error() -> None:
    (error,) = problems("must: x\nunknown: permit\n")
    assert (error.code, error.place.line) == ("BP0104", 2)
    assert "; or " in error.detail


def test_an_error_of_ours_keeps_its_mend_and_gets_the_place() -> None:
    (error,) = problems("must: x\nserver:\n  mode: '9'\n")
    assert (error.mend, error.place.line) == ('Write it as "0660".', 3)


@pytest.mark.parametrize("text", ["[1]", "just text", "42"])
def test_a_file_that_is_no_mapping_is_a_problem(text: str) -> None:
    (error,) = problems(text)
    assert error.code == "BP0104"


def test_a_problem_set_by_a_flag_names_the_flag() -> None:
    document = load_yaml(b"must: x", "c.yaml")
    document.override(("server", "workers"), "many", "BORDERPOST_SERVER__WORKERS")
    with pytest.raises(Problems) as caught:
        validate(Outer, document)
    assert str(caught.value.errors[0].place) == "BORDERPOST_SERVER__WORKERS: server.workers"
