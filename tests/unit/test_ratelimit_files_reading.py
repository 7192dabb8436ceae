"""envoyproxy/ratelimit's format: what is a mistake, where it is told, and what YAML 1.1 makes of scalars."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Problems
from borderpost_ratelimit.files import load
from borderpost_ratelimit.files.go_scalars import go_scalar
from borderpost_ratelimit.files.loading import Source, compile_sources
from borderpost_ratelimit.limits import Unit, WhenAway
from support.ratelimit_files import book_of, mistakes_of, told, written

DATA = Path(__file__).resolve().parents[1] / "data/ratelimit"
LIMITED = "domain: d\ndescriptors:\n  - key: k\n    rate_limit: {LIMIT}\n"
DESCRIBED = "domain: d\ndescriptors:\n  - MORE\n    key: k\n    rate_limit: {unit: day, requests_per_unit: 1}\n"


def test_every_unit_and_its_length(tmp_path: Path) -> None:
    units = [unit for unit in Unit if unit is not Unit.UNKNOWN]
    items = "".join(
        f"  - key: {unit.name}\n    rate_limit: {{unit: {unit.name.title()}, requests_per_unit: 1}}\n" for unit in units
    )
    book = book_of(tmp_path, f"domain: d\ndescriptors:\n{items}")
    assert [(rule.limits[0].unit, rule.limits[0].window_us) for rule in book.rules] == [
        (unit, unit.length_us) for unit in units
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("BP1602", 1, None)),
        ("domain: ''\n", ("BP1602", 1, "domain")),
        ("- domain: d\n", ("BP0104", 1, None)),
        ("domain: [d]\n", ("BP0104", 1, "domain")),
        ("domain: d\ndescriptors: {key: k}\n", ("BP0104", 2, "descriptors")),
        ("domain: d\ndescriptors:\n  - k\n", ("BP0104", 3, "descriptors[0]")),
        ("domain: d\ndescriptors:\n  - value: v\n", ("BP1604", 3, "descriptors[0]")),
        ("domain: d\ndescriptors:\n  - key: ''\n", ("BP1604", 3, "descriptors[0]")),
        ("domain: d\ndescriptors:\n  - key: 1.5\n", ("BP0104", 3, "descriptors[0].key")),
        ("domain: d\nlimits: []\n", ("BP0102", 2, "limits")),
        ("domain: d\nunit: {nonsense: 1}\n", ("BP0102", 2, "unit.nonsense")),
        ("domain: d\nunit: [day]\n", ("BP0104", 2, "unit[0]")),
        ("domain: d\nunit: 1.5\n", ("BP0104", 2, "unit")),
        ("domain: d\nunit: {metadata: {x: [1]}, key: [{y: 1}]}\n", ("BP0102", 2, "unit.key[0].y")),
        ("domain: d\n<<: [d]\n", ("BP0104", 2, "<<[0]")),
        ("domain: d\n<<: d\n", ("BP0104", 2, "<<")),
        ("domain: d\ndomain: e\n", ("BP0105", 2, "domain")),
        ("domain: !!str d\n", ("BP0101", 1, None)),
        (LIMITED.replace("{LIMIT}", "5"), ("BP0104", 4, "descriptors[0].rate_limit")),
        (LIMITED.replace("LIMIT", ""), ("BP1606", 4, "descriptors[0].rate_limit")),
        (LIMITED.replace("LIMIT", "unit: minuet"), ("BP1606", 4, "descriptors[0].rate_limit.unit")),
        (LIMITED.replace("LIMIT", "unit: unknown"), ("BP1606", 4, "descriptors[0].rate_limit.unit")),
        (LIMITED.replace("LIMIT", "unit: day, unlimited: true"), ("BP1607", 4, "descriptors[0].rate_limit.unit")),
        (
            LIMITED.replace("LIMIT", "unit: day, unlimited: 'true'"),
            ("BP0104", 4, "descriptors[0].rate_limit.unlimited"),
        ),
        (
            LIMITED.replace("LIMIT", "unit: day, replaces: [{name: ''}]"),
            ("BP1608", 4, "descriptors[0].rate_limit.replaces[0]"),
        ),
        (
            LIMITED.replace("LIMIT", "unit: day, name: n, replaces: [{name: n}]"),
            ("BP1608", 4, "descriptors[0].rate_limit.replaces[0]"),
        ),
        (
            LIMITED.replace("LIMIT", "unit: day, replaces: n"),
            ("BP0104", 4, "descriptors[0].rate_limit.replaces"),
        ),
        (
            LIMITED.replace("LIMIT", "unit: day, replaces: [n]"),
            ("BP0104", 4, "descriptors[0].rate_limit.replaces[0]"),
        ),
        (DESCRIBED.replace("MORE", "shadow_mode: 1"), ("BP0104", 3, "descriptors[0].shadow_mode")),
        (DESCRIBED.replace("MORE", "share_threshold: true"), ("BP1609", 3, "descriptors[0]")),
        (DESCRIBED.replace("MORE", "metadata: [1]"), ("BP1611", 3, "descriptors[0].metadata")),
        (DESCRIBED.replace("MORE", "metadata: {<<: [{}, 1]}"), ("BP1611", 3, "descriptors[0].metadata.<<")),
        (DESCRIBED.replace("MORE", "metadata: {a: [.inf]}"), ("BP1611", 3, "descriptors[0].metadata.a[0]")),
        (
            "domain: d\ndescriptors:\n  - {key: a_b, rate_limit: {unlimited: true}}\n  - {key: a, value: b}\n",
            ("BP1605", 4, "descriptors[1]"),
        ),
    ],
)
def test_mistakes_have_their_place(tmp_path: Path, text: str, expected: tuple[str, int, str | None]) -> None:
    assert told(mistakes_of(tmp_path, text)) == [expected]


@pytest.mark.parametrize("amount", ["-1", "4294967296", "'1'", "1.0", "1e3", "true", "many", "[1]", "0x1_0000_0000"])
def test_amounts_that_are_none(tmp_path: Path, amount: str) -> None:
    (mistake,) = mistakes_of(tmp_path, LIMITED.replace("LIMIT", f"unit: day, requests_per_unit: {amount}"))
    assert (mistake.code, mistake.place.key) == ("BP0104", "descriptors[0].rate_limit.requests_per_unit")


@pytest.mark.parametrize(
    ("amount", "meant"),
    [("4294967295", 2**32 - 1), ("012", 10), ("0x10", 16), ("1_000", 1000), ("0b101", 5), ("0o17", 15), ("+7", 7),
     ("~", 0), ("", 0)],
)  # fmt: skip
def test_amounts_as_yaml_1_1_has_them(tmp_path: Path, amount: str, meant: int) -> None:
    book = book_of(tmp_path, LIMITED.replace("LIMIT", f"unit: day, requests_per_unit: {amount}"))
    assert book.rules[0].limits[0].amount == meant


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", True), ("Off", False), ("y", True), ("n", False), ("yEs", "yEs"), ("", None), ("~", None),
        ("Null", None), ("nil", "nil"), ("08", 8.0), ("-0x1f", -31), ("0x", "0x"), ("1__0", 10), ("_1", "_1"),
        ("1:30", "1:30"), ("2026-11-21", "2026-11-21"), ("1.2.3.4", "1.2.3.4"), ("1.5", 1.5), (".5", 0.5),
        ("-.inf", float("-inf")), ("18446744073709551615", 2**64 - 1), ("18446744073709551616", 2.0**64),
        ("-9223372036854775808", -(2**63)), ("+", "+"), ("-", "-"), (".", "."), ("1e3", 1000.0), ("<<", "<<"),
        ("0b2", "0b2"), ("१२", "१२"),
    ],
)  # fmt: skip
def test_scalars_as_go_reads_them(text: str, meant: Any) -> None:
    found = go_scalar(text)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize("value", ["007", "NO", "true", "2026-11-21", "0x1F", "1_000", "~x", "'1.50'"])
def test_values_are_text_as_it_is_written(tmp_path: Path, value: str) -> None:
    book = book_of(
        tmp_path, f"domain: d\ndescriptors:\n  - key: k\n    value: {value}\n    rate_limit: {{unlimited: yes}}\n"
    )
    assert book.match("d", (("k", value.strip("'")),)) is not None
    assert book.match("d", (("k", "other"),)) is None


def test_every_mistake_of_every_file_is_told_at_once(tmp_path: Path) -> None:
    first = "domain: d\ndescriptors:\n  - ky: a\n    rate_limit: {unit: dya}\n"
    second = "domian: e\n"
    mistakes = mistakes_of(tmp_path, first, second)
    assert [(error.code, Path(error.place.file or "").name, error.place.line) for error in mistakes] == [
        ("BP0102", "a.yaml", 3),
        ("BP1604", "a.yaml", 3),
        ("BP1606", "a.yaml", 4),
        ("BP0102", "b.yaml", 1),
        ("BP1602", "b.yaml", 1),
    ]
    assert [error.mend for error in mistakes if "did you mean" in error.mend] == [
        "did you mean `key`?", "did you mean `day`?", "did you mean `domain`?",
    ]  # fmt: skip


def test_many_mistakes_are_told_up_to_a_bound(tmp_path: Path) -> None:
    items = "".join(f"  - value: v{index}\n" for index in range(limits.PROBLEMS_MAX + 20))
    assert len(mistakes_of(tmp_path, f"domain: d\ndescriptors:\n{items}")) == limits.PROBLEMS_MAX


def test_two_files_of_one_domain_need_merging(tmp_path: Path) -> None:
    first = "domain: d\ndescriptors:\n  - {key: a, rate_limit: {unit: day, requests_per_unit: 1}}\n"
    second = first.replace("key: a", "key: b")
    (mistake,) = mistakes_of(tmp_path, first, second)
    assert mistake.code == "BP1603"
    assert "a.yaml" in mistake.detail
    assert Path(mistake.place.file or "").name == "b.yaml"
    assert [rule.path for rule in book_of(tmp_path, first, second, merge=True).rules] == ["d.a", "d.b"]
    assert [error.code for error in mistakes_of(tmp_path, first, first, merge=True)] == ["BP1605"]


def test_merge_keys_are_merged_as_they_stand(tmp_path: Path) -> None:
    """`rate_limit` of both is one, as yaml.v2 writes both into one struct, and the order of the keys decides."""
    text = """
    domain: d
    descriptors:
      - &common
        key: k
        value: one
        rate_limit: {unit: day, requests_per_unit: 1, name: common}
      - <<: *common
        value: two
        rate_limit: {requests_per_unit: 2}
      - value: lost
        <<: [{value: three}, *common]
    """
    book = book_of(tmp_path, text)
    assert [(rule.path, rule.limits[0].amount, rule.limits[0].unit, rule.name) for rule in book.rules] == [
        ("d.k_one", 1, Unit.DAY, "common"),
        ("d.k_two", 2, Unit.DAY, "common"),
        ("d.k_three", 1, Unit.DAY, "common"),
    ]


def test_metadata_is_read_as_json_has_it(tmp_path: Path) -> None:
    text = """
    domain: d
    descriptors:
      - key: k
        rate_limit: {unlimited: true}
        metadata: {tier: gold, on: yes, level: 010, list: [1, 1.5, ~, {unknown_key: 2026-11-21}]}
      - key: other
        rate_limit: {unlimited: true}
        metadata: {}
      - key: merged
        rate_limit: {unlimited: true}
        metadata: {<<: [{a: 1, b: 1}, {a: 2, c: 2}], b: {<<: {d: 4}}}
    """
    gold, other, merged = book_of(tmp_path, text).rules
    assert merged.metadata == {"a": 1, "b": {"d": 4}, "c": 2}
    # `on` is a key here, so it is text; as a value it would be true.
    assert gold.metadata == {
        "tier": "gold", "on": True, "level": 8, "list": [1, 1.5, None, {"unknown_key": "2026-11-21"}],
    }  # fmt: skip
    assert other.metadata is None


def test_whatever_is_written_is_loaded_or_told(tmp_path: Path) -> None:
    """Pieces of real files and of YAML's grammar, cut and joined by chance."""
    lines = [json.loads(line) for line in (DATA / "files.jsonl").read_text().splitlines()]
    texts = [line["text"] for line in lines if line["rules"]]
    rng = random.Random(1601)
    pieces = ["- ", "  ", "key: ", "'", '"', "*", "&a ", "*a", "<<: ", "{", "]", ":", " #", "~", "1e9", "\x00", "é"]
    pieces += ["!!str ", "---\n", "rate_limit:", "limits:", "format: borderpost/1\n", "replaces: ", "metadata: "]
    loaded = 0
    for _ in range(400):
        text = rng.choice(texts)
        for _ in range(rng.randint(0, 2)):
            at, other = rng.randint(0, len(text)), rng.choice(texts)
            cut = rng.choice([*pieces, "", "", "", other[rng.randint(0, len(other)) :][:40]])
            text = text[:at] + cut + text[at + rng.choice([0, 0, 1]) :]
        errors: list[BorderpostError] = []
        book = compile_sources([Source("made.yaml", text.encode())], errors, [])
        assert all(error.place.file == "made.yaml" and error.place.line for error in errors)
        loaded += not errors and bool(book.rules)
    assert 20 < loaded < 380


