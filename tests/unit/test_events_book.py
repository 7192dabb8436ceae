"""Signed lists: what a whole one says, and that no edit of one goes unnoticed."""

from __future__ import annotations

import base64
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from borderpost.config.events import signers_from
from borderpost.events.book import SignedList, continued
from borderpost.events.heartbeat import check_against, read_heartbeat
from borderpost.events.lines import GENESIS, line_digest
from borderpost.events.signing import SignerKey, form_digest, key_digest, public_pem, sign
from borderpost_base.errors import BorderpostError, Place, Problems
from support.signed_lists import BEGINNING, SOURCE, ListWriter, everything, fault, read

HOUR = timedelta(hours=1)


def edited(line: bytes, **changes: Any) -> bytes:
    """Return a line with fields changed, in canonical form."""
    return orjson.dumps({**orjson.loads(line), **changes}, option=orjson.OPT_SORT_KEYS)


LIST = everything()
HEARTBEAT = LIST.heartbeat(BEGINNING + HOUR)


def found(lines: list[bytes]) -> SignedList | None:
    """Return what is left of an edited list before its first fault; None where nothing is wrong, heartbeat included."""
    known = read(lines, LIST.signers)
    if known.problems:
        return known
    try:
        check_against(read_heartbeat(HEARTBEAT, LIST.signers, Place("heartbeat")), known)
    except BorderpostError as error:
        assert error.code == "BP1012"
        return known
    return None


def test_a_list_says_what_was_signed() -> None:
    known = read(LIST.lines, LIST.signers)
    assert known.problems == ()
    assert (known.length, known.head) == (7, line_digest(LIST.lines[-1]))
    assert (known.file.length, known.file.head) == (known.length, known.head)
    assert [event.id for event in known.events][:3] == ["ev-1", "ev-2", "ev-3"]
    assert [[approval.by for approval in event.approvals] for event in known.events] == [
        ["ada"], ["ada", "bo"], ["ada", "bo"], [], ["bo"],
    ]  # fmt: skip
    first, second = known.events[2].approvals
    assert (first.at, second.at) == (BEGINNING + timedelta(seconds=2), BEGINNING + timedelta(seconds=3))
    assert [event.recorded_at for event in known.events] == [BEGINNING + timedelta(seconds=n) for n in (0, 1, 2, 5, 6)]
    assert known.events[3].trigger == "strait"
    assert known.events[1].scope.countries == ("US",)
    assert known.event_list().events == known.events
    assert known.at == BEGINNING + timedelta(seconds=6)


def test_an_empty_list_is_one() -> None:
    known = read([], LIST.signers)
    assert (known.problems, known.length, known.head, known.file.head) == ((), 0, GENESIS, None)


def test_approvals_can_be_checked_again_by_anybody_with_the_public_key() -> None:
    known = read(LIST.lines, LIST.signers)
    for event in known.events:
        for approval in event.approvals:
            again = sign(known.forms[event.id], LIST.keys[approval.by], approval.by)
            assert (again.sig, again.key) == (approval.signature, approval.key)


