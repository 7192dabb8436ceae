"""What labels, options and configuration change in `policy check`, and what it prints."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from borderpost.cli import main as cli
from borderpost.manifests.rules import RULES
from support.manifest_cases import FOLDER, planted
from support.sarif_schema import check_sarif

CONFIG = """\
here: {country: DE}
regions:
  eu-central-1: {country: DE}
  us-west-2: {country: US, operator: {jurisdiction: US, certifications: [eu-us-dpf]}}
  us-east-2: {country: SE}
region_defaults: {retention: same, telemetry: same}
tenants: {clinic: {classes: [health]}, shop: {}}
events: {file: events.yaml}
"""
EVENTS = """\
apiVersion: residency/v1
kind: LegalEvents
events:
  - id: order-1
    type: region_suspend
    scope: {regions: [eu-central-1]}
    effective_from: 2026-12-01
    recorded_at: 2026-11-01
    source: a court
    reason: an order
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: p
  labels: {%s}
  annotations: {%s}
spec: {%s}
"""
DATA = "borderpost.dev/data-class: health, borderpost.dev/subjects: DE"
US = "nodeSelector: {topology.kubernetes.io/region: us-east-1}"

Run = Callable[..., tuple[int, list[tuple[str, str, int]], str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    (tmp_path / "events.yaml").write_text(EVENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def check(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Check one text, or the files there are; return exit code, findings (rule, level, line), and all that was told."""

    def run(text: str | None, *options: str) -> tuple[int, list[tuple[str, str, int]], str]:
        if text is not None:
            (folder / "m.yaml").write_text(text)
        code = cli.main(["policy", "check", "--at", "2026-11-21", "--json", "m.yaml", *options])
        out, _ = capsys.readouterr()
        told = json.loads(out)
        return code, [(item["rule"], item["level"], item["line"]) for item in told.get("findings", ())], out

    return run


def pod(labels: str = DATA, spec: str = US, annotations: str = "") -> str:
    return POD % (labels, annotations, spec)


def test_a_forbidden_place_says_law_source_and_mend(check: Run) -> None:
    code, found, out = check(pod())
    assert (code, found) == (1, [("BPM001", "error", 7)])
    (finding,) = json.loads(out)["findings"]
    assert finding["subject"] == "Pod default/p"
    assert "health data of people in DE may not be in us-east-1 (US, Amazon Web Services, Inc.)" in finding["message"]
    assert "eu-gdpr/no-basis" in finding["message"]
    assert "General Data Protection Regulation" in finding["message"]
    assert "Regulation (EU) 2016/679" in finding["message"]


def test_a_configured_region_is_judged_as_it_is(check: Run) -> None:
    assert check(pod(spec="nodeSelector: {topology.kubernetes.io/region: us-west-2}"))[1] == []  # certified
    assert check(pod(spec="nodeSelector: {topology.kubernetes.io/region: us-west-1}"))[1] == [("BPM001", "error", 7)]


def test_configuration_and_provider_may_not_disagree(check: Run) -> None:
    found = check(pod(spec="nodeSelector: {topology.kubernetes.io/region: us-east-2}"))[1]
    assert found == [("BPM001", "error", 7), ("BPM014", "error", 7)]


def test_the_instant_counts(check: Run) -> None:
    spec = "nodeSelector: {topology.kubernetes.io/region: eu-central-1}"
    assert check(pod(spec=spec))[:2] == (0, [])
    code, found, out = check(pod(spec=spec), "--at", "2026-12-01")
    assert (code, found) == (1, [("BPM001", "error", 7)])
    assert "event/order-1" in out and "a court" in out


def test_a_place_that_cannot_be_told_is_an_error_unless_told_otherwise(check: Run) -> None:
    for spec in ("containers: []", "nodeName: x", "nodeSelector: [a]", "nodeSelector: {disk: ssd}"):
        assert check(pod(spec=spec))[:2] == (1, [("BPM002", "error", 4)])
    assert check(pod(spec="containers: []"), "--unknown-place", "warning")[:2] == (0, [("BPM002", "warning", 4)])
    options = ("--unknown-place", "warning", "--fail-on", "warning")
    assert check(pod(spec="containers: []"), *options)[:2] == (1, [("BPM002", "warning", 4)])


