"""Events and triggers as people write them, signed files, conditions of feeds, and what has become of each event."""

from __future__ import annotations

import hashlib
import math
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.cli.output import errors_of
from borderpost.events.documents import SignedDocument, read_document
from borderpost.events.lines import event_body
from borderpost.events.signing import Signature, form_digest, key_digest, sign
from borderpost.events.standing import standings
from borderpost.events.triggers import FeedCondition, Trigger, fired_id
from borderpost.policy.event_schema import EventsFile, LegalEvent
from borderpost_base.errors import BorderpostError, Problems
from support.signed_lists import BEGINNING, ListWriter

EVENT = """\
id: ev-1
type: injunction
scope: {regions: [eu-1], data: health}
effective_from: 2026-11-01
source: a court
reason: an order
"""
TRIGGER = """\
id: strait
when: {feed: alerts, equals: "red"}
event:
  type: region_suspend
  scope: {regions: [eu-1]}
  source: the board
  reason: an alert
valid_until: 2027-01-01
"""


def document(folder: Path, text: str | bytes, name: str = "event.yaml") -> SignedDocument:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_document(file)


def faults(folder: Path, text: str | bytes) -> list[tuple[str, int | None]]:
    with pytest.raises((BorderpostError, Problems)) as caught:
        document(folder, text)
    assert isinstance(caught.value, (BorderpostError, Problems))
    errors = errors_of(caught.value)
    assert {each.place.file for each in errors} == {str(folder / "event.yaml")}
    return [(each.code, each.place.line) for each in errors]


def test_an_event_and_a_trigger_as_people_write_them(tmp_path: Path) -> None:
    event = document(tmp_path, EVENT.replace("data: health", "data: [health]"))
    assert (event.kind, event.signatures) == ("event", ())
    assert event.body == {
        "id": "ev-1",
        "type": "injunction",
        "scope": {"regions": ["eu-1"], "data": ["health"]},
        "effective_from": "2026-11-01T00:00:00.000000Z",
        "source": "a court",
        "reason": "an order",
        "mode": "enforce",
    }
    trigger = document(tmp_path, TRIGGER)
    assert trigger.kind == "trigger"
    assert trigger.body["event"]["scope"] == {"regions": ["eu-1"]}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (EVENT, [("BP0104", 3)]),
        (EVENT.replace("scope", "skope"), [("BP0102", 3)]),
        (EVENT.replace("  ", " ").replace("2026-11-01", "NO"), [("BP0104", 3), ("BP0207", 4)]),
        (EVENT + "id: ev-2\n", [("BP0105", 7)]),
        (EVENT + "recorded_at: 2026-11-01\n", [("BP1016", 7)]),
        (EVENT + "approvals: []\n", [("BP1016", 7)]),
        (EVENT.replace("injunction", "!!python/object:os.system x"), [("BP0101", 2)]),
        ("a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(f"{c}: &{c} [*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p},*{p}]\n"
         for p, c in zip("abcdefg", "bcdefgh", strict=True)), [("BP0106", 1)]),
        ("{" * 500, [("BP0106", 1)]),
        ("- one\n", [("BP0103", 1)] * 5),
        ("", [("BP0103", 1)] * 5),
        (b"\xff\xfe", [("BP0101", 1)]),
        (b"x" * (1 << 20), [("BP1010", None)]),
        ('{"signatures": ', [("BP1001", None)]),
        ('{"signatures": [], "kind": "event", "body": {}}', [("BP1001", None)]),
        ('{"signatures": [], "kind": "order", "body": {}}', [("BP1001", None)]),
        ('{"signatures": [], "kind": "event", "body": {"id": 1.5}}', [("BP1001", None)]),
        ('{"signatures": [], "kind": "trigger", "body": {"id": null}}', [("BP1001", None)]),
        (TRIGGER.replace("region_suspend", "region_restore"), [("BP1017", 4)]),
        (TRIGGER.replace("region_suspend", "threshold_reached"), [("BP1017", 4)]),
        (TRIGGER.replace("scope: {regions: [eu-1]}", "scope: {}"), [("BP0220", 5)]),
        (TRIGGER.replace('equals: "red"', "equals: 1, at_least: 2"), [("BP1017", 2)]),
        (TRIGGER.replace(', equals: "red"', ""), [("BP1017", 2)]),
        (TRIGGER.replace('equals: "red"', "at_least: 1.5"), [("BP0104", 2)]),
        (TRIGGER.replace("id: strait", "id: " + "s" * 41), [("BP0104", 1)]),
        (TRIGGER + "effective_from: 2026-01-01\n", [("BP0102", 9)]),
        (TRIGGER.replace("  source", "  lasting_s: 0\n  source"), [("BP0104", 6)]),
        (TRIGGER.replace("  source", "  lasting_s: 99999999999\n  source"), [("BP0104", 6)]),
    ],
)  # fmt: skip
def test_hostile_and_mistaken_documents_are_told_with_their_lines(
    tmp_path: Path, text: str | bytes, found: list[tuple[str, int | None]]
) -> None:
    assert faults(tmp_path, text) == found


