"""The one YAML file: its model, what is laid over it from outside, and what it and its files amount to."""

from __future__ import annotations

from borderpost.config.events import EventsSection
from borderpost.config.load import Loaded, load_config
from borderpost.config.model import Config
from borderpost.config.operation import AnswersSpec, RuntimeSpec
from borderpost.config.sections import AdminSpec, LogsSpec, ServerSpec, TlsSpec

__all__ = [
    "AdminSpec",
    "AnswersSpec",
    "Config",
    "EventsSection",
    "Loaded",
    "LogsSpec",
    "RuntimeSpec",
    "ServerSpec",
    "TlsSpec",
    "load_config",
]