@given(st.data())
def test_a_changed_byte_is_found(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(LIST.lines) - 1))
    line = bytearray(LIST.lines[number])
    at = data.draw(st.integers(0, len(line) - 1))
    line[at] ^= data.draw(st.integers(1, 255))
    left = found([*LIST.lines[:number], bytes(line), *LIST.lines[number + 1 :]])
    assert left is not None
    # Where the line itself looks right, the next one, or the heartbeat after the last, says that it is another.
    assert left.length in (number, number + 1)
    assert left.events[: number // 2] == read(LIST.lines, LIST.signers).events[: number // 2]


@given(st.data())
def test_a_list_whose_lines_are_others_or_elsewhere_is_found(data: st.DataObject) -> None:
    count = len(LIST.lines)
    one, other = data.draw(st.lists(st.integers(0, count - 1), min_size=2, max_size=2, unique=True))
    lines = list(LIST.lines)
    how = data.draw(st.sampled_from(["drop", "swap", "repeat", "move", "cut", "replace", "end"]))
    if how == "drop":
        del lines[one]
    elif how == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif how == "repeat":
        lines.insert(other, lines[one])
    elif how == "move":
        lines.insert(other, lines.pop(one))
    elif how == "cut":
        lines = lines[:one]
    elif how == "replace":
        lines[one] = lines[other]
    else:
        lines[one] = lines[one][: data.draw(st.integers(0, len(lines[one]) - 1))]
    left = found(lines)
    assert left is not None
    assert left.digests == read(LIST.lines, LIST.signers).digests[: len(left.digests)]


@given(st.integers(0, 7), st.integers(0, 7))
def test_reading_on_gives_what_reading_all_gives(one: int, other: int) -> None:
    first, second = sorted((one, other))
    whole = read(LIST.lines, LIST.signers)
    known = read(LIST.lines[:first], LIST.signers)
    known = continued(known, LIST.lines[max(0, first - 1) : second], LIST.signers)
    known = continued(known, LIST.lines[max(0, second - 1) :], LIST.signers)
    assert known == whole
    assert known.event_list().digest == whole.event_list().digest


@pytest.mark.parametrize("lines", [[], LIST.lines[:1]])
def test_reading_on_notices_that_the_list_was_exchanged(lines: list[bytes]) -> None:
    known = read(LIST.lines[:3], LIST.signers)
    with pytest.raises(BorderpostError, match="BP1012") as caught:
        continued(known, lines, LIST.signers)
    assert caught.value.place == Place(SOURCE, 3)


def test_what_stands_above_a_fault_holds_and_a_mended_list_goes_on() -> None:
    broken = [*LIST.lines[:2], edited(LIST.lines[2], body={"id": "x"}), *LIST.lines[3:]]
    known = read(broken, LIST.signers)
    assert [event.id for event in known.events] == ["ev-1", "ev-2"]
    assert (known.length, known.file.length) == (2, 2)
    with pytest.raises(Problems):
        known.event_list()
    assert continued(known, LIST.lines[1:], LIST.signers) == read(LIST.lines, LIST.signers)


def test_every_faulty_line_is_told_as_long_as_the_chain_holds() -> None:
    writer = ListWriter()
    writer.put("event", {"id": "x"}, "ada")
    writer.add("ev-1")
    writer.add("ev-1")
    writer.add("ev-2", at=BEGINNING - HOUR)
    known = read(writer.lines, writer.signers)
    assert [(error.code, error.place.line) for error in known.problems] == [("BP1001", 1), ("BP1007", 3), ("BP1003", 4)]
    assert (known.length, known.events) == (0, ())


def test_faults_that_are_told_are_bounded() -> None:
    writer = ListWriter()
    for _ in range(120):
        writer.put("event", {}, "ada")
    assert len(read(writer.lines, writer.signers).problems) == 100


# Who signed


def test_a_widening_event_with_one_signature_waits() -> None:
    writer = ListWriter()
    writer.add("ev-1")
    writer.add("ev-2", type="lift", scope={}, ends="ev-1")
    known = read(writer.lines, writer.signers)
    assert known.problems == ()
    later = int((BEGINNING + HOUR).timestamp() * 1e6)
    assert known.event_list().in_force(later) == ("ev-1",)
    writer.approve("ev-2", "bo")
    assert read(writer.lines, writer.signers).event_list().in_force(later) == ("ev-2",)


def test_a_signature_by_a_stranger_is_refused() -> None:
    writer, stranger = ListWriter(), ListWriter("eve")
    line = stranger.add("ev-1", "eve")
    error = fault(writer, [line])
    assert (error.code, error.place) == ("BP1005", Place(SOURCE, 1))
    assert "`eve`" in error.detail


def test_a_known_name_with_another_key_is_refused() -> None:
    writer, other = ListWriter(), ListWriter()
    assert fault(writer, [other.add("ev-1")]).code == "BP1005"


def test_a_signature_made_for_something_else_is_refused() -> None:
    writer = ListWriter()
    moved = orjson.loads(writer.add("ev-1"))["signatures"]
    line = edited(ListWriter.add(writer, "ev-2"), seq=0, prev=GENESIS, signatures=moved)
    error = fault(writer, [line])
    assert error.code == "BP1004"


def test_a_heartbeat_s_or_trigger_s_signature_is_none_on_an_event() -> None:
    writer = ListWriter()
    body = orjson.loads(writer.add("ev-1"))["body"]
    for kind in ("trigger", "heartbeat"):
        form = b"borderpost %s v1\n" % kind.encode() + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        other = ListWriter()
        other.keys, other.signers = writer.keys, writer.signers
        other.put("event", body, "ada", form=form)
        assert fault(other).code == "BP1004"


@pytest.mark.parametrize("by", [("ada", "ada"), ("ada", "bo", "ada")])
def test_nobody_signs_twice(by: tuple[str, ...]) -> None:
    writer = ListWriter()
    writer.add("ev-1", *by)
    assert fault(writer).code == "BP1006"


def test_two_names_with_one_key_are_one_person() -> None:
    writer = ListWriter()
    key = writer.keys["ada"]
    writer.keys["bo"] = key
    writer.signers = signers_from({"ada": key.public_key(), "bo": key.public_key()})
    writer.add("ev-1", "ada", "bo")
    error = fault(writer)
    assert error.code == "BP1006"
    assert "one key" in error.detail


def test_two_names_with_one_key_are_one_person_for_approvals_too() -> None:
    writer = ListWriter()
    key = writer.keys["ada"]
    writer.keys["bo"] = key
    writer.signers = signers_from({"ada": key.public_key(), "bo": key.public_key()})
    writer.add("ev-1")
    writer.approve("ev-1", "bo")
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP1006", 2)


def test_the_same_person_does_not_approve_what_they_signed() -> None:
    writer = ListWriter()
    writer.add("ev-1")
    writer.approve("ev-1", "ada")
    assert fault(writer).code == "BP1006"


def test_an_event_needs_a_signature() -> None:
    writer = ListWriter()
    writer.put("event", orjson.loads(ListWriter().add("ev-1"))["body"])
    assert fault(writer).code == "BP1006"


def test_a_line_has_a_bounded_number_of_signatures() -> None:
    writer = ListWriter(*(f"p{n}" for n in range(17)))
    with pytest.raises(ValueError, match="at most 16"):
        writer.add("ev-1", *writer.keys)


def test_a_replaced_key_counts_for_what_was_appended_before() -> None:
    writer = ListWriter()
    public = writer.keys["ada"].public_key()
    until = BEGINNING + timedelta(seconds=1)
    signers = {**writer.signers, "ada": (SignerKey(key_digest(public), public, until),)}
    writer.add("ev-1", at=until - timedelta(microseconds=1))
    assert read(writer.lines, signers).problems == ()
    writer.add("ev-2", at=until)
    (error,) = read(writer.lines, signers).problems
    assert (error.code, error.place.line) == ("BP1005", 2)


# Approvals


def test_an_approval_is_of_an_event_above_it() -> None:
    writer = ListWriter()
    form = b"x"
    writer.put("approval", {"event": "ev-1", "digest": form_digest(form)}, "bo", form=form)
    assert fault(writer).code == "BP1008"


def test_an_approval_of_another_event_of_this_name_is_refused() -> None:
    writer, other = ListWriter(), ListWriter()
    writer.add("ev-1", reason="this one")
    other.add("ev-1", reason="that one")
    other.keys, other.signers = writer.keys, writer.signers
    theirs = read(other.lines, ListWriter().signers)
    assert theirs.problems  # other keys: what follows signs that other event with ours
    body = orjson.loads(other.lines[0])["body"]
    form = b"borderpost legal event v1\n" + orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    writer.put("approval", {"event": "ev-1", "digest": form_digest(form)}, "bo", form=form)
    assert fault(writer).code == "BP1008"


def test_an_approval_moved_to_another_event_is_refused() -> None:
    writer = ListWriter()
    writer.add("ev-1")
    writer.add("ev-2")
    known = read(writer.lines, writer.signers)
    body = {"event": "ev-2", "digest": form_digest(known.forms["ev-2"])}
    writer.put("approval", body, "bo", form=known.forms["ev-1"])
    assert fault(writer).code == "BP1004"


@pytest.mark.parametrize("by", [(), ("bo", "cy")])
def test_an_approval_has_one_signature(by: tuple[str, ...]) -> None:
    writer = ListWriter("ada", "bo", "cy")
    writer.add("ev-1")
    form = read(writer.lines, writer.signers).forms["ev-1"]
    writer.put("approval", {"event": "ev-1", "digest": form_digest(form)}, *by, form=form)
    assert fault(writer).code == "BP1006"


def test_approvals_have_a_bound() -> None:
    writer = ListWriter(*(f"p{n}" for n in range(17)))
    writer.add("ev-1", "p0")
    form = read(writer.lines, writer.signers).forms["ev-1"]
    for name in list(writer.keys)[1:]:
        writer.put("approval", {"event": "ev-1", "digest": form_digest(form)}, name, form=form)
    error = fault(writer)
    assert (error.code, error.place.line) == ("BP1006", 17)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_openssl_finds_each_signature_good_over_the_form_that_the_guide_tells(tmp_path: Path) -> None:
    checked = 0
    for line in map(orjson.loads, LIST.lines):
        if line["kind"] == "approval":
            continue
        what = {"event": b"legal event", "trigger": b"trigger"}[line["kind"]]
        body = orjson.dumps(line["body"], option=orjson.OPT_SORT_KEYS)
        (tmp_path / "form").write_bytes(b"borderpost " + what + b" v1\n" + body)
        for signature in line["signatures"]:
            (tmp_path / "pub.pem").write_bytes(public_pem(LIST.keys[signature["by"]].public_key()))
            (tmp_path / "sig").write_bytes(base64.b64decode(signature["sig"]))
            words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", "form"]
            done = subprocess.run([*words, "-sigfile", "sig"], cwd=tmp_path, capture_output=True, text=True, timeout=30)
            assert (done.returncode, "Verified Successfully" in done.stdout) == (0, True), done.stderr
            checked += 1
    assert checked == 6