def test_folders_are_read_by_name_and_what_is_hidden_is_not(tmp_path: Path) -> None:
    folder = written(
        tmp_path / "limits",
        {
            "b.yml": "domain: b\n",
            "below/a.yaml": "domain: a\n",
            ".hidden.yaml": "nonsense",
            "..data/c.yaml": "nonsense",
            "notes.txt": "nonsense",
        },
    )
    book = load([folder, folder / "b.yml"])
    assert sorted(book.domains) == ["a", "b"]
    assert [Path(file).name for file in book.files] == ["b.yml", "a.yaml"]
    assert [(finding.code, Path(finding.place.file or "").name) for finding in book.findings] == [
        ("BP1615", "notes.txt")
    ]


def test_a_config_map_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    """Files are links into a folder whose name begins with dots, which is exchanged as a whole."""
    mount = written(tmp_path / "mount", {"..2026_11_21/shop.yaml": "domain: shop\n"})
    (mount / "..data").symlink_to("..2026_11_21")
    (mount / "shop.yaml").symlink_to("..data/shop.yaml")
    book = load([mount])
    assert (set(book.domains), book.findings, len(book.files)) == ({"shop"}, (), 1)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked/dangling.yaml").symlink_to("nowhere")
    with pytest.raises(Problems) as raised:
        load([tmp_path / "none.yaml", tmp_path / "empty", tmp_path / "locked"])
    assert [error.code for error in raised.value.errors] == ["BP0003", "BP1601", "BP1601"]


def test_the_digest_is_that_of_the_contents(tmp_path: Path) -> None:
    first, second = (book_of(tmp_path / name, "domain: d\n") for name in ("one", "two"))
    assert first.digest == second.digest
    assert first.digest != book_of(tmp_path / "one", "domain: e\n").digest


def test_what_holds_while_the_store_is_away_can_be_given(tmp_path: Path) -> None:
    folder = written(tmp_path, LIMITED.replace("LIMIT", "unit: day, requests_per_unit: 1"))
    assert load([folder]).rules[0].limits[0].when_away is WhenAway.LOCAL
    assert load([folder], when_away=WhenAway.REFUSE).rules[0].limits[0].when_away is WhenAway.REFUSE
