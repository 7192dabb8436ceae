"""All failing examples of the rules about Envoy, from the modules that register them."""

from __future__ import annotations

from support import doctor_spoils, doctor_spoils_beside, doctor_spoils_routes
from support.doctor_cases import CASES

__all__ = ["CASES", "doctor_spoils", "doctor_spoils_beside", "doctor_spoils_routes"]