def test_a_file_of_100_mb_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "event.yaml"
    file.touch()
    with file.open("r+b") as handle:
        handle.truncate(100 << 20)
    with pytest.raises(BorderpostError, match="BP1010"):
        read_document(file)


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable() or "\u2028" in text))
def test_a_signed_file_keeps_every_text(text: str) -> None:
    writer = ListWriter()
    event = LegalEvent.model_validate(
        {"id": "ev-1", "type": "region_suspend", "scope": {"regions": ["eu-1"]}, "effective_from": BEGINNING,
         "recorded_at": BEGINNING, "source": "x\u2028y\x85z", "reason": text}
    )  # fmt: skip
    unsigned = SignedDocument(kind="event", body=event_body(event))
    signed = unsigned.model_copy(update={"signatures": (sign(unsigned.form(), writer.keys["ada"], "ada"),)})
    with tempfile.TemporaryDirectory() as folder:
        again = document(Path(folder), signed.to_json(), "event.json")
    assert again == signed
    assert again.form() == signed.form()


def test_signed_forms_differ_by_what_they_are() -> None:
    body = {"id": "x"}
    forms = {SignedDocument.model_validate({"kind": kind, "body": body}).form() for kind in ("event", "trigger")}
    assert len(forms) == 2
    assert all(form_digest(form).startswith("sha256:") for form in forms)


def test_a_key_s_digest_is_of_its_32_bytes() -> None:
    writer = ListWriter()
    for key in writer.keys.values():
        raw = key.public_key().public_bytes_raw()
        assert key_digest(key.public_key()) == "sha256:" + hashlib.sha256(raw).hexdigest()


def test_a_signature_has_one_form() -> None:
    good = sign(b"x", ListWriter().keys["ada"], "ada").model_dump()
    for field, value in (("sig", good["sig"][:-2]), ("sig", good["sig"] + "\n"), ("key", "sha256:x"), ("by", "a b")):
        with pytest.raises(ValueError, match=field):
            Signature.model_validate({**good, field: value})


@pytest.mark.parametrize(
    ("condition", "yes", "no"),
    [
        ({"equals": "red"}, ["red"], ["RED", "", None, True, 1, ["red"]]),
        ({"equals": True}, [True], [False, 1, 1.0, "true", None]),
        ({"equals": False}, [False], [True, 0, 0.0, "", None]),
        ({"equals": 1}, [1, 1.0], [True, "1", 2, None]),
        ({"equals": 0}, [0, 0.0], [False, "", None]),
        ({"at_least": 8}, [8, 8.0, 8.5, 10**30, math.inf], [7, 7.999, True, "9", None, math.nan, [9]]),
        ({"at_least": 0}, [0, 1], [False, True, -1]),
    ],
)
def test_a_condition_holds_for_what_was_meant(condition: dict[str, Any], yes: list[Any], no: list[Any]) -> None:
    when = FeedCondition.model_validate({"feed": "alerts", **condition})
    assert [value for value in yes if not when.holds(value)] == []
    assert [value for value in no if when.holds(value)] == []


@given(st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1)), st.integers(1, 86_400))
def test_what_fires_has_the_time_put_in(at: datetime, lasting_s: int) -> None:
    moment = at.replace(tzinfo=BEGINNING.tzinfo)
    template = {"type": "region_suspend", "scope": {"regions": ["eu-1"]}, "source": "s", "reason": "r"}
    trigger = Trigger.model_validate(
        {"id": "t" * 40, "when": {"feed": "f", "equals": 1}, "event": {**template, "lasting_s": lasting_s},
         "valid_until": "2101-01-01"}
    )  # fmt: skip
    event = trigger.fire(moment)
    assert (event.effective_from, event.recorded_at, event.trigger) == (moment, moment, trigger.id)
    assert event.effective_until == moment + timedelta(seconds=lasting_s)
    assert event.id == fired_id(trigger.id, moment)
    assert not event.widens


