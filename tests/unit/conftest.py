"""Fixtures of the unit tests."""

from support.wire_server import each_engine

__all__ = ["each_engine"]
