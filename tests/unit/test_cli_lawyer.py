"""`explain --format lawyer`: what a lawyer must find on the page, in words, and that nothing in it becomes markup."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from borderpost.audit.inputs import InputStore
from borderpost.cli.made_up import view_of
from borderpost.cli.main import main
from borderpost.cli.pages import Page
from borderpost.config.load import load_config
from borderpost.facts import RawRequest
from borderpost.geoip import GeoDatabase
from borderpost.regions.signals import Signals
from borderpost_base.world import World
from support.audit import open_writer

CONFIG = """\
here: {country: DE}
region_defaults: {retention: same, telemetry: same}
regions:
  eu-1: {country: DE, operator: {entity: Rhein AG, jurisdiction: DE}}
  eu-2: {country: FR}
  us-1: {country: US, operator: {entity: Acme Inc, jurisdiction: US, certifications: [eu-us-dpf]}}
  us-2: {country: US, operator: {entity: Pacific LLC, jurisdiction: US}}
  ca-1: {country: CA, telemetry: US}
ranking: {latency_ms: {EU: {eu-1: 8, eu-2: 11, us-1: 95}}}
evidence: {unknown: {treat_as: [DE]}}
events: {file: events.yaml}
tenants: {hr: {}, shop: {}}
policy:
  regimes:
    - id: own-hr
      title: Works agreement on personnel data
      source: https://intranet.example/agreements/17?a=1&b=2
      as_of: 2026-03-01
      applies_when: {subject_in: "*", data: [personal], tenant: [hr]}
      default: allow
      deny: [{to: US, basis: not-there}]
"""
EVENTS = """\
apiVersion: residency/v1
kind: LegalEvents
events:
  - id: ev-us-2
    type: region_suspend
    scope: {regions: [us-2]}
    effective_from: 2026-11-01
    recorded_at: 2026-11-02
    source: Order no. 17 | <b>annex</b>
    reason: The region *leaks* <script>alert(1)</script>