def test_every_type_that_narrows_fits_into_a_template() -> None:
    scopes = {"injunction": {"data": ["health"]}, "regulator_order": {"countries": ["US"]},
              "region_suspend": {"regions": ["eu-1"]}, "sanctions_add": {"subjects": ["SY"]},
              "adequacy_revoke": {"bases": ["art45-dpf"]}}  # fmt: skip
    for kind, scope in scopes.items():
        template = {"type": kind, "scope": scope, "source": "s", "reason": "r"}
        Trigger.model_validate(
            {"id": "t", "when": {"feed": "f", "equals": 1}, "event": template, "valid_until": "2027-01-01"}
        )


# What has become of each event

DAY_US = 86_400_000_000


def event(name: str, *signers: str, **changes: Any) -> LegalEvent:
    approvals = [
        {"by": by, "key": "sha256:" + f"{ord(by[0]):064x}", "at": BEGINNING, "signature": "A" * 86 + "=="}
        for by in signers
    ]
    return LegalEvent.model_validate(
        {"id": name, "type": "region_suspend", "scope": {"regions": ["eu-1", "eu-2"]}, "effective_from": BEGINNING,
         "recorded_at": BEGINNING, "source": "s", "reason": "r", "approvals": approvals, **changes}
    )  # fmt: skip


def states(*events: LegalEvent, day: float = 1.0) -> list[tuple[str, str | None]]:
    now_us = int(BEGINNING.timestamp() * 1e6 + day * DAY_US)
    return [(each.state, each.ended_by) for each in standings(EventsFile(events=events), now_us)]


def test_an_event_is_scheduled_in_force_and_ended() -> None:
    one = event("a", "x", effective_from="2026-01-02", effective_until="2026-01-03")
    assert [states(one, day=day) for day in (0.5, 1, 1.5, 2)] == [
        [("scheduled", None)], [("in force", None)], [("in force", None)], [("ended", None)],
    ]  # fmt: skip


def test_what_widens_is_pending_until_two_have_signed() -> None:
    lift = {"type": "lift", "scope": {}, "ends": "a"}
    assert states(event("a", "x"), event("b", **lift)) == [("in force", None), ("pending", None)]
    assert states(event("a", "x"), event("b", "x", **lift)) == [("in force", None), ("pending", None)]
    assert states(event("a", "x"), event("b", "x", "y", **lift)) == [("ended", "b"), ("in force", None)]
    over = {**lift, "effective_until": "2026-01-02"}
    assert states(event("a", "x"), event("b", "x", **over)) == [("in force", None), ("never", None)]


def test_a_suspension_ends_when_all_its_regions_are_restored() -> None:
    def restore(name: str, *regions: str, **changes: Any) -> LegalEvent:
        return event(name, "x", "y", type="region_restore", scope={"regions": list(regions)}, **changes)

    assert states(event("a", "x"), restore("b", "eu-1"))[0] == ("in force", None)
    assert states(event("a", "x"), restore("b", "eu-1"), restore("c", "eu-2"))[0] == ("ended", "c")
    assert states(event("a", "x"), restore("b", "eu-1", "eu-2", mode="drill"))[0] == ("in force", None)
    assert states(restore("b", "eu-1", "eu-2"), event("a", "x"))[1] == ("in force", None)


def test_what_became_known_after_its_end_was_never_in_force() -> None:
    late = event("a", "x", effective_until="2026-01-01T12:00:00Z", recorded_at="2026-01-02")
    assert states(late, day=3) == [("never", None)]


def test_how_late_an_event_was() -> None:
    file = EventsFile(events=(event("a", "x"), event("b", "x", recorded_at="2026-01-02")))
    assert [each.late_us for each in standings(file, 0)] == [0, DAY_US]
    widening = event("c", type="region_restore", recorded_at="2026-01-02")
    assert [each.late_us for each in standings(EventsFile(events=(widening,)), 0)] == [0]
