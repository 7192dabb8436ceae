"""What is rendered for a release of Istio is what its proxy contains: held against the lists of istio/proxy."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from borderpost.config.istio import IstioVersion
from borderpost_envoy import FailoverCluster, RouteStyle, Via
from borderpost_istio.kinds import as_data
from borderpost_istio.render import render_objects
from borderpost_istio.versions import EXTENSIONS, GATED_EXTENSIONS, RELEASES, Feature, has
from support.istio_plans import BODIES, RATE_LIMIT, plan

LISTS: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent.parent / "data" / "istio_extensions.json").read_text()
)
"""By release: the extensions in istio/proxy's `bazel/extension_config/extensions_build_config.bzl` at `ref`."""
FIELDS = {
    "remove_on_match": Feature.STRIP_BY_PREFIX,
    "cluster_specifier_plugins": Feature.CLUSTER_MATCHER,
    "cluster_specifier_plugin": Feature.CLUSTER_MATCHER,
}
"""Fields that are rendered for those releases alone that have the feature."""


@functools.lru_cache
def everything(version: IstioVersion, via: Via, style: RouteStyle) -> dict[str, Any]:
    """Return a rendering that uses all there is, as one piece of data."""
    failover = (FailoverCluster("europe", ("eu-1", "eu-2")),) if has(version, Feature.CLUSTER_RETRIES) else ()
    made = plan(
        version=version, via=via, route_style=style, failover=failover, rate_limit=RATE_LIMIT, bodies=BODIES,
        access_log="/dev/stdout",
    )  # fmt: skip
    return {"objects": [as_data(each) for each in render_objects(made)]}


def nodes(data: Any) -> Iterator[dict[str, Any]]:
    """Yield every mapping in the data."""
    if isinstance(data, dict):
        yield data
    for inner in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from nodes(inner)


def test_the_configuration_knows_the_same_releases() -> None:
    assert tuple(RELEASES) == get_args(IstioVersion) == tuple(LISTS)


def test_releases_only_gain_features() -> None:
    for earlier, later in itertools.pairwise(RELEASES.values()):
        assert earlier.features <= later.features
        assert earlier.envoy < later.envoy


@pytest.mark.parametrize("version", RELEASES)
def test_the_extensions_are_in_the_proxy_of_a_release(version: str) -> None:
    present = set(LISTS[version]["extensions"])
    for extension in filter(None, EXTENSIONS.values()):
        gate = GATED_EXTENSIONS.get(extension)
        assert (extension in present) == (gate is None or has(version, gate)), extension


@pytest.mark.parametrize("version", RELEASES)
@pytest.mark.parametrize(
    ("via", "style"), [(Via.EXT_PROC, RouteStyle.MATCHER), (Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER)]
)
def test_a_release_is_told_nothing_that_its_proxy_lacks(version: IstioVersion, via: Via, style: RouteStyle) -> None:
    present = set(LISTS[version]["extensions"])
    for node in nodes(everything(version, via, style)):
        message = node.get("@type", "").removeprefix("type.googleapis.com/")
        if message:
            extension = EXTENSIONS[message]
            assert extension is None or extension in present, message
        for field, feature in FIELDS.items():
            assert field not in node or has(version, feature), field
        if message.endswith(".ExternalProcessor"):
            assert ("status_on_error" in node) == has(version, Feature.EXT_PROC_STATUS)


def test_everything_in_the_table_is_rendered_somewhere() -> None:
    rendered = {
        node["@type"].removeprefix("type.googleapis.com/")
        for version, via, style in (
            ("1.27", Via.EXT_PROC, RouteStyle.MATCHER),
            ("1.30", Via.EXT_PROC, RouteStyle.MATCHER),
            ("1.30", Via.EXT_AUTHZ, RouteStyle.CLUSTER_HEADER),
        )
        for node in nodes(everything(version, via, style))  # type: ignore[arg-type]
        if "@type" in node
    }
    assert rendered == set(EXTENSIONS)


def test_headers_are_stripped_by_name_where_they_cannot_be_by_prefix() -> None:
    removed = [
        node["remove"] for node in nodes(everything("1.27", Via.EXT_PROC, RouteStyle.MATCHER)) if "remove" in node
    ]
    assert {"x-borderpost-cluster", "x-borderpost-client", "x-envoy-retry-on"} <= set(removed)
