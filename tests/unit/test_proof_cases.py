"""`borderpost policy test`: what cases may say, what is told of those that are not as expected, and what is covered."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli import main as cli

CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions:
  eu: {country: DE}
  us: {country: US, operator: {certifications: [cert]}}
  kp: {country: KP}
policy:
  packs: [law.yaml]
  regimes:
    - id: house
      title: House
      source: Board
      applies_when: {subject_in: Union, data: [health], tenant: [clinic]}
      allow: [{to: Union, basis: home, revocable: false}]
evidence:
  token: {issuers: ["https://issuer.example"]}
  mtls: {san_prefix: "spiffe://example/residency/"}
tenants:
  clinic: {classes: [health], require_evidence: [token]}
  shop: {}
routes:
  batch: {classes: [public]}
"""
LAW = """\
apiVersion: residency/v1
kind: PolicyPack
metadata: {id: law, version: "1", as_of: 2026-11-20, not_legal_advice: true}
groups: {Union: [DE, FR]}
data_classes:
  public: {rank: 0}
  personal: {}
  health: {implies: [personal], rank: 3}
regimes:
  - id: gdpr
    title: Law
    source: Article 45
    applies_when: {subject_in: Union, data: [personal]}
    allow:
      - {to: Union, basis: home, revocable: false}
      - {to: US, basis: frame, require: {operator_certified: cert}, from: 2026-01-01, until: 2027-01-01}
      - {to: US, basis: contract, only_in: hybrid}
    deny:
      - {to: KP, basis: never}
  - id: us
    title: Law of the US
    source: None
    applies_when: {subject_in: US, data: [personal]}
    default: allow
    basis: free
    deny:
      - {to: KP, basis: foe, data: [health]}
  - id: stop
    title: Embargo
    source: Board
    kind: embargo
    applies_when: {subject_in: KP}
"""
HEAD = "apiVersion: residency/v1\nkind: PolicyTests\nrequest: {at: 2026-06-01}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "law.yaml").write_text(LAW)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["policy", "test", *words])
    return (code, *capsys.readouterr())


def tried(capsys: pytest.CaptureFixture[str], text: str, *words: str) -> dict[str, Any]:
    Path("tests.yaml").write_text(text)
    code, out, _ = run(capsys, "tests.yaml", "--json", *words)
    told: dict[str, Any] = json.loads(out)
    told["code"] = code
    return told


def verdicts(told: dict[str, Any]) -> dict[str, list[str]]:
    """Return the keys of the unmet expectations, by the name of the case."""
    return {one["name"] + one["asked"]: [unmet["key"] for unmet in one["unmet"]] for one in told["cases"]}


def case(name: str, request: str, expect: str) -> str:
    return f"  - {{name: {name}, request: {{{request}}}, expect: {{{expect}}}}}\n"


MET = [
    ("country: DE", "legal: [eu, us]"),
    ("country: DE", "only: [eu, us], includes: [eu], excludes: [kp]"),
    ("country: DE", "refused: false, ruling: legal, mode: legal-first"),
    ("country: DE", "basis: {us: gdpr/frame, eu: [gdpr/home]}, why_not: {kp: gdpr/never}, regimes: [gdpr]"),
    ("country: DE, at: 2027-01-01", "legal: [eu], why_not: {us: gdpr/no-basis}"),
    ("country: DE, at: '2026-12-31T23:59:59.999999Z'", "includes: [us]"),
    ("country: DE, stale: true", "legal: [eu]"),
    ("country: KP", "refused: embargo, ruling: forbidden, regimes: [stop]"),
    ("country: KP, doubt: anonymiser, token: DE", "refused: embargo"),
    ("country: FR, doubt: hosting", "refused: unknown-subject, ruling: evidence"),
    ("country: FR, token: US, header: DE", "legal: [eu, us], regimes: [gdpr, us]"),
    ("certificate: US", "legal: [eu, us], regimes: [us], basis: {eu: us/free}"),
    ("sans: ['spiffe://example/residency/US']", "regimes: [us]"),
    ("header: DE", "refused: unknown-subject"),
    ("header: de", "refused: 'header-malformed:x-data-residency', ruling: rejected, regimes: []"),
    ("country: US, tenant: clinic", "refused: 'evidence-required:token'"),
    ("country: DE, token: DE, tenant: clinic", "legal: [eu], regimes: [gdpr, house]"),
    ("country: DE, tenant_header: clinic", "refused: 'evidence-required:token'"),
    ("country: DE, tenant_header: nobody", "refused: tenant-unknown"),
    ("country: DE, route: batch", "legal: [eu, us], regimes: []"),
    ("country: DE, route: batch, classes: [health]", "regimes: [gdpr, house]"),
    ("country: US, classes: [health]", "why_not: {kp: stop/embargo}"),
    ("country: BR", "refused: no-regime"),
    ("country: DE", "only: [eu, us, kp]"),
    ("country: KP", "only: [eu]"),
]


