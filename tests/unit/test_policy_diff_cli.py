"""`borderpost policy diff`: sentences, acceptances, exit codes, forms of output."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli import main as cli
from borderpost.policy.codes import COUNTRIES
from borderpost.proof.country_names import COUNTRY_NAMES

CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions:
  eu: {country: DE}
  us: {country: US}
policy:
  packs: []
  groups: {Union: [DE, DK]}
  data_classes: {public: {rank: 0}, personal: {}, health: {implies: [personal], rank: 3}}
  regimes:
    - id: law
      title: Law
      source: Article
      applies_when: {subject_in: Union, data: [personal]}
      allow: [{to: DE, basis: home}]
tenants: {clinic: {}}
"""
FROM = ("--from", "2026-11-21")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], after: str, *words: str) -> tuple[int, str, str]:
    Path("b.yaml").write_text(after)
    code = cli.main(["policy", "diff", "a.yaml", "b.yaml", *FROM, *words])
    return (code, *capsys.readouterr())


def compared(capsys: pytest.CaptureFixture[str], after: str, *words: str) -> dict[str, Any]:
    code, out, _ = run(capsys, after, "--json", *words)
    told: dict[str, Any] = json.loads(out)
    told["code"] = code
    return told


def changed(old: str, new: str) -> str:
    assert old in CONFIG
    return CONFIG.replace(old, new)


def sentences(told: dict[str, Any]) -> list[str]:
    return [one["sentence"] for one in told["changes"]]


TERRITORY = changed("[DE, DK]", "[DE, DK, GL]")


def test_one_more_territory_fails_with_whom_it_exposes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, TERRITORY)
    assert code == 1
    assert "widened: personal data of subjects in Greenland (GL) may now go to eu, by law/home" in out
    assert "1 change that nobody has accepted" in out
    command = next(line for line in out.splitlines() if line.startswith("    $ "))[6:]
    assert command == "borderpost explain -c b.yaml --country GL --at 2026-11-21"
    assert cli.main([*shlex.split(command)[1:], "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [one["region"] for one in explained["regions"] if one["legal"]] == ["eu"]


def test_the_same_is_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, CONFIG)
    assert code == 0
    assert "nothing differs" in out


@pytest.mark.parametrize(
    ("after", "kinds", "said"),
    [
        (("[DE, DK]", "[DE]"), ["narrowed"], "of subjects in Denmark (DK) may no longer go to eu (policy/no-regime)"),
        (("basis: home}", "basis: house}"), ["basis"], "in Union (2 places) may go to eu by another basis, law/house"),
        (
            ("home}]", "home}, {to: US, basis: try, from: 2027-01-01, until: 2028-01-01, except_data: [health]}]"),
            ["widened"],
            "personal data (not with health) of subjects in Union (2 places) may now go to us, by law/try, from",
        ),
        (
            ("data: [personal]}", "data: [personal], tenant: [clinic]}"),
            ["narrowed"],
            "may no longer go to eu (policy/no-regime), of no known tenant or of a tenant that is not configured",
        ),
        (("to: DE, basis", "to: US, basis"), ["narrowed"], "in Union (2 places) may no longer go to eu (law/no-basis)"),
        (("  eu: {country: DE}\n", ""), ["narrowed"], "may no longer go to eu, which is gone"),
        (("  us:", "  d2: {country: DE}\n  us:"), ["widened"], "may now go to d2, a new region, by law/home"),
        (("  eu: {country: DE}", "  eu: {country: FR}"), ["narrowed"], "may no longer go to eu (law/no-basis)"),
    ],
)  # fmt: skip
def test_each_kind_has_its_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], after: tuple[str, str], kinds: list[str], said: str
) -> None:
    told = compared(capsys, changed(*after))
    assert {kind for kind in (one["kind"] for one in told["changes"]) if kind in kinds} == set(kinds)
    assert any(said in sentence for sentence in sentences(told)), sentences(told)
    assert told["code"] == (1 if any(one["kind"] in ("widened", "region") for one in told["changes"]) else 0)


def test_a_region_that_moves_fails_though_the_law_allows_both(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    wide = CONFIG.replace("to: DE", "to: [DE, FR]")
    (folder / "a.yaml").write_text(wide)
    told = compared(capsys, wide.replace("  eu: {country: DE}", "  eu: {country: FR}"))
    assert told["code"] == 1
    assert any("may still go to eu, which stands elsewhere now" in sentence for sentence in sentences(told))
    assert told["regions"] == [{"region": "eu", "what": "moved", "keys": [["country", '"DE"', '"FR"']]}]


def test_regions_that_only_bring_more_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, changed("us: {country: US}", "us: {country: US, tia: approved}"))
    assert 'us: changed, tia null → "approved"' in out


