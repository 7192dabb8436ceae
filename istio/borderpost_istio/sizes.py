"""How large objects are, and splitting what would be too large.

`kubectl apply` keeps a copy of the object in an annotation, of which Kubernetes takes 256 KiB; etcd takes 1.5 MiB a
request. Lists are split so that the first bound holds; what cannot be split must keep the second, by
`kubectl apply --server-side`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TypeVar

from borderpost_base.errors import BorderpostError
from borderpost_base.limits import (
    KUBERNETES_ANNOTATIONS_BYTES_MAX,
    KUBERNETES_APPLIED_BYTES_MAX,
    KUBERNETES_OBJECT_BYTES_MAX,
)
from borderpost_istio.kinds import KubeModel, KubeObject, as_data

Item = TypeVar("Item", bound=str | KubeModel)


def bytes_of(part: KubeModel | str) -> int:
    """Return the bytes that a part takes as JSON."""
    data = part if isinstance(part, str) else as_data(part)
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def in_parts(items: Iterable[Item], *, copies: int = 1) -> list[tuple[Item, ...]]:
    """Split a list, in order, so that each part fits into an object that `kubectl apply` takes.

    `copies` is how often an item stands in the object. An item that is too large for itself stands alone.
    """
    parts: list[list[Item]] = [[]]
    room = KUBERNETES_APPLIED_BYTES_MAX
    for item in items:
        size = (bytes_of(item) + 1) * copies
        if size > room and parts[-1]:
            parts.append([])
            room = KUBERNETES_APPLIED_BYTES_MAX
        parts[-1].append(item)
        room -= size
    return [tuple(part) for part in parts]


def check_sizes(objects: Sequence[KubeObject]) -> None:
    """Raise BorderpostError BP1408 for an object that Kubernetes would not take."""
    for each in objects:
        size = bytes_of(each)
        if size > KUBERNETES_OBJECT_BYTES_MAX:
            raise BorderpostError("BP1408", f"{each.kind} `{each.metadata.name}` has {size:,} bytes")
        noted = sum(len(key) + len(value) for key, value in (each.metadata.annotations or {}).items())
        if noted > KUBERNETES_ANNOTATIONS_BYTES_MAX:
            raise BorderpostError("BP1408", f"{each.kind} `{each.metadata.name}` has {noted:,} bytes of annotations")
