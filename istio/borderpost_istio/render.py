"""From a plan to objects, and from objects to YAML: one stream, or one file a kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from borderpost_envoy.text import yaml_text
from borderpost_envoy.typed import typed_models
from borderpost_istio.kinds import KubeObject, as_data
from borderpost_istio.plan import IstioPlan
from borderpost_istio.reasons import HEADERS, OBSERVING, OBSERVING_HEADER, OBSERVING_REASONS, REASONS
from borderpost_istio.sizes import check_sizes


def render_objects(plan: IstioPlan) -> list[KubeObject]:
    """Return every object of a gateway, in the order in which they are best applied: what refuses comes first.

    Raises BorderpostError BP0901 where envoy-data-plane is not installed, BP14xx for what cannot be rendered.
    """
    with typed_models():
        from borderpost_istio.patches import envoy_filters  # half a second of imports, only when rendering
    from borderpost_istio.access import access_objects
    from borderpost_istio.hosts import virtual_services
    from borderpost_istio.operations import operation_objects
    from borderpost_istio.services import destination_rules, service_entries

    objects: list[KubeObject] = [*envoy_filters(plan)]
    if plan.routes:
        regions = (*destination_rules(plan), *service_entries(plan))
        objects = [*access_objects(plan), *operation_objects(plan), *regions, *objects, *virtual_services(plan)]
    check_sizes(objects)
    return objects


def to_stream(objects: Sequence[KubeObject]) -> str:
    """Return the objects as one YAML stream, with the reasons beside the settings."""
    return "".join(f"---\n{_document(each)}" for each in objects)


def to_files(objects: Sequence[KubeObject]) -> Mapping[str, str]:
    """Return the objects as YAML by file name: one a kind, numbered in the order in which they are best applied."""
    by_kind: dict[str, list[KubeObject]] = {}
    for each in objects:
        by_kind.setdefault(each.kind, []).append(each)
    numbered = enumerate(by_kind.items(), 1)
    return {f"{number:02}-{_file_word(kind)}.yaml": to_stream(same) for number, (kind, same) in numbered}


def _document(each: KubeObject) -> str:
    if each.kind == "EnvoyFilter" and each.metadata.name.startswith(OBSERVING):
        return yaml_text(as_data(each), header=OBSERVING_HEADER, reasons=OBSERVING_REASONS)
    return yaml_text(as_data(each), header=HEADERS.get(each.kind, ""), reasons=REASONS)


def _file_word(kind: str) -> str:
    """Return a kind as the name of a file: `envoy-filter`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind).lower()