ACCEPTED = "apiVersion: residency/v1\nkind: AcceptedChanges\nchanges:\n"


def accepted(capsys: pytest.CaptureFixture[str], until: str = "2099-01-01") -> str:
    (one,) = [one for one in compared(capsys, TERRITORY)["changes"] if one["kind"] == "widened"]
    line = f"  - {{id: {one['id']}, reason: Board, until: {until}}}\n"
    Path("accepted.yaml").write_text(ACCEPTED + line)
    return str(one["id"])


def test_what_is_accepted_passes_and_nothing_wider(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = accepted(capsys)
    code, out, _ = run(capsys, TERRITORY, "--accept", "accepted.yaml")
    assert code == 0
    assert "(accepted until 2099-01-01: Board)" in out
    assert run(capsys, TERRITORY.replace("GL]", "GL, FO]"), "--accept", "accepted.yaml")[0] == 1
    told = compared(capsys, CONFIG, "--accept", "accepted.yaml")
    assert told["unused_acceptances"] == [name]


def test_acceptances_run_out(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = accepted(capsys, "2026-01-01")
    code, out, _ = run(capsys, TERRITORY, "--accept", "accepted.yaml")
    assert code == 1
    assert f"{name} (Board)" in out


def test_a_file_of_acceptances_is_strict(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = accepted(capsys)
    for line, code in (
        (f"  - {{id: {name}, reason: Board}}\n", "BP0103"),
        (f"  - {{id: {name}, until: 2099-01-01}}\n", "BP0103"),
        (f"  - {{id: {name}, reson: Board, until: 2099-01-01}}\n", "BP0102"),
        ("  - {id: everything, reason: Board, until: 2099-01-01}\n", "BP0104"),
        (f"  - {{id: {name}, reason: Board, until: 2099-01-01}}\n" * 2, "BP1212"),
    ):
        Path("accepted.yaml").write_text(ACCEPTED + line)
        exit_code, _, err = run(capsys, TERRITORY, "--accept", "accepted.yaml")
        assert (exit_code, code in err) == (2, True), err


def test_what_fails_is_the_reader_s_to_say(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, TERRITORY, "--allow-widening")[0] == 0
    assert run(capsys, TERRITORY, "--fail-on", "narrowed")[0] == 0
    assert run(capsys, changed("[DE, DK]", "[DE]"), "--fail-on", "widened,narrowed")[0] == 1
    code, _, err = run(capsys, TERRITORY, "--fail-on", "wider")
    assert code == 2
    assert "known: widened" in err
    assert run(capsys, TERRITORY, "--until", "2020-01-01")[0] == 2


@pytest.mark.parametrize(
    ("evidence", "key", "code"),
    [
        ("evidence: {header: {name: x-home}}", "evidence.header.name", 1),
        ("evidence: {header: null}", "evidence.header", 1),
        ("evidence: {token: {issuers: [one]}}", "evidence.token.issuers", 0),
        ("evidence: {mtls: {san_prefix: x}}", "evidence.mtls", 1),
        ("evidence: {headers: {data_class: x-kind}}", "evidence.headers.data_class", 1),
    ],
)
def test_reading_otherwise_is_told(
    folder: Path, capsys: pytest.CaptureFixture[str], evidence: str, key: str, code: int
) -> None:
    told = compared(capsys, f"{CONFIG}{evidence}\n")
    assert [one["key"] for one in told["reading"]] == [key]
    assert told["code"] == code
    back = [Path(name).read_text() for name in ("a.yaml", "b.yaml")]
    (folder / "a.yaml").write_text(back[1])
    if key != "evidence.header":  # the way back from here can only narrow
        assert compared(capsys, back[0])["code"] == 1


def test_other_forms(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    markdown = run(capsys, TERRITORY, "--format", "markdown")[1]
    assert markdown.startswith("### Policy: 1 change to accept\n")
    assert "- personal data of subjects in Greenland (GL) may now go to eu, by law/home" in markdown
    assert "::error file=b.yaml,line=1,title=BPD001" in run(capsys, TERRITORY, "--format", "github")[1]
    sarif = json.loads(run(capsys, TERRITORY, "--format", "sarif")[1])
    assert sarif["runs"][0]["results"][0]["ruleId"] == "BPD001"


def test_every_country_has_a_name() -> None:
    assert set(COUNTRY_NAMES) == set(COUNTRIES)
    assert len(set(COUNTRY_NAMES.values())) == len(COUNTRY_NAMES)
