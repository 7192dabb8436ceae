"""Running a limiter in this process, from its configuration to its exit code."""

from __future__ import annotations

import sys
from typing import Final

import uvloop

from borderpost.collecting import collect_seldom
from borderpost.config.limiter import LimiterConfig
from borderpost.limiter.process import Limiter
from borderpost.limiter.stewarded import Stewarded
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.metrics import Metrics
from borderpost_base.world import World
from borderpost_wire.errors import ListenError

_SWITCH_S: Final = 0.001
"""How long a thread beside the loop may keep it waiting: one that reads limits files, or writes out metrics. Python's
own 5 ms are a quarter of what Envoy's filter waits for an answer."""


def run_limiter(config: LimiterConfig, metrics: Metrics, *, stewarded: Stewarded | None = None) -> int:
    """Run until told to stop. Raises BorderpostError or Problems where it cannot."""
    collect_seldom()
    sys.setswitchinterval(_SWITCH_S)
    try:
        return uvloop.run(_run(config, metrics, stewarded))
    except ListenError as error:
        raise BorderpostError("BP0502", error.reason, place=Place(error.address)) from error


async def _run(config: LimiterConfig, metrics: Metrics, stewarded: Stewarded | None) -> int:
    return await Limiter(config, World(), metrics, stewarded=stewarded).run()
