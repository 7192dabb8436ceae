"""Terraform plans: tags by any way, regions of providers, states, and what is not known before apply."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from borderpost.cli import main as cli

AWS = "registry.terraform.io/hashicorp/aws"
AZURE = "registry.terraform.io/hashicorp/azurerm"
GOOGLE = "registry.terraform.io/hashicorp/google"
TAGS = {"borderpost-data-class": "health", "borderpost-subjects": "DE"}


def resource(address: str, provider: str = AWS, **values: Any) -> dict[str, Any]:
    type_ = address.split("[")[0].split(".")[-2]
    return {"address": address, "mode": "managed", "type": type_, "provider_name": provider, "values": values}


def plan(
    *resources: dict[str, Any],
    providers: dict[str, Any] | None = None,
    blocks: list[dict[str, Any]] | None = None,
    variables: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "format_version": "1.2",
        "terraform_version": "1.12.1",
        "variables": variables or {},
        "planned_values": {"root_module": {"resources": list(resources)}},
        "configuration": {"provider_config": providers or {}, "root_module": {"resources": blocks or []}},
    }


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    (tmp_path / "borderpost.yaml").write_text("here: {country: DE}\nregions: {own: {country: DE}}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BORDERPOST_CONFIG", raising=False)

    def run(document: dict[str, Any], *options: str) -> list[tuple[str, str]]:
        (tmp_path / "plan.json").write_text(json.dumps(document))
        code = cli.main(["policy", "check", "--json", "--at", "2026-11-21", *options, "plan.json"])
        told = json.loads(capsys.readouterr().out)
        assert told["errors"] == []
        assert code == (1 if told["findings"] else 0)
        return [(finding["rule"], finding["subject"]) for finding in told["findings"]]

    return run


def test_tags_of_the_provider_count_for_its_resources(found: Any) -> None:
    providers = {
        "aws": {
            "name": "aws",
            "expressions": {
                "region": {"constant_value": "us-east-1"},
                "default_tags": [{"tags": {"constant_value": TAGS}}],
            },
        }
    }
    assert found(plan(resource("aws_s3_bucket.b"), providers=providers)) == [("BPM007", "aws_s3_bucket.b")]
    public = resource("aws_s3_bucket.b", tags={"borderpost-data-class": "public"})
    assert found(plan(public, providers=providers)) == []
    assert found(plan(resource("aws_iam_role.r"), providers=providers)) == []  # stands nowhere


@pytest.mark.parametrize("key", ["borderpost-data-class", "borderpost:data-class", "borderpost.dev/data-class",
                                 "Borderpost_Data_Class", "borderpost-dev-data-class"])  # fmt: skip
def test_a_tag_may_be_written_as_its_cloud_allows(found: Any, key: str) -> None:
    tags = {key: "health", "borderpost-subjects": "DE"}
    assert found(plan(resource("aws_s3_bucket.b", region="us-east-1", tags=tags))) == [("BPM007", "aws_s3_bucket.b")]


def test_what_is_not_known_before_apply_is_a_finding(found: Any) -> None:
    assert found(plan(resource("aws_sagemaker_endpoint.e", tags=TAGS))) == [("BPM002", "aws_sagemaker_endpoint.e")]
    providers = {"aws": {"name": "aws", "expressions": {"region": {"references": ["data.aws_region.x.name"]}}}}
    document = plan(resource("aws_sagemaker_endpoint.e", tags=TAGS), providers=providers)
    assert found(document) == [("BPM002", "aws_sagemaker_endpoint.e")]
    assert found(document, "--unknown-place", "warning", "--ignore", "BPM002") == []


def test_two_providers_of_one_cloud_are_told_apart_by_the_configuration_alone(found: Any) -> None:
    providers = {
        "aws": {"name": "aws", "expressions": {"region": {"constant_value": "eu-west-1"}}},
        "aws.us": {"name": "aws", "alias": "us", "expressions": {"region": {"constant_value": "us-east-1"}}},
    }
    bucket = resource("aws_s3_bucket.b", tags=TAGS)
    assert found(plan(bucket, providers=providers)) == [("BPM008", "aws_s3_bucket.b")]
    for key, expected in (("aws", []), ("aws.us", [("BPM007", "aws_s3_bucket.b")])):
        blocks = [{"address": "aws_s3_bucket.b", "type": "aws_s3_bucket", "provider_config_key": key}]
        assert found(plan(bucket, providers=providers, blocks=blocks)) == expected


def test_a_provider_s_region_may_be_a_variable(found: Any) -> None:
    providers = {"google": {"name": "google", "expressions": {"region": {"references": ["var.region"]}}}}
    run = resource("google_cloud_run_v2_service.s", GOOGLE, labels=TAGS)
    for region, expected in (("europe-west1", []), ("us-east4", ["BPM001"]), ("mars-west1", ["BPM002"])):
        document = plan(run, providers=providers, variables={"region": {"value": region}})
        assert [rule for rule, _ in found(document)] == expected


def test_a_state_is_read_like_a_plan(found: Any) -> None:
    machine = resource("azurerm_linux_virtual_machine.v", AZURE, location="westus3", tags=TAGS)
    state = {
        "format_version": "1.0",
        "terraform_version": "1.12.1",
        "values": {"root_module": {"resources": [machine]}},
    }
    assert found(state) == [("BPM001", "azurerm_linux_virtual_machine.v")]


@pytest.mark.parametrize(
    ("sku", "location", "expected"),
    [
        ("Standard", "swedencentral", []),
        ("GlobalStandard", "swedencentral", ["BPM009"]),
        ("GlobalBatch", "swedencentral", ["BPM009"]),
        ("GlobalProvisionedManaged", "swedencentral", ["BPM009"]),
        ("DataZoneStandard", "swedencentral", []),
        ("DataZoneStandard", "eastus", ["BPM001", "BPM009"]),
        ("DataZoneStandard", "uksouth", ["BPM002"]),  # Great Britain is in no zone
    ],
)
def test_deployment_types_of_azure_cross_regions(found: Any, sku: str, location: str, expected: list[str]) -> None:
    account = resource("azurerm_cognitive_account.a", AZURE, location=location)
    deployment = resource("azurerm_cognitive_deployment.d", AZURE, sku=[{"name": sku}])
    account["values"]["tags"] = {"borderpost-data-class": "public", "borderpost-subjects": "DE"}
    deployment["values"]["tags"] = TAGS
    blocks = [
        {
            "address": "azurerm_cognitive_deployment.d",
            "expressions": {"cognitive_account_id": {"references": ["azurerm_cognitive_account.a.id"]}, "sku": [{}]},
        }
    ]
    assert sorted(rule for rule, _ in found(plan(account, deployment, blocks=blocks))) == expected


def test_computed_endpoints_are_not_calls(found: Any) -> None:
    """An account's own endpoint is where the account is; only what somebody wrote is a call."""
    account = resource(
        "azurerm_cognitive_account.a", AZURE, location="westeurope", endpoint="https://a.openai.azure.com/", tags=TAGS
    )
    assert found(plan(account)) == []
    app = resource("azurerm_container_app.c", AZURE, location="westeurope", tags=TAGS)
    app["values"]["template"] = [{"container": [{"env": [{"name": "U", "value": "https://a.openai.azure.com/"}]}]}]
    assert found(plan(app)) == [("BPM004", "azurerm_container_app.c")]


