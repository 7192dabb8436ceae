"""One Envoy for each door and route style, shared by the wiring tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from borderpost_envoy import RouteStyle, Via
from support.wiring import Wiring, wired

VARIANTS = [(via, style) for via in Via for style in RouteStyle]


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: f"{variant[0]}-{variant[1]}")
def shared_wiring(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    """Each variant's Envoy, started once a module."""
    via, style = request.param
    with wired(tmp_path_factory.mktemp("wiring"), via=via, style=style, trusted_hops=1) as wiring:
        yield wiring


@pytest.fixture
def wiring(shared_wiring: Wiring) -> Wiring:
    """The variant's Envoy, with nothing left of the test before."""
    shared_wiring.reset()
    return shared_wiring
