"""Envoy's messages as the package `envoy-data-plane` has them: the independent reading in tests.

Its import warns about its own use of pydantic, which is not ours to mend.
"""

from __future__ import annotations

import warnings

from pydantic.warnings import PydanticDeprecatedSince212

with warnings.catch_warnings():
    warnings.simplefilter("ignore", PydanticDeprecatedSince212)
    from envoy_data_plane.envoy.config.core import v3 as core
    from envoy_data_plane.envoy.extensions.filters.http.ext_proc import v3 as ext_proc_filter
    from envoy_data_plane.envoy.service.auth import v3 as ext_authz
    from envoy_data_plane.envoy.service.ext_proc import v3 as ext_proc
    from envoy_data_plane.envoy.type import v3 as envoy_type
    from envoy_data_plane.google import rpc

__all__ = ["core", "envoy_type", "ext_authz", "ext_proc", "ext_proc_filter", "rpc"]
