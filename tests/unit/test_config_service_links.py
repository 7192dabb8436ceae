"""Variables that Kubernetes makes of a Service called like us are told for what they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from borderpost.config.load import load_config
from borderpost_base.errors import BorderpostError, Problems

SERVICE = {
    "BORDERPOST_SERVICE_HOST": "10.0.0.1",
    "BORDERPOST_SERVICE_PORT": "443",
    "BORDERPOST_SERVICE_PORT_HTTPS": "443",
    "BORDERPOST_PORT": "tcp://10.0.0.1:443",
    "BORDERPOST_PORT_443_TCP": "tcp://10.0.0.1:443",
    "BORDERPOST_PORT_443_TCP_ADDR": "10.0.0.1",
    "BORDERPOST_PODS_SERVICE_HOST": "10.0.0.2",
}


def problems(folder: Path, environ: dict[str, str]) -> list[BorderpostError]:
    path = folder / "borderpost.yaml"
    path.write_text("here: {country: DE}\nregions: {eu: {country: DE}}\n")
    with pytest.raises(Problems) as caught:
        load_config(path, {}, environ)
    return list(caught.value.errors)


def test_each_of_them_says_where_it_comes_from(tmp_path: Path) -> None:
    found = problems(tmp_path, SERVICE)
    assert sorted(str(one.place) for one in found) == sorted(SERVICE)
    assert all(one.code == "BP0107" and "enableServiceLinks: false" in str(one.mend) for one in found)


@pytest.mark.parametrize("name", ["BORDERPOST_ADMIN_PORT", "BORDERPOST_SERVER_PORT"])
def test_a_misspelt_key_is_still_taken_for_one(tmp_path: Path, name: str) -> None:
    (found,) = problems(tmp_path, {name: "9464"})
    assert "did you mean" in str(found.mend)
