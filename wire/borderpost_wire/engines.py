"""Choosing an engine by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from borderpost_wire.engine import Engine
from borderpost_wire.errors import EngineUnavailable, OptionsError
from borderpost_wire.options import ServerOptions, UnixListen
from borderpost_wire.service import MethodKind, Service
from borderpost_wire.wire_engine import WireEngine

ENGINE_NAMES = ("auto", "grpcio", "wire")
"""What `make_engine` takes."""


def make_engine(name: str, options: ServerOptions, services: Sequence[Service]) -> Engine:
    """Return an engine that is not started yet.

    `name` is one of `ENGINE_NAMES`; `auto` is `wire` where all listeners are Unix sockets, else `grpcio`.
    Raises EngineUnavailable for another name, and OptionsError if two services answer the same method or the engine
    lacks what the options ask for.
    """
    if engine_of(name, options) == "wire":
        return WireEngine(options, methods_of(services))
    from borderpost_wire.grpcio_engine import GrpcioEngine  # grpcio takes a while to load: only where used

    return GrpcioEngine(options, methods_of(services))


def engine_of(name: str, options: ServerOptions) -> str:
    """Return which engine `make_engine` makes, `wire` or `grpcio`. Raises EngineUnavailable for another name."""
    if name not in ENGINE_NAMES:
        raise EngineUnavailable(f"there is no engine `{name}`; there are: {', '.join(ENGINE_NAMES)}")
    if name == "auto":
        return "wire" if all(isinstance(each, UnixListen) for each in options.listen) else "grpcio"
    return name


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
