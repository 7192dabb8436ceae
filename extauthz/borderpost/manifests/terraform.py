"""Questions about a Terraform plan: labelled resources of three clouds, where they will be, and what they call.

Where a resource is: an attribute that says so (`location`, `region`, `zone`), else what it refers to, else its
provider's region. What else places it: replicas and zones in nested blocks, the deployment type of an Azure model
(`GlobalStandard`, `DataZoneStandard`), geo-redundant storage that copies into another country, inference profiles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from borderpost.manifests import rules
from borderpost.manifests.clouds import known_clouds
from borderpost.manifests.labels import Labelled, LabelReader
from borderpost.manifests.locations import Geography, Location, Sighting
from borderpost.manifests.plans import Plan, Resource
from borderpost.manifests.questions import ENDPOINT, STORAGE, WORKLOAD, Aspect, Question
from borderpost.manifests.tree import Document, Node
from borderpost.manifests.workloads import unlabelled
from borderpost.reports.finding import Finding

_TAGS = ("tags", "tags_all", "labels", "terraform_labels", "effective_labels", "user_labels", "resource_labels")
_OWN_PLACE = {"aws": ("region", "availability_zone"), "azure": ("location",), "gcp": ("location", "region", "zone")}
_PROVIDER_PLACE = {"aws": ("region",), "azure": (), "gcp": ("region", "zone")}
_NESTED = frozenset(
    {
        "availability_zone",
        "availability_zones",
        "failover_location",
        "location",
        "locations",
        "node_locations",
        "region",
        "region_name",
        "replica_locations",
        "secondary_location",
        "zone",
        "zones",
    }
)
"""Attributes in blocks that name a place besides the resource's own."""

_STORAGE = re.compile(
    r"aws_(athena|backup|db_|docdb|dynamodb|ebs|ecr_|efs|elasticache|fsx|glue|keyspaces|kinesis|memorydb|neptune"
    r"|opensearch|rds|redshift|s3|secretsmanager|timestream).*"
    r"|azurerm_(cosmosdb|data_lake|key_vault|managed_disk|mssql|mysql|netapp|postgresql|redis|search|storage).*"
    r"|google_(alloydb|bigquery|bigtable|compute_disk|filestore|firestore|pubsub|redis|secret|spanner|sql|storage).*"
)
_COMPUTE = re.compile(
    r"aws_(apprunner|batch|bedrock|ecs_service|ecs_task|eks|instance|lambda_function|sagemaker).*"
    r"|azurerm_(ai_|cognitive|container_app|container_group|kubernetes_cluster|linux_|machine_learning|windows_).*"
    r"|google_(cloud_run|cloudfunctions|compute_instance|container_|notebooks|vertex_ai|workbench).*"
)
_PLACELESS = re.compile(
    r"aws_(iam|route53|organizations|budgets|acm|sns_topic_policy).*|azurerm_(resource_group|role_|policy_|dns_).*"
    r"|google_(project|service_account|dns_|tags_|folder|organization).*|google_.*_iam_.*"
)
"""Types that hold no data of the kind and stand nowhere: names, rights, groups of others."""
_WORLDWIDE = re.compile(r"aws_(cloudfront_distribution|globalaccelerator_accelerator)|azurerm_cdn_.*")
_COMPUTED = re.compile(r"(.*_)?(arn|endpoints?|fqdn|hosts?|hostname|id|self_link|ur[il]s?)(_.*)?")
"""Attributes that providers compute, such as a resource's own endpoint: in a state nobody can tell who wrote them."""
_GEO_REDUNDANT = frozenset({"GRS", "RAGRS", "GZRS", "RAGZRS"})


def plan_questions(
    document: Document, reader: LabelReader, geography: Geography, *, require_labels: bool
) -> Iterator[Question | Finding]:
    """Yield what is to be asked, and what is wrong with tags. Raises BorderpostError BP1233."""
    plan = Plan(document)
    for resource in plan.resources:
        if resource.cloud is None or _PLACELESS.fullmatch(resource.type):
            continue
        labelled = _labelled(plan, resource, reader)
        yield from labelled.findings
        handled = labelled.handled
        if handled is None:
            known = _COMPUTE.fullmatch(resource.type) or _STORAGE.fullmatch(resource.type)
            if require_labels and known and rules.UNLABELLED.id not in labelled.ignored:
                yield unlabelled(resource.address, resource.name)
            continue
        aspect = STORAGE if _STORAGE.fullmatch(resource.type) else WORKLOAD
        asked: list[tuple[Aspect, Sighting]] = [(aspect, found) for found in labelled.sightings]
        asked += [(aspect, found) for found in _places(plan, resource, geography)]
        asked += [(ENDPOINT, found) for found in _called(resource, geography)]
        seen: set[tuple[Aspect, Location | None]] = set()
        for kind, sighting in asked:
            if (kind, sighting.location) not in seen:
                seen.add((kind, sighting.location))
                yield Question(resource.address, handled, sighting, kind)


