"""The image, built by Debian's buildah on a base that mmdebstrap makes: no engine, no image registry.

The base stands in for the slim Python image that the Dockerfile names: Debian 13 with its Python 3.13.
Packages come from wherever this machine's pip is set up to get them; that set-up is mounted, not copied.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = "localhost/python:3.13-slim"
IMAGE = "localhost/borderpost:test"
EPOCH = "1767225600"
CERTIFICATES = Path("/etc/ssl/certs")
TOOLS = ("buildah", "mmdebstrap")
_TIMEOUT_S = 900

pytestmark = [
    pytest.mark.full,
    pytest.mark.root,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to lay out a root file system"),
    pytest.mark.skipif(
        not all(map(shutil.which, TOOLS)), reason="needs buildah and mmdebstrap (Debian packages of those names)"
    ),
]


class Buildah:
    """buildah with a storage of its own, below a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "src"
        """The sources that the image is built from."""
        self._storage = ("--root", str(folder / "storage"), "--runroot", str(folder / "run"))
        self._environment = dict(os.environ, STORAGE_DRIVER="vfs", BUILDAH_ISOLATION="chroot")

    def __call__(self, *words: str | Path) -> str:
        """Run one command and return what it prints."""
        done = subprocess.run(
            ["buildah", *self._storage, *map(str, words)],
            env=self._environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"buildah {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    folder = tmp_path_factory.mktemp("image")
    base = folder / "base.tar"
    packages = "python3,python3-venv,ca-certificates"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=essential", f"--include={packages}", "trixie", base],
        check=True, timeout=_TIMEOUT_S,
    )  # fmt: skip
    run = Buildah(folder)
    container = run("from", "scratch")
    run("add", "--quiet", container, base, "/")
    run("run", container, "--", "ln", "-sf", "python3", "/usr/bin/python")  # slim images have it by this name
    run("commit", "--quiet", "--squash", container, BASE)
    run("rm", container)
    _build(run, IMAGE, _tracked_sources(run.source), _pip_settings(folder))
    yield run
    shutil.rmtree(folder, ignore_errors=True)


def _build(run: Buildah, tag: str, source: Path, pip_settings: Path) -> None:
    run(
        "build", "--pull=never", "--no-cache", "--format", "docker", "--timestamp", EPOCH,
        "--build-arg", f"BASE={BASE}", "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}",
        "--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro", "--volume", f"{pip_settings}:/etc/pip.conf:ro",
        "--tag", tag, source,
    )  # fmt: skip


def _pip_settings(folder: Path) -> Path:
    """Write what this machine tells pip as a file, since a build step does not see our environment."""
    settings = {
        name.removeprefix("PIP_").lower().replace("_", "-"): value
        for name, value in os.environ.items()
        if name.startswith("PIP_") and name not in {"PIP_FIND_LINKS", "PIP_CONSTRAINT"}
    }
    path = folder / "pip.conf"
    path.write_text("\n".join(["[global]", *(f"{name} = {value}" for name, value in settings.items())]) + "\n")
    return path


def _tracked_sources(source: Path) -> Path:
    """Copy what git tracks: the build must not depend on what lies about in a checkout."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in filter(None, names):
        path = ROOT / os.fsdecode(name)
        if path.is_file():
            target = source / os.fsdecode(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    return source


def test_the_image_runs_the_command_as_nobody_in_particular(buildah: Buildah) -> None:
    container = buildah("from", "--pull=never", IMAGE)
    assert buildah("run", container, "--", "borderpost", "--version").startswith("borderpost ")
    assert buildah("run", container, "--", "id", "--user") == "65532"
    assert "denied" in buildah("run", container, "--", "sh", "-c", "touch /opt/borderpost/x 2>&1 || true")


def test_the_image_decides_with_its_embedded_defaults(buildah: Buildah) -> None:
    container = buildah("from", "--pull=never", IMAGE)
    script = """
        cd /var/lib/borderpost
        printf 'here: {country: DE}\\nregions: {eu: {country: DE}, us: {country: US}}\\n' > borderpost.yaml
        echo 'region_defaults: {retention: same, telemetry: same}' >> borderpost.yaml
        borderpost check-config --config borderpost.yaml >/dev/null
        borderpost explain --config borderpost.yaml --address 2.160.0.1 --json
    """
    assert '"eu"' in buildah("run", container, "--", "sh", "-euc", script)


def test_the_image_has_no_build_tools(buildah: Buildah) -> None:
    installed = set(_components(buildah))
    assert not installed & {"hatchling", "pip", "pytest", "envoy-data-plane", "grpcio-tools", "cyclonedx-bom"}
    assert {"borderpost", "grpcio", "pydantic"} <= installed


def test_the_image_says_what_is_in_it(buildah: Buildah) -> None:
    container = buildah("from", "--pull=never", IMAGE)
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()))"
    installed = buildah("run", container, "--", "/opt/borderpost/bin/python", "-c", code).split()
    listed = {name: component["version"] for name, component in _components(buildah).items()}
    ours = {_normal(one.partition("==")[0]): one.partition("==")[2] for one in installed}
    assert listed == ours
    for name, version in listed.items():
        if name != "borderpost":
            assert version in _locked()[name], f"{name} {version} is not what its lock says"


def test_the_same_sources_give_the_same_layers(buildah: Buildah, tmp_path: Path) -> None:
    source = tmp_path / "elsewhere"
    shutil.copytree(buildah.source, source)
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
    _build(buildah, f"{IMAGE}-again", source, _pip_settings(tmp_path))
    assert _layers(buildah, f"{IMAGE}-again") == _layers(buildah, IMAGE)


def _layers(buildah: Buildah, image: str) -> list[str]:
    return list(json.loads(buildah("inspect", "--type", "image", image))["OCIv1"]["rootfs"]["diff_ids"])


def _components(buildah: Buildah) -> dict[str, dict[str, str]]:
    """Return the components of the image's CycloneDX document, by normal name."""
    container = buildah("from", "--pull=never", IMAGE)
    document = json.loads(buildah("run", container, "--", "cat", "/opt/borderpost/sbom.cdx.json"))
    assert document["bomFormat"] == "CycloneDX"
    return {_normal(component["name"]): component for component in document["components"]}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked() -> dict[str, set[str]]:
    lines = (ROOT / "image/requirements.txt").read_text(encoding="utf-8").splitlines()
    found: dict[str, set[str]] = {}
    for name, version in (pair for line in lines for pair in re.findall(r"^([\w.-]+)==([\w.]+)", line)):
        found.setdefault(_normal(name), set()).add(version)
    return found
