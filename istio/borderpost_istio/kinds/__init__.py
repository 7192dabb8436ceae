"""Istio's and Kubernetes' kinds as strict models, one module an API group.

    EnvoyFilter(metadata=Metadata(name="borderpost", namespace="istio-ingress"), spec=EnvoyFilterSpec(…))

`as_data` makes JSON-ready data of an object, for YAML or JSON. A kind or field that is not here is added where its
group is: with the name that Kubernetes gives it, in snake case.
"""

from __future__ import annotations

from borderpost_istio.kinds.model import KubeModel, KubeObject, Metadata, as_data, is_label, is_name

__all__ = ["KubeModel", "KubeObject", "Metadata", "as_data", "is_label", "is_name"]
