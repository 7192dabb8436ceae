"""Names of places, the table of clouds, and that the judgement is the law's own."""

from __future__ import annotations

import itertools

import pytest

from borderpost.config.packs import built_in_packs
from borderpost.manifests.clouds import known_clouds
from borderpost.manifests.labels import Handled
from borderpost.manifests.law import PlaceLaw
from borderpost.manifests.locations import Geography, Location, Sighting
from borderpost.manifests.questions import WORKLOAD, Question
from borderpost.manifests.tree import Node
from borderpost.policy.bundle import build_bundle
from borderpost.policy.compile import compile_policy
from borderpost.policy.decide import decide
from borderpost.policy.events import EventList, compile_events
from borderpost.policy.fields import parse_instant, to_us
from borderpost.policy.model import Evidence, Facts, Source
from borderpost.policy.schema import Here, Operator, PolicySection, RegionSpec
from borderpost.reports.finding import Level
from borderpost_base.json_source import load_json

NOWHERE = Node(load_json(b"{}", "x.json"), (), {})
GEOGRAPHY = Geography(["own", "eu-central-1"], ["EEA"])


@pytest.mark.parametrize(
    ("host", "place"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "US"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "US"),
        ("BEDROCK-RUNTIME.EU-WEST-3.AMAZONAWS.COM.", "FR"),
        ("vpce-0a1.bedrock-runtime.eu-west-1.vpce.amazonaws.com", "IE"),
        ("runtime.sagemaker.ap-northeast-2.amazonaws.com", "KR"),
        ("bucket.s3.eu-north-1.amazonaws.com", "SE"),
        ("s3-ap-southeast-2.amazonaws.com", "AU"),
        ("bedrock-runtime.eu-central-1.api.aws", "DE"),
        ("s3.cn-north-1.amazonaws.com.cn", "CN"),
        ("bedrock-runtime.eusc-de-east-1.amazonaws.eu", "DE"),
        ("germanywestcentral.api.cognitive.microsoft.com", "DE"),
        ("chat.westeurope.inference.ml.azure.com", "NL"),
        ("chat.eastus2.models.ai.azure.com", "US"),
        ("europe-west4-aiplatform.googleapis.com", "NL"),
        ("northamerica-northeast1-aiplatform.googleapis.com", "CA-QC"),
        ("aiplatform.us.rep.googleapis.com", "US"),
        ("chat-123.europe-west10.run.app", "DE"),
        ("us-central1-project.cloudfunctions.net", "US"),
    ],
)
def test_a_cloud_s_host_says_where_it_is(host: str, place: str) -> None:
    told = GEOGRAPHY.host(host)
    assert told is not None and told[0] is not None
    assert told[0].codes == (place,)


@pytest.mark.parametrize(
    "host",
    [
        "chat.openai.azure.com", "chat.cognitiveservices.azure.com", "chat.services.ai.azure.com", "x.openai.azure.us",
        "data.blob.core.windows.net", "s3.amazonaws.com", "storage.googleapis.com", "aiplatform.googleapis.com",
        "generativelanguage.googleapis.com", "api.openai.com", "api.anthropic.com", "chat-abc-ew.a.run.app",
        "bedrock-runtime.xx-nowhere-9.amazonaws.com",
        "atlantis-west1-aiplatform.googleapis.com",
    ],
)  # fmt: skip
def test_an_endpoint_whose_name_tells_no_place_is_unknown(host: str) -> None:
    told = GEOGRAPHY.host(host)
    assert told is not None
    assert told[0] is None
    assert host in told[1]


@pytest.mark.parametrize(
    "host",
    ["example.org", "chat.prod.svc.cluster.local", "us-east-1.example.org", "evilamazonaws.com", "sts.amazonaws.com",
     "login.microsoftonline.com", "oauth2.googleapis.com", "a" * 300 + ".amazonaws.com", ""],
)  # fmt: skip
def test_other_hosts_are_nobody_s(host: str) -> None:
    assert GEOGRAPHY.host(host) is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("https://bedrock-runtime.us-east-1.amazonaws.com/model", [("US",)]),
        (
            '{"a":"https://chat.westeurope.inference.ml.azure.com/x","b":"s3.eu-west-1.amazonaws.com"}',
            [("NL",), ("IE",)],
        ),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", [("US",)]),
        ("bedrock/global.amazon.nova-pro", [()]),
        (
            "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.meta.llama",
            [("DE", "ES", "FR", "IE", "IT", "SE"), ("IE",)],
        ),
        ("arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude", [("US",)]),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/moon.meta.llama", [None, ("IE",)]),
        ("anthropic.claude-sonnet", []),
        ("https://docs.google.com/x https://api.openai.com.example.org", []),
        ("somebody@bedrock.us-east-1.amazonaws.com", []),
        ("", []),
    ],
)
def test_texts_are_searched_for_hosts_profiles_and_arns(text: str, codes: list[tuple[str, ...] | None]) -> None:
    found = GEOGRAPHY.hosts_in(Node(NOWHERE.document, (), text))
    assert [sighting.location.codes if sighting.location else None for sighting in found] == codes


@pytest.mark.parametrize(
    ("text", "cloud", "codes"),
    [
        ("eu-central-1", None, ("DE",)),
        ("eu-central-1c", None, ("DE",)),
        ("europe-west4-b", "gcp", ("NL",)),
        ("East US 2", "azure", ("US",)),
        ("eastus2", None, ("US",)),
        ("westeurope-3", None, ("NL",)),
        ("US-EAST1", "gcp", ("US",)),
        ("EUR4", "gcp", ("FI", "NL")),
        ("global", "gcp", ()),
        ("own", None, ()),
    ],
)
def test_regions_zones_and_areas_have_places(text: str, cloud: str | None, codes: tuple[str, ...]) -> None:
    location = GEOGRAPHY.region(text, cloud)
    assert location is not None
    assert location.codes == codes


