"""What the doctor finds in Kubernetes objects really leaks once istiod has delivered it; mended, it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from borderpost_istio.doctor.rules import RULES
from borderpost_istio.doctor.rules.sources import UNSHOWN
from support.doctor_mesh_cases import CASES, Case, told
from support.istio_wiring import OURS, RENDERINGS, MeshWiring, meshed
from support.wiring import Wiring

pytestmark = [pytest.mark.blackbox, pytest.mark.full]


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshWiring]:
    with meshed(tmp_path_factory.mktemp("mesh"), RENDERINGS[0]) as wiring:
        yield wiring


def leaks(mesh: MeshWiring, case: Case, *, bad: bool) -> bool:
    """Apply a case and try it; everything has to have been accepted."""
    mesh.lab.put(OURS, case.resources(mesh, bad))
    assert mesh.lab.nacks() == []
    Wiring.reset(mesh)
    return case.leaks(mesh)


@pytest.mark.parametrize("name", CASES)
def test_what_the_doctor_finds_leaks_and_the_mended_does_not(mesh: MeshWiring, name: str) -> None:
    case = CASES[name]
    assert set(case.rules) <= told(mesh, case.resources(mesh, True))
    assert leaks(mesh, case, bad=True)
    assert not set(case.rules) & told(mesh, case.resources(mesh, False))
    assert not leaks(mesh, case, bad=False)


def test_each_rule_is_shown_or_says_why_not() -> None:
    shown = {rule for case in CASES.values() for rule in case.rules}
    assert shown | set(UNSHOWN) == set(RULES)
