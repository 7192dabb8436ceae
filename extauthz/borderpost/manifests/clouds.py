"""Regions of clouds and the countries they are in: `clouds.yaml`, read once."""

from __future__ import annotations

import functools
import importlib.resources
from collections.abc import Mapping
from datetime import date
from typing import Annotated

from pydantic import Field

from borderpost.policy.fields import Code, Identifier, Text
from borderpost_base.strict import StrictModel, validate
from borderpost_base.yaml_source import load_yaml


class Cloud(StrictModel):
    """One provider, or a part of it that another legal person runs."""

    entity: Text
    """The legal person that runs it."""
    jurisdiction: Code
    """Where that person can be compelled."""
    source: Text
    """The provider's page that says where its regions are."""
    as_of: date
    """The day of reading."""
    regions: Mapping[Identifier, Code]
    """The place of each region."""
    areas: Mapping[Identifier, tuple[Code, ...]] = {}
    """Names that stand for several places, any of which may be used; none listed is anywhere."""
    pairs: Mapping[Identifier, Identifier] = {}
    """For a region, the one in another country that geo-redundant storage copies to."""
    hosts: tuple[Text, ...] = ()
    """Ends of the names of endpoints."""


class Clouds(StrictModel):
    """Everything that is known of clouds."""

    clouds: Annotated[Mapping[Identifier, Cloud], Field(min_length=1)]
    """Clouds by name."""
    endpoints: tuple[Text, ...] = ()
    """Endpoints of models whose names tell no place."""


@functools.cache
def known_clouds() -> Clouds:
    """Read what is known of clouds."""
    raw = importlib.resources.files("borderpost.manifests").joinpath("clouds.yaml").read_bytes()
    return validate(Clouds, load_yaml(raw, "clouds.yaml (built in)"))


@functools.cache
def cloud_of(region: str) -> str | None:
    """Return the cloud that has a region of this name; no two have."""
    return next((name for name, cloud in known_clouds().clouds.items() if region in cloud.regions), None)
