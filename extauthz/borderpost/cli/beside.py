"""A second gateway beside the first, for Envoy to ask too: so that either can be replaced while the other answers.

Both are asked the same and must mean the same, so what Envoy is told of the first has to hold for the second: how it
is reached, which clusters stand for which regions, what is sent to it. The law they may take one after the other, as
any fleet does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from borderpost.config.load import Loaded, load_config
from borderpost.config.model import Config
from borderpost_base.errors import BorderpostError, Place

_ALIKE: tuple[tuple[str, Callable[[Loaded], Any]], ...] = (
    ("server.listen", lambda loaded: loaded.config.server.listen),
    ("server.tls", lambda loaded: loaded.config.server.tls is not None),
    ("regions", lambda loaded: {name: spec.cluster for name, spec in loaded.regions.items()}),
    ("failover", lambda loaded: loaded.config.failover),
    ("routes", lambda loaded: loaded.config.routes),
    ("tenants", lambda loaded: loaded.config.tenants),
    ("evidence", lambda loaded: loaded.config.evidence),
    ("payload", lambda loaded: loaded.config.payload),
    ("observe", lambda loaded: loaded.config.observe),
)
"""What Envoy's configuration follows from, by section or key."""

_OWN: tuple[tuple[str, Callable[[Config], Any]], ...] = (
    ("runtime.directory", lambda config: config.runtime.directory),
    ("audit.directory", lambda config: config.audit.directory),
    ("audit.log", lambda config: config.audit.log),
)
"""What each gateway has for itself."""


def configurations(first: Loaded, paths: Iterable[str]) -> list[Config]:
    """Return the configurations of the gateways beside one.

    Raises BorderpostError BP0004 for one that does not fit, and as `load_config` for one that cannot be read.
    """
    found: list[Config] = []
    for path in paths:
        other = load_config(Path(path))
        for key, part in _ALIKE:
            if part(other) != part(first):
                raise BorderpostError("BP0004", f"`{key}` is another than in {first.path}", place=Place(path, key=key))
        for key, own in _OWN:
            if any(own(other.config) == own(each) for each in (first.config, *found)):
                raise BorderpostError(
                    "BP0004", f"two gateways share `{key}`", place=Place(path, key=key), mend="Give each its own."
                )
        found.append(other.config)
    return found