def test_a_local_zone_is_not_where_its_region_is(check: Run) -> None:
    manila = "nodeSelector: {topology.kubernetes.io/zone: ap-southeast-1-mnl-1a}"
    assert check(pod("borderpost.dev/data-class: personal, borderpost.dev/subjects: SG", manila))[1] == [
        ("BPM002", "error", 7)
    ]


def test_the_cluster_may_be_placed_from_outside(check: Run) -> None:
    for place in ("eu-central-1", "DE", "germanywestcentral", "westeurope-2", "europe-west1-b"):
        assert check(pod(spec="containers: []"), "--cluster", place)[:2] == (0, [])
    assert check(pod(spec="containers: []"), "--cluster", "us-east-1")[1] == [("BPM001", "error", 4)]
    assert check(pod(), "--cluster", "DE")[1] == [("BPM001", "error", 7)]  # what binds it wins
    code, _, out = check(pod(), "--cluster", "atlantis")
    assert code == 2 and "BP1235" in out


def test_a_preferred_place_is_asked_about_where_only_the_cluster_is_known(check: Run) -> None:
    spec = (
        "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: "
        "{matchExpressions: [{key: topology.kubernetes.io/region, operator: In, values: [us-east-1]}]}}]}}"
    )
    assert check(pod(spec=spec), "--cluster", "DE")[1] == [("BPM001", "error", 7)]
    assert check(pod(DATA + ", borderpost.dev/country: DE", spec), "--cluster", "DE")[1] == []


REGION, ZONE = "topology.kubernetes.io/region", "topology.kubernetes.io/zone"


def term(*expressions: tuple[str, str, list[str]]) -> dict[str, object]:
    return {"matchExpressions": [{"key": key, "operator": how, "values": values} for key, how, values in expressions]}


@pytest.mark.parametrize(
    ("terms", "rules"),
    [
        ([term((REGION, "In", ["eu-west-1"]))], []),
        ([term((REGION, "NotIn", ["us-east-1"]))], ["BPM002"]),
        ([term((REGION, "Exists", []))], ["BPM002"]),
        ([term((REGION, "In", ["eu-west-1"])), term()], ["BPM002"]),  # terms are alternatives
        ([term((REGION, "In", ["eu-west-1"])), term((REGION, "In", ["us-east-1"]))], ["BPM001"]),
        ([term((REGION, "In", ["eu-west-1", "us-east-1"]), (ZONE, "In", ["eu-west-1a"]))], []),
        # Nothing satisfies both expressions: whichever of them is a mistake, both places are asked about.
        ([term((REGION, "In", ["us-east-1"]), (ZONE, "In", ["eu-west-1a"]))], ["BPM001"]),
    ],
)
def test_required_affinity_binds_by_its_terms(check: Run, terms: object, rules: list[str]) -> None:
    spec = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: %s}}}"
    assert [rule for rule, _, _ in check(pod(spec=spec % json.dumps(terms)))[1]] == rules


def test_labels_name_classes_and_people_in_many_ways(check: Run) -> None:
    for labels, noted in (
        ("borderpost.dev/data-class: health.payment, borderpost.dev/subjects: de_fr", ""),
        ("borderpost.dev/data-class: health", 'borderpost.dev/subjects: "AT, EEA"'),
        ("borderpost.dev/tenant: clinic, borderpost.dev/subjects: eea", ""),
        ("borderpost.dev/tenant: shop, borderpost.dev/subjects: EEA", ""),
        ("borderpost.dev/data-class: public, borderpost.dev/subjects: EEA", "borderpost.dev/data-class: health"),
    ):
        assert check(pod(labels, US, noted))[1] == [("BPM001", "error", 7)], labels
    assert check(pod("borderpost.dev/data-class: public, borderpost.dev/subjects: EEA"))[1] == []


