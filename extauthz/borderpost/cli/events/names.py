"""Names in events that a configuration does not have: such a part of a scope means nothing there."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from borderpost.cli.options import config_path, overrides_of
from borderpost_base.errors import BorderpostError, Place

if TYPE_CHECKING:
    from borderpost.config.load import Loaded
    from borderpost.policy.event_schema import LegalEvent


def unknown_names(events: Iterable[LegalEvent], loaded: Loaded, place: Place) -> list[BorderpostError]:
    """Return an error for each region, group, class or regime that events name and the configuration has not."""
    from borderpost.policy.check import check_events

    found = []
    for event in events:
        for path, error in check_events([event], loaded.regions, loaded.bundle.vocabulary):
            if error.code == "BP0224":
                continue  # that is for plain files; what is asked about here is signed
            detail = f"{error.detail}, which `{event.id}` is about"
            key = ".".join(map(str, path[2:]))
            found.append(BorderpostError(error.code, detail, place=place._replace(key=key), mend=error.mend))
    return found


def configured(arguments: argparse.Namespace) -> Loaded | None:
    """Load the configuration, without its events, if one is named or stands where one would be looked for."""
    from borderpost.config.load import load_config

    if arguments.config is None and not config_path(arguments).exists():
        return None
    return load_config(config_path(arguments), {**overrides_of(arguments), "events": "{}"})
