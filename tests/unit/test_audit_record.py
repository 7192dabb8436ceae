"""Records: closed schemas, bounded size, ids and hashes."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borderpost.audit import fields, kinds
from borderpost.audit.profile import ProfileError, check_value
from borderpost.audit.record import (
    NO_RECORD,
    Head,
    RecordMaker,
    decision_id,
    leaf_of,
    parse,
    refusal_counts,
    split_decision_id,
    table_digest,
)
from borderpost_base import limits
from borderpost_base.errors import BorderpostError
from borderpost_base.world import SystemRandomness
from support.audit import decision


def maker() -> RecordMaker:
    return RecordMaker("l" * 128 + "/worker-0", "ab" * 10, SystemRandomness())


def made(kind: str, own: dict[str, Any], *, checked: bool = True) -> bytes:
    before = Head(2**48 - 2, "f" * 64)
    return maker().make(kind, own, before, at_us=1_800_000_000_000_001, mono_us=2**53 - 1, checked=checked)


def largest(kind: kinds.Kind) -> Any:
    """Return the value of a kind whose canonical form is longest."""
    match kind:
        case kinds.Integer():
            return kind.maximum
        case kinds.Boolean():
            return False
        case kinds.Choice():
            return max(kind.words, key=len)
        case kinds.Stamp():
            return "2026-11-21T03:46:16.065764Z"
        case kinds.ListOf():
            return [largest(kind.kind)] * kind.count_max
        case kinds.CountsOf():
            return {f"{n:0{kind.key.bytes_max}d}": kinds.INTEGER_MAX for n in range(kind.count_max)}
        case kinds.Shape():
            return {each.name: largest(each.kind) for each in kind.fields}
        case kinds.Text():
            size = kind.bytes_max
            tried = ['"' * size, "Z" * size, "z" * size, "a" * size, "0" * size, "DE-" + "0" * (size - 3), "2026-11-21"]
            tried += ["sha256:" + "0" * (size - 7), "BP" + "0" * (size - 2), "A" * (size - 1) + "Q"]
            fitting = [text for text in tried if kind.pattern.fullmatch(text)]
            assert fitting, kind
            return max(fitting, key=lambda text: len(orjson.dumps(text)))
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("name", fields.RECORD_TYPES)
def test_the_largest_record_a_schema_allows_is_within_the_limit(name: str) -> None:
    line = made(name, largest(fields.RECORD_TYPES[name].shape))
    assert len(line) <= limits.RECORD_BYTES_MAX
    assert parse(line)["type"] == name
    if name == "decision":
        # The bound is meant: a schema whose largest record were small would prove nothing.
        assert len(line) > limits.RECORD_BYTES_MAX // 2


def test_a_decision_over_300_regions_with_the_longest_names_fits() -> None:
    own = decision()
    refused = [f"regime-{n}".ljust(64, "x") + "/" + f"why-{n}".ljust(128, "y") for n in range(300)]
    own["refused"] = refusal_counts(refused)
    own["cand"] = [{"r": f"{n:0>64}", "ok": False, "why": "down"} for n in range(9)]
    line = made("decision", own)
    record = parse(line)
    assert sum(record["refused"].values()) == 300
    assert len(line) <= limits.RECORD_BYTES_MAX


def test_every_type_named_for_this_version_is_in_the_catalogue() -> None:
    assert set(fields.RECORD_TYPES) == {
        "epoch.open", "decision", "policy.activate", "legal_event.apply", "catalog.activate", "geoip.activate",
        "anonymisers.activate", "limits.activate", "limit.refuse", "limit.refusals",
        "recovery", "gap", "heartbeat", "epoch.close",
    }  # fmt: skip
    assert not fields.RESERVED_TYPES & set(fields.RECORD_TYPES)


def test_every_field_is_told() -> None:
    def walk(kind: kinds.Kind) -> None:
        assert kind.describe()
        if isinstance(kind, kinds.ListOf):
            walk(kind.kind)
        if isinstance(kind, kinds.Shape):
            for each in kind.fields:
                assert each.about.endswith("."), each.name
                assert re.fullmatch(r"[a-z][a-z0-9_]*", each.name)
                walk(each.kind)

    for each in fields.RECORD_TYPES.values():
        assert each.about.endswith(".")
        walk(each.shape)
    walk(fields.COMMON)


def strategy(kind: kinds.Kind) -> st.SearchStrategy[Any]:
    match kind:
        case kinds.Integer():
            return st.integers(kind.minimum, kind.maximum)
        case kinds.Boolean():
            return st.booleans()
        case kinds.Choice():
            return st.sampled_from(kind.words)
        case kinds.Stamp():
            return st.integers(0, 253_402_300_799_999_999).map(kinds.format_stamp)
        case kinds.ListOf():
            return st.lists(strategy(kind.kind), max_size=min(3, kind.count_max))
        case kinds.CountsOf():
            return st.dictionaries(strategy(kind.key), st.integers(0, 2**53 - 1), max_size=3)
        case kinds.Shape():
            return st.fixed_dictionaries(
                {each.name: strategy(each.kind) for each in kind.fields if each.required},
                optional={each.name: strategy(each.kind) for each in kind.fields if not each.required},
            )
        case kinds.Text():
            return st.from_regex(kind.pattern, fullmatch=True).filter(lambda text: accepted(kind, text))
        case _:
            raise AssertionError(kind)


def accepted(kind: kinds.Kind, value: Any) -> bool:
    try:
        kind.check(value)
    except ProfileError:
        return False
    return True


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_schema_accepts_is_inside_the_profile_and_comes_back(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(fields.RECORD_TYPES)))
    own = data.draw(strategy(fields.RECORD_TYPES[name].shape))
    check_value(own)
    record = parse(made(name, own))
    assert {key: record[key] for key in own} == own


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(extra=1), "has no field 'extra'"),
        (lambda r: r.pop("out"), "lacks out"),
        (lambda r: r["req"].update(address="192.0.2.1"), "req: has no field 'address'"),
        (lambda r: r.update(mode="monitor"), "mode: is 'monitor'"),
        (lambda r: r["cand"].append({"r": "x", "ok": 1}), r"cand\[1\]\.ok: is a int"),
        (lambda r: r.update(model=None), "model: is null"),
        (lambda r: r.update(model="a\nb"), "model: is not label"),
        (lambda r: r.update(model="\ud800"), "model: holds a lone surrogate"),
        (lambda r: r.update(model="é" * 129), "model: has 258 bytes"),
        (lambda r: r.update(here="Germany"), "here: is not ISO 3166"),
        (lambda r: r.update({"class": ["x"] * 17}), "class: has 17 items"),
        (lambda r: r["cand"][0].update(lat_us=1.5), "lat_us: is a float"),
        (lambda r: r.update(refused={"é": 1}), "refused"),
        (lambda r: r.update(seed=7), "seed: is a int"),
    ],
)  # fmt: skip
def test_a_record_outside_its_schema_is_refused_with_the_field_named(change: Any, said: str) -> None:
    own = copy.deepcopy(decision())
    change(own)
    with pytest.raises(BorderpostError, match=said) as raised:
        made("decision", own)
    assert raised.value.code == "BP0404"


@pytest.mark.parametrize("kind", ["outcome", "key.rotate", "erasure", "Decision", ""])
def test_other_types_cannot_be_written(kind: str) -> None:
    with pytest.raises(BorderpostError, match="no known type"):
        made(kind, {})


def test_the_fixed_part_of_a_decision_can_be_checked_once() -> None:
    fields.check_fields("decision", decision())
    with pytest.raises(ProfileError, match="here"):
        fields.check_fields("decision", decision() | {"here": "Germany"})
    with pytest.raises(ProfileError, match="no known type"):
        fields.check_fields("outcome", {})


def test_own_fields_cannot_replace_the_common_ones() -> None:
    record = parse(made("heartbeat", {"seq": 1, "prev": "0" * 64, "type": "decision"}))
    assert (record["type"], record["seq"], record["prev"]) == ("heartbeat", 2**48 - 1, "f" * 64)


def test_the_unchecked_path_still_refuses_what_is_no_json_and_what_is_too_large() -> None:
    for own in (decision("\ud800"), decision("x" * limits.RECORD_BYTES_MAX)):
        with pytest.raises(BorderpostError) as raised:
            made("decision", own, checked=False)
        assert raised.value.code == "BP0404"


@pytest.mark.parametrize("spoil", [
    lambda line: line.replace(b'"seq":', b'"seq": '),
    lambda line: line.replace(b'{"ahead_us"', b'{"v":1,"ahead_us"'),
    lambda line: line.replace(b'"ahead_us":5', b'"ahead_us":5.0'),
    lambda line: line.replace(b'"ahead_us":5', b'"ahead_us":5,"ahead_us":5'),
    lambda line: line.replace(b"heartbeat", b"heartb\\u0065at"),
    lambda line: line + b" ",
    lambda line: line[:-1],
    lambda line: b"\xef\xbb\xbf" + line,
    lambda line: line.replace(b"test", b"t\xff"),
])  # fmt: skip
def test_a_line_with_other_bytes_for_the_same_record_is_refused(spoil: Any) -> None:
    line = RecordMaker("test/log/worker-0", "ab" * 10, SystemRandomness()).make(
        "heartbeat", {"ahead_us": 5}, NO_RECORD, at_us=1, mono_us=2, checked=True
    )
    parse(line)
    assert spoil(line) != line
    with pytest.raises(ProfileError):
        parse(spoil(line))


def test_nonces_have_128_bits_and_never_repeat() -> None:
    same = maker()
    nonces = {
        orjson.loads(same.make("heartbeat", {}, NO_RECORD, at_us=1, mono_us=1, checked=True))["nonce"]
        for _ in range(500)
    }
    assert len(nonces) == 500
    assert all(len(base64.urlsafe_b64decode(nonce + "==")) == 16 for nonce in nonces)


def test_ids_go_there_and_back_and_others_are_refused() -> None:
    text = decision_id("0123456789abcdef0123", 77)
    assert len(text) == 32
    assert split_decision_id(text) == ("0123456789abcdef0123", 77)
    for wrong in ("", "x" * 32, text.upper(), text + "0"):
        with pytest.raises(BorderpostError) as raised:
            split_decision_id(wrong)
        assert raised.value.code == "BP0409"


def test_a_leaf_is_the_hash_of_rfc_9162() -> None:
    assert leaf_of(b"") == bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    assert leaf_of(b"L123456") == hashlib.sha256(b"\x00L123456").digest()


def test_refusals_are_counted_exactly_however_many_reasons_there_are() -> None:
    few = refusal_counts(["a", "b", "a"])
    assert few == {"a": 2, "b": 1}
    many = refusal_counts([f"reason-{n:03d}" for n in range(100)] + ["reason-050"] + ["other"] * 2)
    assert len(many) <= limits.REFUSAL_REASONS_MAX
    assert sum(many.values()) == 103
    assert many["reason-050"] == 2


def test_a_table_digest_depends_on_every_row_and_on_nothing_else() -> None:
    rows = [{"r": "a", "ok": True}, {"r": "b", "ok": False}]
    assert table_digest(rows) == table_digest([{"ok": True, "r": "a"}, {"ok": False, "r": "b"}])
    assert table_digest(rows) != table_digest(rows[::-1])
    assert table_digest([]) == "sha256:" + hashlib.sha256(b"[]").hexdigest()