def test_worldwide_services_are_anywhere(found: Any) -> None:
    assert found(plan(resource("aws_cloudfront_distribution.d", tags=TAGS))) == [
        ("BPM009", "aws_cloudfront_distribution.d")
    ]


def test_resources_without_tags_are_findings_where_labels_are_required(found: Any) -> None:
    document = plan(
        resource("aws_sagemaker_endpoint.e", region="eu-west-1"),
        resource("aws_security_group.g", region="eu-west-1"),
        resource("google_storage_bucket.b", GOOGLE, location="EU", labels={"team": "red"}),
        resource("random_id.r", "registry.terraform.io/hashicorp/random"),
    )
    assert found(document) == []
    assert sorted(found(document, "--require-labels")) == [
        ("BPM012", "aws_sagemaker_endpoint.e"),
        ("BPM012", "google_storage_bucket.b"),
    ]


def test_a_tag_accepts_a_finding(found: Any) -> None:
    ignoring = TAGS | {"borderpost-ignore": "BPM007 synthetic data, register 12"}
    assert found(plan(resource("aws_s3_bucket.b", region="us-east-1", tags=ignoring))) == []


def test_a_written_arn_is_a_call(found: Any) -> None:
    arn = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude"
    model = resource("aws_bedrock_provisioned_model_throughput.m", region="eu-west-1", model_arn=arn, tags=TAGS)
    address = model["address"]
    blocks = [{"address": address, "expressions": {"model_arn": {"constant_value": arn}, "tags": {}}}]
    assert found(plan(model, blocks=blocks)) == [("BPM003", address)]
    model["values"] |= {"provisioned_model_arn": arn, "model_arn": arn.replace("us-east-1", "eu-west-1")}
    assert found(plan(model, blocks=blocks)) == []  # computed
