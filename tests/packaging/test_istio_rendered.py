"""The golden renderings for Istio fit the schemas of Kubernetes and of Istio's kinds, field by field."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.kube_schemas import documents, unfit

pytestmark = pytest.mark.full

RENDERED = Path(__file__).resolve().parent.parent.parent / "istio" / "rendered"


def test_every_kind_fits_its_schema(tmp_path: Path) -> None:
    manifests = "".join(path.read_text() for path in sorted(RENDERED.glob("*.yaml")))
    assert len({document["kind"] for document in documents(manifests)}) == 10
    assert unfit(manifests, tmp_path) == []
