"""What the doctor can find in Kubernetes objects: every rule once, BPD050 to BPD100."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from borderpost.reports.finding import Rule
from borderpost_istio.doctor.rules import patches, platform, traffic

RULES: Final[Mapping[str, Rule]] = {
    rule.id: rule for rule in sorted((*patches.RULES, *traffic.RULES, *platform.RULES), key=lambda rule: rule.id)
}
"""Every rule by its id."""
