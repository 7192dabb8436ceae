"""From Envoy's messages to JSON-ready data."""

from __future__ import annotations

from typing import Any

from betterproto2 import Casing, Message


def as_data(message: Message) -> dict[str, Any]:
    """Return a message as JSON-ready data: field names and order of Envoy's proto files, defaults left out.

    But `failure_mode_allow: false` is written where our filters are, for whoever reads the file.
    """
    rendered: dict[str, Any] = message.to_dict(casing=Casing.SNAKE)
    _spell_out_refusal(rendered)
    return rendered


def _spell_out_refusal(rendered: Any) -> None:
    """Write `failure_mode_allow: false` where the proto default would leave it out, for whoever reads the file."""
    if isinstance(rendered, dict):
        if str(rendered.get("@type", "")).endswith((".ExternalProcessor", ".ExtAuthz")):
            rest = {key: rendered.pop(key) for key in list(rendered) if key not in ("@type", "grpc_service")}
            rendered.update({"failure_mode_allow": False, **rest})
        for value in rendered.values():
            _spell_out_refusal(value)
    elif isinstance(rendered, list):
        for value in rendered:
            _spell_out_refusal(value)
