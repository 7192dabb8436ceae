"""Choosing an engine by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from borderpost_wire.engine import Engine
from borderpost_wire.errors import EngineUnavailable, OptionsError
from borderpost_wire.options import ServerOptions
from borderpost_wire.service import MethodKind, Service

ENGINE_NAMES = ("auto", "grpcio", "wire")
"""What `make_engine` takes."""


def make_engine(name: str, options: ServerOptions, services: Sequence[Service]) -> Engine:
    """Return an engine that is not started yet.

    `name` is one of `ENGINE_NAMES`; `auto` is `grpcio` in this build. Raises EngineUnavailable for a name
    that this build lacks and OptionsError if two services answer the same method.
    """
    if name == "wire":
        raise EngineUnavailable("the engine `wire` is not in this build; use `auto` or `grpcio`")
    if name not in ENGINE_NAMES:
        raise EngineUnavailable(f"there is no engine `{name}`; there are: {', '.join(ENGINE_NAMES)}")
    from borderpost_wire.grpcio_engine import GrpcioEngine  # grpcio takes a while to load: only where used

    return GrpcioEngine(options, methods_of(services))


def methods_of(services: Sequence[Service]) -> Mapping[str, tuple[MethodKind, Service]]:
    """Return who answers what: full method path → kind and service. Raises OptionsError on a clash."""
    table: dict[str, tuple[MethodKind, Service]] = {}
    for service in services:
        for path, kind in service.methods.items():
            if path in table:
                raise OptionsError(f"two services answer {path}")
            if path.count("/") != 2 or not path.startswith("/"):
                raise OptionsError(f"{path} is not a method path (/package.Service/Method)")
            table[path] = (kind, service)
    return table
