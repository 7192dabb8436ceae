"""A processor that is slow but within the message timeout is waited for, and asked once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from borderpost_envoy import Via
from support.client import region_of
from support.stub_processor import Act
from support.wiring import wired

pytestmark = pytest.mark.blackbox


@pytest.mark.parametrize("via", list(Via))
def test_slow_answer_is_waited_for_and_not_asked_for_again(tmp_path: Path, via: Via) -> None:
    """Envoy 1.40 bounds each attempt of a unary call by the retry back-off's maximum: it must not be the shorter."""
    with wired(tmp_path, via=via, message_timeout_ms=5000) as wiring:

        def think(_request: Any) -> Act:
            time.sleep(0.4)
            return wiring.route("eu-1")

        wiring.answer(think)
        assert region_of(wiring.send()) == "eu-1"
        assert len(wiring.stub.requests) == 1
        assert sum(wiring.envoy.stats("cluster.borderpost.upstream_rq_(retry|per_try_timeout)$").values()) == 0