@pytest.mark.parametrize(
    "labels",
    [
        "borderpost.dev/data-class: helth, borderpost.dev/subjects: DE",
        "borderpost.dev/data-class: health, borderpost.dev/subjects: UK",
        "borderpost.dev/data-class: health, borderpost.dev/subjects: EEEA",
        "borderpost.dev/tenant: klinik, borderpost.dev/subjects: DE",
        "borderpost.dev/data-class: '', borderpost.dev/subjects: DE",
        "borderpost.dev/data-class: health, borderpost.dev/subjects: DE, borderpost.dev/country: Deutschland",
    ],
)
def test_a_label_that_says_nothing_known_is_never_passed_over(check: Run, labels: str) -> None:
    code, found, _ = check(pod(labels, "nodeSelector: {topology.kubernetes.io/region: eu-west-1}"))
    assert code == 1
    assert ("BPM011", "error", 5) in found


def test_two_tenants_cannot_both_be_meant(check: Run) -> None:
    text = pod("borderpost.dev/tenant: shop, borderpost.dev/subjects: DE", annotations="borderpost.dev/tenant: clinic")
    assert ("BPM011", "error", 6) in check(text)[1]


def test_whose_data_it_is_may_be_said_once_for_all(check: Run) -> None:
    text = pod("borderpost.dev/data-class: health")
    assert check(text)[1] == [("BPM010", "error", 5)]
    assert check(text, "--subjects", "DE,CH")[1] == [("BPM001", "error", 7)]
    assert check(text, "--subjects", "US")[1] == []
    assert check(text, "--subjects", "EEEA")[0] == 2


def test_those_whom_nobody_serves_have_no_data_anywhere(check: Run) -> None:
    """Everybody's data: of embargoed places alone, which the group only contains, nothing is said."""
    text = pod("borderpost.dev/data-class: public", "nodeSelector: {topology.kubernetes.io/region: eu-west-1}")
    assert check(text, "--subjects", "*")[1] == []
    assert check(text, "--subjects", "KP")[1] == [("BPM001", "error", 7)]


def test_without_labels_nothing_is_judged_unless_asked_for(check: Run) -> None:
    assert check(pod("app: x"))[:2] == (0, [])
    assert check(pod("app: x"), "--require-labels")[:2] == (1, [("BPM012", "error", 4)])
    ignored = pod("app: x", annotations="borderpost.dev/ignore: BPM012 a test of ours")
    assert check(ignored, "--require-labels")[:2] == (0, [])


def test_labels_may_have_another_prefix(check: Run) -> None:
    text = pod("example.com/data-class: health, example.com/subjects: DE")
    assert check(text)[1] == []
    assert check(text, "--label-prefix", "example.com/")[1] == [("BPM001", "error", 7)]


def test_a_finding_is_accepted_by_code_and_reason(check: Run) -> None:
    def ignoring(text: str) -> list[tuple[str, str, int]]:
        return check(pod(annotations=f"borderpost.dev/ignore: {text}"))[1]

    assert ignoring("BPM001 approved by counsel") == []
    assert ignoring('"BPM002,BPM001 approved; BPM003 too"') == []
    assert ignoring("BPM002 approved by counsel") == [("BPM001", "error", 7)]
    assert ignoring("BPM001") == [("BPM013", "warning", 6), ("BPM001", "error", 7)]
    assert ignoring("BPM099 why") == [("BPM013", "warning", 6), ("BPM001", "error", 7)]


def test_rules_are_selected_and_left_out(check: Run) -> None:
    assert check(pod(), "--select", "BPM002,BPM003")[:2] == (0, [])
    assert check(pod(), "--select", "BPM001")[:2] == (1, [("BPM001", "error", 7)])
    assert check(pod(), "--ignore", "BPM001")[:2] == (0, [])
    code, _, out = check(pod(), "--ignore", "BPM1")
    assert code == 2 and "BP1236" in out


NAMESPACED = """\
apiVersion: v1
kind: Namespace
metadata: {name: a, labels: {borderpost.dev/data-class: health, borderpost.dev/subjects: DE, %s}}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: a%s}
spec: {}
"""


