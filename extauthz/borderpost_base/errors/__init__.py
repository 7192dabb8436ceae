"""Errors that say where, what and how to mend it.

Every error a person can meet has a code `BP####` that is never reused. The tables in this package are the
only home of their texts: `borderpost help BP0123`, the error reference in the docs and the messages at run
time are all made from them. A code's first two digits name its area:

    00 command line   01 configuration   02 policy   03 GeoIP and facts   04 audit log
    05 server         06 processes       07 regions  08 answers to callers   09 rendering and demo
    10 the signed list of legal events   11 counters   12 proof before traffic   13 payload
    14 Istio, Envoy Gateway, Kubernetes   15 doctor
"""

from __future__ import annotations

from borderpost_base.errors.model import NOWHERE, ErrorSpec, Place
from borderpost_base.errors.raised import BadValue, BorderpostError, Problems
from borderpost_base.errors.registry import ERRORS, find_spec

__all__ = ["ERRORS", "NOWHERE", "BadValue", "BorderpostError", "ErrorSpec", "Place", "Problems", "find_spec"]
