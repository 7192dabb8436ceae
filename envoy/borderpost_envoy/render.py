"""From a plan to text: the bootstrap as plain data, and the same as YAML or JSON."""

from __future__ import annotations

import json
from typing import Any

from borderpost_envoy.plan import EnvoyPlan
from borderpost_envoy.text import yaml_text
from borderpost_envoy.typed import typed_models

_HEADER = """\
Envoy bootstrap rendered by `borderpost render envoy`; change the configuration and render again.
Routes have no default: without an answer from Borderpost there is no cluster, and the request is refused.\
"""


def render_bootstrap(plan: EnvoyPlan) -> dict[str, Any]:
    """Return the whole Envoy 1.40 bootstrap as JSON-ready data, keys as in Envoy's proto files.

    Raises BorderpostError BP0901 where envoy-data-plane is not installed.
    """
    with typed_models():
        from borderpost_envoy.bootstrap import bootstrap  # half a second of imports, only when rendering
    return bootstrap(plan)


def to_yaml(rendered: dict[str, Any]) -> str:
    """Return a rendered bootstrap as YAML, with the reason beside each setting that closes a way round."""
    return yaml_text(rendered, header=_HEADER)


def to_json(rendered: dict[str, Any]) -> str:
    """Return a rendered bootstrap as indented JSON with a final newline."""
    return json.dumps(rendered, indent=2, ensure_ascii=False) + "\n"