def test_a_namespace_speaks_for_what_is_in_it(check: Run) -> None:
    assert check(NAMESPACED % ("borderpost.dev/region: us-east-1", ""))[1] == [("BPM001", "error", 3)]
    assert check(NAMESPACED % ("topology.kubernetes.io/region: eu-west-1", ""))[1] == []
    own = ", labels: {borderpost.dev/region: eu-west-1}"
    assert check(NAMESPACED % ("borderpost.dev/region: us-east-1", own))[1] == []
    own = ", labels: {borderpost.dev/data-class: public}"
    assert check(NAMESPACED % ("borderpost.dev/region: us-east-1", own))[1] == []


def test_overlays_for_two_regions_keep_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, region in (("eu", "eu-west-1"), ("us", "us-east-1")):
        (folder / name).mkdir()
        (folder / name / "all.yaml").write_text(NAMESPACED % (f"borderpost.dev/region: {region}", ""))
    assert cli.main(["policy", "check", "us", "eu", "--format", "github"]) == 1
    out, _ = capsys.readouterr()
    assert [line.split(",")[0] for line in out.splitlines()] == ["::error file=us/all.yaml"]


def test_a_template_is_told_to_be_rendered(check: Run) -> None:
    for text in ("a: {{ .Values.a }}\nb: {{ x }} y\n", 'kind: "{{ .Values.kind }}"\napiVersion: v1\n'):
        code, _, out = check(text)
        assert code == 2
        (error,) = json.loads(out)["errors"]
        assert (error["code"], error["place"]["line"]) == ("BP1230", 1)
        assert "helm template" in error["mend"]


def test_what_cannot_be_read_hides_no_finding(folder: Path, check: Run, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "plan.out").write_bytes(b"PK\x03\x04\0\0")
    code, found, out = check(pod(), "plan.out", "nothing.yaml")
    assert (code, found) == (2, [("BPM001", "error", 7)])
    assert [error["code"] for error in json.loads(out)["errors"]] == ["BP1231", "BP0003"]
    assert cli.main(["policy", "check", "m.yaml", "plan.out"]) == 2
    out, err = capsys.readouterr()
    assert "BPM001" in out and "BP1231" in err


def test_merge_keys_bind_as_in_kubernetes(check: Run) -> None:
    text = "anchors:\n  - &us {topology.kubernetes.io/region: us-east-1}\n---\n"
    assert check(text.replace("---\n", ""))[:2] == (0, [])
    merged = pod(spec="x: &us {topology.kubernetes.io/region: us-east-1}, nodeSelector: {<<: *us}")
    assert check(merged)[1] == [("BPM001", "error", 7)]
    own = (
        "x: &us {topology.kubernetes.io/region: us-east-1}, nodeSelector: {<<: *us, topology.kubernetes.io/region: %s}"
    )
    assert check(pod(spec=own % "eu-west-1"))[1] == []
    listed = pod(spec="x: [&a {b: c}, &us {topology.kubernetes.io/region: us-east-1}], nodeSelector: {<<: [*a, *us]}")
    assert check(listed)[1] == [("BPM001", "error", 7)]
    code, _, out = check(pod(spec="nodeSelector: {<<: 1}"))
    assert code == 2 and "BP1232" in out


def test_standard_input_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pod().encode())))
    assert cli.main(["policy", "check", "-"]) == 1
    out, _ = capsys.readouterr()
    assert "  --> -:7:23: Pod default/p" in out
    assert "1 file, 1 place of labelled data judged: 1 error" in out


