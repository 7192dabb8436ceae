"""Errors of area 15: what keeps `borderpost doctor` from examining a configuration."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = ()
