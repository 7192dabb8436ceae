"""Imports of the modules that need envoy-data-plane: half a second and 40 MiB, and only when something is rendered."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

from borderpost_base.errors import BorderpostError


@contextlib.contextmanager
def typed_models() -> Iterator[None]:
    """Import inside of this block what needs the typed models of Envoy's messages.

    Raises BorderpostError BP0901 where envoy-data-plane is not installed.
    """
    try:
        with warnings.catch_warnings():
            # envoy-data-plane declares its models in a way that pydantic has since deprecated.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    except ModuleNotFoundError as error:
        if error.name is None or not error.name.startswith(("envoy_data_plane", "betterproto2")):
            raise
        raise BorderpostError("BP0901", f"the module `{error.name}` is missing") from error
