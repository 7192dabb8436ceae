"""From Envoy's messages to JSON-ready data."""

from __future__ import annotations

from typing import Any

from betterproto2 import Casing, Message


def as_data(message: Message) -> dict[str, Any]:
    """Return a message as JSON-ready data: field names and order of Envoy's proto files, defaults left out.

    But what an outage means is written where our filters are, for whoever reads the file.
    """
    rendered: dict[str, Any] = message.to_dict(casing=Casing.SNAKE)
    _spell_out(rendered)
    return rendered


def _spell_out(rendered: Any) -> None:
    """Write what an outage means where the proto default would leave it out; an Any of nothing as Envoy reads it."""
    if isinstance(rendered, dict):
        if rendered == {"@type": ""}:
            rendered.clear()
        kind = str(rendered.get("@type", ""))
        if kind.endswith((".ExternalProcessor", ".ExtAuthz")):
            rest = {key: rendered.pop(key) for key in list(rendered) if key not in ("@type", "grpc_service")}
            rendered.update({"failure_mode_allow": False, **rest})
        if kind.endswith("http.ratelimit.v3.RateLimit"):
            rendered.setdefault("failure_mode_deny", False)
        for value in rendered.values():
            _spell_out(value)
    elif isinstance(rendered, list):
        for value in rendered:
            _spell_out(value)
