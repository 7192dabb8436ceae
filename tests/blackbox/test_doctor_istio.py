"""What we render for Istio, as istiod delivered it, is in order: with the configuration and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.config.load import load_config
from borderpost.reports.finding import Level
from borderpost_envoy.doctor import UNKNOWN, examine, expected_of, read_admin, read_configuration
from support.istio_wiring import RENDERINGS, Rendering, meshed

pytestmark = [pytest.mark.blackbox, pytest.mark.full]


@pytest.mark.parametrize("rendering", RENDERINGS, ids=str)
def test_what_istiod_delivers_of_ours_is_in_order(rendering: Rendering, tmp_path: Path) -> None:
    with meshed(tmp_path, rendering) as mesh:
        running = read_configuration(read_admin(f"127.0.0.1:{mesh.envoy.admin_port}"))
        known = expected_of(load_config(mesh.config, {}).config)
    for expected in (known, UNKNOWN):
        findings = examine(running, expected)
        assert [finding for finding in findings if finding.level is not Level.NOTE] == []
        assert {finding.rule.id for finding in findings} <= {"BPD044"}