def test_requests_meet_what_live_ones_would(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + "cases:\n" + "".join(case(f"c{n}", *one) for n, one in enumerate(MET))
    told = tried(capsys, text)
    assert {name: keys for name, keys in verdicts(told).items() if keys} == {}
    assert (told["code"], told["failed"]) == (0, 0)


UNMET = [
    ("country: DE", "legal: [eu]", ["legal"]),
    ("country: DE", "legal: []", ["legal"]),
    ("country: KP", "legal: [eu]", ["legal"]),
    ("country: DE", "only: [eu]", ["only"]),
    ("country: DE", "includes: [kp]", ["includes"]),
    ("country: KP", "includes: [eu]", ["includes"]),
    ("country: DE", "excludes: [us]", ["excludes"]),
    ("country: DE", "refused: true", ["refused"]),
    ("country: KP", "refused: false", ["refused"]),
    ("country: KP", "refused: no-legal-region", ["refused"]),
    ("country: DE", "refused: ok", ["refused"]),
    ("country: DE", "ruling: forbidden", ["ruling"]),
    ("header: x", "ruling: evidence", ["ruling"]),
    ("country: DE", "basis: {us: gdpr/home}", ["basis.us"]),
    ("country: DE", "basis: {kp: gdpr/home}", ["basis.kp"]),
    ("country: DE", "why_not: {us: gdpr/no-basis, kp: gdpr/no-basis}", ["why_not.us", "why_not.kp"]),
    ("country: DE", "regimes: [us]", ["regimes"]),
    ("header: x", "regimes: [us]", ["regimes"]),
    ("country: DE", "mode: hybrid", ["mode"]),
    ("country: DE", "events: [nothing]", ["events"]),
]


def test_each_expectation_can_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + "cases:\n" + "".join(case(f"c{n}", *one[:2]) for n, one in enumerate(UNMET))
    told = tried(capsys, text)
    assert verdicts(told) == {f"c{n}": one[2] for n, one in enumerate(UNMET)}
    assert (told["code"], told["failed"]) == (1, len(UNMET))


def test_groups_share_and_tables_multiply(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = tried(
        capsys,
        HEAD
        + "expect: {excludes: [kp]}\n"
        + "groups:\n"
        + "  - name: Union\n"
        + "    request: {country: DE, classes: [personal]}\n"
        + "    cases:\n"
        + "      - {name: at home, expect: {includes: [eu]}}\n"
        + "      - name: table\n"
        + "        each: {country: [DE, FR], at: [2026-06-01, 2027-06-01], classes: [[personal], [public, personal]]}\n"
        + "        expect: {includes: [us]}\n",
    )
    assert verdicts(told)["at home"] == []
    late = [name for name, keys in verdicts(told).items() if keys == ["includes"]]
    assert len(told["cases"]) == 9
    assert [name for name in late if "at: 2027-06-01" not in name] == []
    assert len(late) == 4
    assert {one["group"] for one in told["cases"]} == {"Union"}


EVENT = (
    "{{id: {id}, type: {type}, scope: {scope}, effective_from: 2026-03-01, recorded_at: 2026-03-01, source: s, "
    "reason: r{more}}}"
)


def test_supposed_events_hold_for_their_case_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    revoke = EVENT.format(id="fall", type="adequacy_revoke", scope="{bases: [frame]}", more="")
    grant = EVENT.format(
        id="gift", type="adequacy_grant", scope="{regimes: [gdpr], countries: [US]}", more=", basis: gift"
    )
    told = tried(
        capsys,
        HEAD
        + "cases:\n"
        + case("fallen", f"country: DE, events: [{revoke}]", "legal: [eu], events: [fall]")
        + case("granted", f"country: DE, events: [{revoke}, {grant}]", "legal: [eu, us], basis: {us: gdpr/gift}")
        + case("as ever", "country: DE", "legal: [eu, us], events: []"),
    )
    assert verdicts(told) == {"fallen": [], "granted": [], "as ever": []}


@pytest.mark.parametrize(
    ("cases", "code", "line", "said"),
    [
        ("cases: [{name: a, expect: {legal: [eux]}}]", "BP0211", 4, "did you mean `eu`?"),
        ("cases: [{name: a, expect: {basis: {uss: x}}}]", "BP0211", 4, "did you mean `us`?"),
        ("cases: [{name: a, request: {classes: [healt]}, expect: {legal: []}}]", "BP0204", 4, "`health`"),
        ("cases: [{name: a, each: {classes: [[helth]]}, expect: {legal: []}}]", "BP0204", 4, "`health`"),
        ("cases: [{name: a, expect: {regimes: [gdp]}}]", "BP0222", 4, "`gdpr`"),
        ("cases: [{name: a, request: {tenant: clinc}, expect: {legal: []}}]", "BP0214", 4, "`clinic`"),
        ("cases:\n  - {name: a, exect: {legal: []}}", "BP0102", 5, "did you mean `expect`?"),
        ("cases:\n  - {name: a, request: {contry: DE}, expect: {legal: []}}", "BP0102", 5, "`country`"),
        ("cases:\n  - {name: a, each: {contry: [DE]}, expect: {legal: []}}", "BP0102", 5, "`country`"),
        ("cases: [{name: a, request: {country: UK}, expect: {legal: []}}]", "BP0201", 4, "`GB`"),
        ("cases: [{name: a, each: {country: [DE, UK]}, expect: {legal: []}}]", "BP0201", 4, "`GB`"),
        ("cases:\n  - name: a\n    request: {country: DE}", "BP1210", 5, "expects nothing"),
        ("cases: []", "BP1210", 1, "no case"),
        ("cases: [{name: a, each: {country: []}, expect: {legal: []}}]", "BP0104", 4, "at least 1"),
        (
            "cases: [{name: a, each: {at: [" + "2026-01-01, " * 400 + "], classes: ["
            + "[personal], " * 300 + "]}, expect: {legal: []}}]",
            "BP1211", 4, "more than 100000",
        ),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(
    folder: Path, capsys: pytest.CaptureFixture[str], cases: str, code: str, line: int, said: str
) -> None:
    Path("tests.yaml").write_text(HEAD + cases + "\n")
    exit_code, _, err = run(capsys, "tests.yaml")
    assert exit_code == 2
    assert f"error[{code}]" in err
    assert f"--> tests.yaml:{line}:" in err
    assert said in err


def test_a_request_of_evidence_that_nobody_reads_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("token", "certificate", "header"):
        section = "mtls" if key == "certificate" else key
        Path("tests.yaml").write_text(HEAD + "cases:\n" + case("a", f"{key}: DE", "legal: []"))
        code, _, err = run(capsys, "tests.yaml", "--set", f"evidence.{section}=null")
        assert code == 2
        assert "error[BP1210]" in err
        assert f"`evidence.{section}` is null" in err
        assert "tests.yaml:5" in err


def test_all_mistakes_of_all_files_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "many").mkdir()
    for name in ("a", "b"):
        (folder / "many" / f"{name}.yaml").write_text(HEAD + "cases: [{name: a, expect: {legal: [eux]}}]\n")
    code, _, err = run(capsys, "many", "missing.yaml")
    assert code == 2
    assert all(name in err for name in ("a.yaml:4", "b.yaml:4", "missing.yaml"))
    assert run(capsys)[0] == 2
    (folder / "empty").mkdir()
    assert "no *.yaml" in run(capsys, "empty")[2]


def test_a_failure_says_where_what_and_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = HEAD + "groups:\n  - name: Union\n    cases:\n    " + case("home", "country: FR", "legal: [eu]")
    Path("tests.yaml").write_text(text)
    code, out, _ = run(capsys, "tests.yaml")
    assert code == 1
    assert out.splitlines()[:7] == [
        "NOT as expected: Union / home",
        "  --> tests.yaml:7:9: groups[0].cases[0]",
        "  legal  expected eu; got eu, us",
        "    eu  legal    gdpr/home",
        "    us  legal    gdpr/frame",
        "    kp  refused  gdpr/never",
        "  $ borderpost explain --country FR --at 2026-06-01",
    ]
    assert cli.main(["explain", "--country", "FR", "--at", "2026-06-01"]) == 0


def test_the_command_to_look_closer_asks_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = (
        "country: FR, token: DE, certificate: US, header: FR, tenant: clinic, tenant_header: shop, "
        "classes: [health, public], model: llama, route: batch, stale: true"
    )
    Path("tests.yaml").write_text(HEAD + "cases:\n" + case("a", request, "refused: never"))
    _, out, _ = run(capsys, "tests.yaml")
    import shlex

    words = shlex.split(next(line for line in out.splitlines() if line.startswith("  $ "))[4:])
    told = tried(capsys, Path("tests.yaml").read_text())["cases"][0]
    assert cli.main([*words[1:], "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in explained["regimes"]] == told["regimes"] == ["gdpr", "house", "us"]
    assert {one["region"] for one in explained["regions"] if one["legal"]} == set(told["legal"]) == {"eu"}


def covered(told: dict[str, Any]) -> set[str]:
    return {rule["rule"] for rule in told["coverage"]["rules"] if rule["cases"]}


def test_coverage_is_of_rules_that_stand_behind_an_answer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def touched(request: str, *words: str) -> set[str]:
        return covered(tried(capsys, HEAD + "cases:\n" + case("a", request, "refused: never"), *words))

    europe = {"gdpr", "gdpr allow[0] home", "gdpr allow[1] frame", "gdpr deny[0] never"}
    assert touched("country: DE") == europe
    assert touched("country: DE, at: 2027-06-01") == europe - {"gdpr allow[1] frame"}
    assert touched("country: DE, stale: true") == europe - {"gdpr allow[1] frame"}
    assert touched("country: DE, at: 2027-06-01", "--set", "policy.mode=hybrid") == europe - {"gdpr allow[1] frame"} | {
        "gdpr allow[2] contract"
    }
    assert touched("country: DE, token: DE, tenant: clinic") == {
        "gdpr", "gdpr allow[0] home", "gdpr deny[0] never", "house", "house allow[0] home", "clinic",
    }  # fmt: skip
    assert touched("country: US") == {"us", "us default free", "stop"}
    assert touched("country: BR") == set()
    assert touched("header: x") == set()
    assert touched("country: DE, route: batch, tenant_header: shop") == {"batch", "shop", "stop"}


def test_denials_are_covered_where_theirs_is_the_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without = LAW[: LAW.index("  - id: stop")]
    (folder / "law.yaml").write_text(without)
    told = tried(
        capsys,
        HEAD
        + "cases:\n"
        + case("a", "country: DE", "why_not: {kp: gdpr/never}")
        + case("b", "country: US, classes: [health]", "why_not: {kp: us/foe}"),
    )
    assert told["code"] == 0
    assert {"gdpr deny[0] never", "us deny[0] foe"} <= covered(told)
    only = tried(capsys, HEAD + "cases:\n" + case("b", "country: US", "includes: [kp]"))
    assert "us deny[0] foe" not in covered(only)


def test_little_coverage_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tests.yaml").write_text(HEAD + "cases:\n" + case("a", "country: DE", "includes: [eu]"))
    assert run(capsys, "tests.yaml", "--min-coverage", "20")[0] == 0
    code, out, _ = run(capsys, "tests.yaml", "--min-coverage", "90")
    assert code == 1
    assert "90 % asked for" in out
    assert "no case touches us deny[0] foe  (law)" in out
    code, out, _ = run(capsys, "tests.yaml", "--min-coverage", "1", "--pack", "own")
    assert code == 1
    assert "0 of 5 rules touched" in out
    code, out, _ = run(capsys, "tests.yaml", "--pack", "law", "--coverage")
    assert code == 0
    assert "law   allow    gdpr allow[0] home      1" in out
    assert run(capsys, "tests.yaml", "--pack", "lwa")[0] == 2
    assert run(capsys, "tests.yaml", "--min-coverage", "20", "--pack", "law")[0] == 0
    with pytest.raises(SystemExit) as ended:
        run(capsys, "tests.yaml", "--min-coverage", "101")
    assert ended.value.code == 2


def test_boundaries_are_asked_and_a_swapped_date_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--boundaries", "--write", "dates.yaml")
    assert code == 0
    assert "2026-01-01T00:00:00.000000Z  gdpr allow[1] frame begins" in out
    assert "2027-01-01T00:00:00.000000Z  gdpr allow[1] frame ends" in out
    assert "0 inconsistent" in out
    assert run(capsys, "dates.yaml")[0] == 0
    (folder / "law.yaml").write_text(LAW.replace("until: 2027-01-01", "until: 2027-10-01"))
    code, out, _ = run(capsys, "dates.yaml")
    assert code == 1
    assert "NOT as expected: regime gdpr / gdpr allow[1] frame ends (at: 2027-01-01" in out
    (folder / "law.yaml").write_text(LAW.replace("from: 2026-01-01, until: 2027-01-01", "until: 2027-01-01"))
    assert "NOT as expected: regime gdpr / before: gdpr allow[1] frame begins" in run(capsys, "dates.yaml")[1]
    assert run(capsys, "--write", "x.yaml", "dates.yaml")[0] == 2
    told = tried(capsys, HEAD + "cases:\n" + case("a", "country: FR", "includes: [eu]"), "--boundaries")["boundaries"]
    assert told["inconsistent"] == []
    assert ("a", "2027-01-01T00:00:00.000000Z") in {(one["request"], one["at"]) for one in told["changes"]}


def test_nothing_dated_gives_nothing_to_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "law.yaml").write_text(LAW.replace("from: 2026-01-01, until: 2027-01-01", "revocable: true"))
    code, _, err = run(capsys, "--boundaries", "--write", "dates.yaml")
    assert code == 2
    assert "BP1210" in err
    assert not (folder / "dates.yaml").exists()


def test_junit_has_every_case(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("tests.yaml").write_text(
        HEAD
        + "cases:\n"
        + case("'good <&\"'", "country: DE", "includes: [eu]")
        + case("'bad \\u0085 case'", "country: DE", "legal: [eu]")
    )
    assert run(capsys, "tests.yaml", "--boundaries", "--min-coverage", "99", "--junit", "out.xml")[0] == 1
    root = ElementTree.parse("out.xml").getroot()
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {"tests.yaml", "boundaries", "coverage"}
    good, bad = suites["tests.yaml"]
    assert (good.get("name"), good.get("line"), len(good)) == ('good <&"', "5", 0)
    assert bad[0].get("message") == "legal  expected eu; got eu, us"
    assert "us  legal    gdpr/frame" in str(bad[0].text)
    assert root.get("failures") == "2"
    assert root.get("tests") == str(sum(len(suite) for suite in root))
    assert run(capsys, "tests.yaml", "--junit", "no/such/folder.xml")[0] == 2