def test_every_format_tells_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [case for case in planted() if case.file in ("mesh.yaml", "google.plan.json")]
    for number, case in enumerate(cases):
        (folder / f"{number}-{case.file}").write_text(case.text)
    names = sorted(path.name for path in folder.glob("[0-9]*"))
    told = {}
    for report in ("json", "sarif", "github", "text"):
        config = ("-c", str(FOLDER / "borderpost.yaml"))
        assert cli.main(["policy", "check", *names, *config, "--at", "2026-11-21", "--format", report]) == 1
        told[report] = capsys.readouterr().out
    log = json.loads(told["sarif"])
    check_sarif(log)
    results = log["runs"][0]["results"]
    expected = [(item["rule"], item["file"], item["line"]) for item in json.loads(told["json"])["findings"]]
    assert len(expected) >= len(cases)
    places = [result["locations"][0]["physicalLocation"] for result in results]
    sarif = [
        (result["ruleId"], place["artifactLocation"]["uri"], place["region"]["startLine"])
        for result, place in zip(results, places, strict=True)
    ]
    assert sarif == expected
    assert [line.split("title=")[1].split(" ")[0] for line in told["github"].splitlines()] == [e[0] for e in expected]
    assert told["text"].count("\n  --> ") == len(expected)
    assert {rule["id"] for rule in log["runs"][0]["tool"]["driver"]["rules"]} <= RULES.keys()


def test_a_name_in_a_manifest_writes_no_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "m.yaml").write_text(pod().replace("name: p", 'name: "x\\n::error::injected"'))
    assert cli.main(["policy", "check", "m.yaml", "--format", "github"]) == 1
    out, _ = capsys.readouterr()
    assert len(out.splitlines()) == 1


def test_what_a_route_sends_is_asked_of_what_stands_behind(check: Run) -> None:
    """Labels of the pods count for the rule about their host, and each place is told once, where it is written."""
    text = """\
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: a}
spec: {selector: {app: chat}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: a}
spec:
  template:
    metadata: {labels: {app: chat, borderpost.dev/data-class: health, borderpost.dev/subjects: DE}}
    spec: {nodeSelector: {topology.kubernetes.io/region: %s}, containers: []}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: chat, namespace: b}
spec:
  host: chat.a.svc.cluster.local
  trafficPolicy: {loadBalancer: {localityLbSetting: {failover: [{from: eu-west-1, to: %s}]}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: chat, namespace: b}
spec: {hosts: [x], http: [{route: [{destination: {host: chat.a}}]}]}
"""
    assert check(text % ("eu-west-1", "eu-west-3"))[1] == []
    assert check(text % ("eu-west-1", "us-east-1"))[1] == [("BPM005", "error", 19)]
    assert check(text % ("us-east-1", "eu-west-3"))[1] == [("BPM001", "error", 12)]


def test_the_nearest_service_entry_is_the_host_s(check: Run) -> None:
    entry = """\
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: %s, namespace: a, labels: {borderpost.dev/region: %s}}
spec: {hosts: ["%s"]}
---
"""
    route = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: a, labels: {borderpost.dev/data-class: health, borderpost.dev/subjects: DE}}
spec: {hosts: [x], http: [{route: [{destination: {host: %s}}]}]}
"""
    entries = entry % ("far", "us-east-1", "*.example") + entry % ("near", "eu-west-1", "*.eu.example")
    entries += entry % ("one", "us-east-1", "one.eu.example")
    assert check(entries + route % "x.eu.example")[1] == []
    assert check(entries + route % "one.eu.example")[1] == [("BPM003", "error", 19)]
    assert check(entries + route % "x.example")[1] == [("BPM003", "error", 19)]
    assert check(entries + route % "x.other")[1] == [("BPM004", "error", 19)]


def test_labels_of_any_template_count(check: Run) -> None:
    workers = """\
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: l}
spec:
  leaderWorkerTemplate:
    leaderTemplate: {spec: {nodeSelector: {topology.kubernetes.io/region: us-east-1}}}
    workerTemplate:
      metadata: {labels: {%s}}
      spec: {nodeSelector: {topology.kubernetes.io/region: us-east-1}}
"""
    assert check(workers % DATA)[1] == [("BPM001", "error", 9)]
    job = """\
apiVersion: batch/v1
kind: CronJob
metadata: {name: c}
spec:
  jobTemplate:
    metadata: {annotations: {%s}}
    spec: {template: {spec: {nodeSelector: {topology.kubernetes.io/region: us-east-1}}}}
"""
    assert check(job % DATA)[1] == [("BPM001", "error", 7)]