"""
AT = ("--at", "2026-11-23")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "events.yaml").write_text(EVENTS)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_")]:
        monkeypatch.delenv(name)
    return tmp_path


def page(capsys: pytest.CaptureFixture[str], *words: str, form: str = "lawyer") -> str:
    code = main(["explain", *words, "--format", form])
    out, err = capsys.readouterr()
    assert (code, err) == (0, ""), err
    return out


def section(text: str, heading: str) -> str:
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


def test_the_outcome_the_evidence_the_laws_and_the_basis(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page(capsys, "--country", "US", "--claim", "residency=DE", "--class", "health", *AT)
    assert "the request was sent to eu-2 in France (FR), run by an operator who is not named" in text
    evidence = section(text, "What was known of the request")
    assert "| a signed token that the client presented | Germany (DE) (no part of it is known) | verified" in evidence
    assert "United States (US)" in evidence
    assert "health (sensitivity 3 of 9, which is also personal)" in evidence
    laws = section(text, "Which laws applied, and why")
    assert "General Data Protection Regulation" in laws
    assert "the token says Germany (DE); it is about data of the kinds personal: the request's data is health" in laws
    assert "Regulation (EU) 2016/679" in laws
    assert "reviewed by nobody yet" in laws
    assert re.search(r"read on \d{4}-\d\d-\d\d; collection eu-gdpr, edition \d", laws)
    basis = section(text, "On which legal basis this region may serve it")
    assert "| eu-gdpr/intra-eea | Processing in the group EEA" in basis
    assert "as good as equally near (11.0 ms and 8.0 ms), and the lot decides between equals" in basis
    assert "token and the address name different places" in section(text, "What else counted")
    assert text.rstrip().endswith("It is not legal advice.")


def test_every_other_region_has_a_sentence_and_a_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = section(page(capsys, "--country", "DE", "--claim", "tenant=shop", *AT), "Why no other region")
    rows = {line.split(" in ")[0].strip("| "): line for line in others.splitlines() if " in " in line}
    assert set(rows) == {"eu-1", "us-1", "us-2", "ca-1"}
    assert "run by Rhein AG (who can be compelled in Germany (DE))" in rows["eu-1"]
    assert "it is as good as equally near (8.0 ms), and the lot fell on another" in rows["eu-1"]
    assert "it is farther away (95.0 ms)" in rows["us-1"]
    assert "gives no legal basis for sending the data to us-2" in rows["us-2"]
    assert "an operator certified under eu-us-dpf" in rows["us-2"]
    assert "gives no legal basis for sending the data to ca-1" in rows["ca-1"]
    assert "pipeda" in rows["ca-1"]
    assert "eu-us-dpf" not in rows["ca-1"], "what would help elsewhere is not said here"
    for name in ("us-2", "ca-1"):
        assert "Regulation (EU) 2016/679" in rows[name]
    for code in ("no-basis", "no-legal-region", "legal-first/"):
        assert code not in others


def test_an_event_and_a_rule_of_one_s_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = page(capsys, "--country", "US", "--claim", "tenant=hr", *AT)
    others = section(told, "Why no other region")
    assert "Works agreement on personnel data forbids us-1 by its rule “not-there”." in others
    assert "<https://intranet.example/agreements/17?a=1&b=2>" in others
    laws = section(told, "Which laws applied, and why")
    assert "it is about the tenant hr: it is hr" in laws
    assert "read on 2026-03-01; a rule of this deployment's own" in laws
    unknown = section(page(capsys, "--country", "US", *AT), "Which laws applied, and why")
    assert "it is not known for sure, which counts as met" in unknown
    free = page(capsys, "--country", "US", "--claim", "tenant=shop", *AT)
    assert "The legal event ev-us-2 excludes us-2." in section(free, "Why no other region")
    else_ = section(free, "What else counted")
    assert (
        "Legal event ev-us-2 (region suspend), in force from 2026-11-01, known since 2026-11-02, signed by nobody"
        in (else_.replace("\\", ""))
    )


def test_nothing_in_a_text_becomes_markup(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--country", "US", "--claim", "tenant=shop", *AT)
    text = page(capsys, *words)
    assert r"The region \*leaks\* \<script\>alert(1)\</script\>" in text
    assert r"Order no. 17 \| \<b\>annex\</b\>" in text
    made = page(capsys, *words, form="lawyer-html")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made
    assert "<script" not in made
    assert "<b>" not in made


class _Balanced(HTMLParser):
    """Fails on a tag that does not close the one that is open, and on anything from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "img", "link", "iframe"}
        self.links += [str(value) for name, value in attrs if name == "href"]
        if tag not in {"meta", "!doctype"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_html_is_whole_and_brings_nothing_from_elsewhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = page(capsys, "--country", "US", "--claim", "tenant=hr", *AT, form="lawyer-html")
    parser = _Balanced()
    parser.feed(made)
    assert parser.open == []
    assert "https://intranet.example/agreements/17?a=1&b=2" in parser.links
    assert "@page{size:A4" in made


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--country", "CU"), "in a place under embargo"),
        (
            ("--country", "DE", "--header", "x-data-residency=nowhere"),
            "No law was asked: the request was refused before",
        ),
        (("--country", "DE", "--class", "nonsense"), "A class of data was declared that no rule defines."),
        (("--country", "JP"), "No law is known for this place and this protected data"),
        (
            ("--country", "DE", *(word for name in ("eu-1", "eu-2", "us-1") for word in ("--down", name))),
            "out of service",
        ),
    ],
)
def test_a_refusal_is_told_as_a_sentence(
    words: tuple[str, ...], sentence: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page(capsys, *words, *AT)
    assert "the request was refused" in text
    assert sentence in text
    assert "## Why no other region" not in text


def test_staleness_and_a_subject_that_nobody_placed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = page(capsys, "--stale", *AT)
    assert "There was no evidence of where the person is." in text
    assert "the place is not known, so the law of Germany (DE) counts" in text
    assert "The list of legal events was older than allowed" in text


def test_a_recorded_decision_says_how_it_can_be_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loaded = load_config(folder / "borderpost.yaml", {}, {})
    at_us = World().now_us()
    view = view_of(loaded, GeoDatabase.of(loaded.config.geoip), Signals.empty("0123456789abcdef", at_us))
    store = InputStore(folder / "audit", World())
    for part in (loaded.bundle, loaded.events, view.compiled.catalog, view.signals):
        store.put(part.canonical())
    store.put_file(view.geo.path)
    writer = open_writer(folder / "audit")
    fields = {**view.answer(RawRequest("", residency_claim="FR"), at_us).record, "req": {}, "via": "ext_proc"}
    decision = writer.append("decision", fields, at_us=at_us).decision_id
    writer.commit()
    writer.close()
    text = page(capsys, "--log", "audit", decision)
    checking = section(text, "How to check this page")
    assert f"Decision {decision}, " in text
    assert f"borderpost explain --log LOG {decision}" in checking
    for name in ("policy", "events", "catalog"):
        assert f"| {name} | {view.inputs[name]} |" in checking
    assert "Derived anew from the inputs that the record names: the same table of regions." in checking


def test_json_has_a_form_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--country", "DE", "--json", "--format", "lawyer"]) == 2
    assert json.loads(capsys.readouterr().out)["errors"][0]["code"] == "BP0004"


def test_a_page_without_rows_or_items_has_no_table_or_list() -> None:
    made = Page()
    made.heading("A # heading", 1)
    made.items(())
    made.table(("a",), ())
    made.paragraph("two\nlines")
    assert made.markdown() == "# A \\# heading\n\ntwo lines\n"