@pytest.mark.parametrize(
    "text", ["us", "eu", "global", "us-east-9", "us-east-1-bos-1a", "", "ap-southeast-1-mnl-1a", "x"]
)
def test_what_nobody_lists_is_unknown(text: str) -> None:
    assert GEOGRAPHY.region(text) is None


def test_the_table_of_clouds_fits_together() -> None:
    clouds = known_clouds().clouds
    names = [region for cloud in clouds.values() for region in cloud.regions]
    assert len(names) == len(set(names)) > 120
    assert {"aws", "azure", "gcp"} <= clouds.keys()
    for cloud in clouds.values():
        assert cloud.source.startswith("https://")
        assert {*cloud.pairs, *cloud.pairs.values()} <= cloud.regions.keys()
        for region, pair in cloud.pairs.items():
            assert cloud.regions[region] != cloud.regions[pair]
        assert not cloud.areas.keys() & set(names)
        for codes in cloud.areas.values():
            assert len(codes) == len(set(codes))
    eu = set(clouds["azure"].areas["datazone-eu"])
    assert eu == set(clouds["gcp"].areas["eu"]) and len(eu) == 27
    assert set(clouds["aws"].areas["eu"]) <= eu


PACKS = built_in_packs("world")
AT_US = to_us(parse_instant("2026-11-21"))
PEOPLE = ("DE", "GB", "CH", "US", "CA-QC", "CA", "JP", "IN", "SG", "AE-DIFC", "BR", "CN", "RU", "KP", "TV", "XK")
CLASSES = (("personal",), ("health",), ("public",), ("phi",), ("important-data", "personal"))


def test_the_judgement_is_the_law_s_own() -> None:
    """For people of many places and every class: as `decide` says of a gateway that stands where the region does."""
    bundle = build_bundle(here=Here(country="SG"), packs=PACKS, policy=PolicySection(packs=()))
    law = PlaceLaw(bundle, {}, EventList(), AT_US, lambda _reason: None, Level.ERROR)
    questions = []
    expected = []
    for region in ("eu-central-1", "us-east-1", "ap-northeast-1", "cn-north-1", "canadaeast", "europe-west6"):
        location = GEOGRAPHY.region(region)
        assert location is not None and location.cloud is not None
        cloud = known_clouds().clouds[location.cloud]
        (code,) = location.codes
        operator = Operator(entity=cloud.entity, jurisdiction=cloud.jurisdiction)
        subdivision = code if "-" in code else None
        here = Here(country=code[:2], subdivision=subdivision, operator=operator)
        spec = RegionSpec(
            country=code[:2], subdivision=subdivision, operator=operator, retention="same", telemetry="same"
        )
        policy = compile_policy(bundle.model_copy(update={"here": here}), {"x": spec})
        events = compile_events(EventList(), policy)
        for person, classes in itertools.product(PEOPLE, CLASSES):
            facts = Facts(evidence=(Evidence(Source.TOKEN, person),), classes=classes)
            expected.append(decide(facts, policy, events, AT_US).legal == ("x",))
            handled = Handled(classes, (person,), None, None, frozenset())
            node = Node(NOWHERE.document, (str(len(questions)),), None)
            questions.append(Question("x", handled, Sighting(location, node, "a test"), WORKLOAD))
    told = {finding.subject for finding in law.findings([q._replace(subject=str(n)) for n, q in enumerate(questions)])}
    assert [str(number) not in told for number in range(len(questions))] == expected
    assert 100 < sum(expected) < len(expected) - 100


def test_more_places_than_a_catalogue_holds_are_judged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("borderpost_base.limits.REGIONS_MAX", 3)
    bundle = build_bundle(here=Here(country="DE"), packs=built_in_packs("eu-gdpr"), policy=PolicySection(packs=()))
    law = PlaceLaw(bundle, {}, EventList(), AT_US, lambda _reason: None, Level.ERROR)
    handled = Handled(("personal",), ("DE",), None, None, frozenset())
    names = sorted(known_clouds().clouds["aws"].regions)
    questions = [
        Question(name, handled, Sighting(GEOGRAPHY.region(name), NOWHERE, "a test"), WORKLOAD) for name in names
    ]
    refused = {finding.subject for finding in law.findings(questions)}
    assert {"us-east-1", "me-central-1", "ap-south-1"} <= refused
    assert not {"eu-west-1", "eu-west-2", "ap-northeast-1", "eu-central-2"} & refused


def test_people_of_a_country_without_a_part_of_it_are_asked_about() -> None:
    section = PolicySection.model_validate({"packs": [], "groups": {"REST": {"plus": ["CA"], "minus": ["CA-QC"]}}})
    bundle = build_bundle(here=Here(country="CA"), packs=built_in_packs("ca-pipeda"), policy=section)
    law = PlaceLaw(bundle, {}, EventList(), AT_US, lambda _reason: None, Level.ERROR)
    handled = Handled(("personal",), ("REST",), None, None, frozenset())
    question = Question("x", handled, Sighting(Location("US", ("US",)), NOWHERE, "a test"), WORKLOAD)
    (finding,) = law.findings([question])
    assert "people in REST" in finding.message and "ca-pipeda" in finding.message
