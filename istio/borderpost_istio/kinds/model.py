"""What every Kubernetes object of ours is: a strict model that is written with Kubernetes' own field names.

Fields that are None are left out; everything else is written, an empty list or mapping too, since to Istio and
Kubernetes `rules: []` is not the same as no `rules`. Fields are written in the order in which they are declared.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

NAME_CHARACTERS_MAX = 253
"""Longest name of an object: a DNS subdomain (Kubernetes, Object Names and IDs)."""
LABEL_CHARACTERS_MAX = 63
"""Longest name of a namespace, and longest value of a label (RFC 1123)."""

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")


def is_name(text: str) -> bool:
    """Return whether a text can name an object."""
    return len(text) <= NAME_CHARACTERS_MAX and _SUBDOMAIN.fullmatch(text) is not None


def is_label(text: str) -> bool:
    """Return whether a text can name a namespace."""
    return len(text) <= LABEL_CHARACTERS_MAX and _LABEL.fullmatch(text) is not None


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"`{text}` cannot name an object of Kubernetes")
    return text


def _label(text: str) -> str:
    if not is_label(text):
        raise ValueError(f"`{text}` cannot name a namespace of Kubernetes")
    return text


ObjectName = Annotated[str, AfterValidator(_name)]
"""The name of an object: lower-case letters, digits, `-` and `.`, at most 253."""
Namespace = Annotated[str, AfterValidator(_label)]
"""The name of a namespace: lower-case letters, digits and `-`, at most 63."""


def _kubernetes_name(name: str) -> str:
    """Return the name of a field as Kubernetes has it; `from_` stands for `from`, which is a word of Python's."""
    return to_camel(name.rstrip("_"))


class KubeModel(BaseModel):
    """A part of an object. Fields are named as in Python here and as in Kubernetes when written."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=_kubernetes_name,
        populate_by_name=True,
        use_attribute_docstrings=True,
    )


class Metadata(KubeModel):
    """Name and place of an object."""

    name: ObjectName
    namespace: Namespace | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None


class LabelSelector(KubeModel):
    """Which pods are meant, in the kinds of Kubernetes itself; all of the namespace if empty."""

    match_labels: dict[str, str] | None = None


class WorkloadSelector(KubeModel):
    """Which pods are meant, in Istio's security and telemetry kinds."""

    match_labels: dict[str, str]


class KubeObject(KubeModel):
    """An object. Each kind sets `api_version` and `kind` and adds its `spec`."""

    api_version: str
    kind: str
    metadata: Metadata


def as_data(part: KubeModel) -> dict[str, Any]:
    """Return a model as JSON-ready data with Kubernetes' field names, without what is None."""
    return part.model_dump(mode="json", by_alias=True, exclude_none=True)