def _labelled(plan: Plan, resource: Resource, reader: LabelReader) -> Labelled:
    own = _tags(resource)
    default_tags = plan.provider(resource).get("expressions").below("default_tags")
    inherited = [block.get("tags", "constant_value") for block in default_tags]
    if not any(isinstance(resource.values.value, dict) and name in resource.values.value for name in _TAGS):
        for other in plan.referred(resource):
            inherited += _tags(other)
    return reader.read(resource.address, own, inherited, tags=True)


def _tags(resource: Resource) -> list[Node]:
    return [resource.values.get(name) for name in _TAGS if isinstance(resource.values.get(name).value, dict)]


def _places(plan: Plan, resource: Resource, geography: Geography) -> list[Sighting]:
    """Return every place at which a resource will be."""
    if _WORLDWIDE.fullmatch(resource.type):
        return [Sighting(Location("everywhere", (), resource.cloud), resource.name, resource.type)]
    own = _own_place(plan, resource, geography)
    return [
        *(_model_place(resource, own) or [own]),
        *_nested(resource, geography),
        *_copies(resource, own, geography),
    ]


def _own_place(plan: Plan, resource: Resource, geography: Geography) -> Sighting:
    assert resource.cloud is not None
    for name in _OWN_PLACE[resource.cloud]:
        node = resource.values.get(name)
        if node.text is not None:
            location = geography.region(node.text, resource.cloud)
            how = f"the attribute {name}"
            return Sighting(location, node, how if location else f"{how} is `{node.text}`, which nobody knows")
    provider = plan.provider(resource)
    for name in _PROVIDER_PLACE[resource.cloud]:
        text = plan.expressed(provider.get("expressions", name))
        if isinstance(text, str):
            location = geography.region(text, resource.cloud)
            how = f"the provider's {name}"
            return Sighting(location, resource.name, how if location else f"{how} is `{text}`, which nobody knows")
    for other in plan.referred(resource):
        if other.cloud == resource.cloud and any(other.values.get(n).text for n in _OWN_PLACE[resource.cloud]):
            found = _own_place(plan, other, geography)
            return Sighting(found.location, resource.name, f"{other.address}: {found.how}")
    return Sighting(None, resource.name, "its region is not known before apply")


def _model_place(resource: Resource, own: Sighting) -> list[Sighting]:
    """Return where an Azure deployment of a model may process; nothing for one that stays in its region."""
    if resource.type != "azurerm_cognitive_deployment":
        return []
    for block in ("sku", "scale"):
        for node in resource.values.below(block):
            name = node.get("name") if node.get("name").text is not None else node.get("type")
            text = name.text or ""
            if text.startswith("Global"):
                return [own, Sighting(Location(text, (), "azure"), name, f"the deployment type {text}")]
            if text.startswith("DataZone"):
                places = known_clouds().clouds["azure"].areas
                home = own.location.codes if own.location is not None else ()
                zone = next((zone for zone in ("datazone-us", "datazone-eu") if set(home) & set(places[zone])), None)
                how = f"the deployment type {text}"
                if zone is None:
                    return [own, Sighting(None, name, f"{how}, whose zone is not known")]
                return [own, Sighting(Location(zone, places[zone], "azure"), name, how)]
    return []


def _nested(resource: Resource, geography: Geography) -> Iterator[Sighting]:
    """Yield the places that nested blocks name: replicas, zones, further locations."""
    waiting = [(name, node, True) for name, node in resource.values.items()]
    while waiting:
        name, node, is_top = waiting.pop()
        below = [(key, child, False) for key, child in node.items()]
        below += [(name, child, is_top and not isinstance(child.value, str)) for child in node.each()]
        waiting.extend(reversed(below))
        if name in _NESTED and node.text is not None and not is_top:
            location = geography.region(node.text, resource.cloud)
            if location is not None:
                yield Sighting(location, node, f"the attribute {name}")


def _copies(resource: Resource, own: Sighting, geography: Geography) -> Iterator[Sighting]:
    """Yield the region in another country to which geo-redundant storage copies."""
    node = resource.values.get("account_replication_type")
    if resource.type == "azurerm_storage_account" and node.text in _GEO_REDUNDANT and own.location is not None:
        pair = known_clouds().clouds["azure"].pairs.get(own.location.name)
        if pair is not None:
            yield Sighting(geography.region(pair, "azure"), node, f"{node.text}, which copies to the paired region,")


def _called(resource: Resource, geography: Geography) -> Iterator[Sighting]:
    """Yield the endpoints and models that attributes name, such as variables of containers."""
    for name, node in resource.attributes():
        if name in _TAGS or (_COMPUTED.fullmatch(name) and not resource.is_written):
            continue
        for text in node.texts():
            yield from geography.hosts_in(text)
