"""Certificates of a listener: what is taken, what is refused, and when somebody is told that one is due."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from borderpost.certificates import CertificateWatch
from borderpost.config.sections import ServerSpec
from borderpost.health import Outcome
from borderpost.uptake import Uptake, UptakeMetrics
from borderpost_base import limits
from borderpost_base.metrics import Metrics, local_metrics
from borderpost_base.world import World
from support.certificates import CertificateAuthority
from support.wire_certificates import Authority

DAY_S = 86_400


class Stage:
    """A watch over files of its own, and what it did."""

    def __init__(self, directory: Path, **server: Any) -> None:
        self.directory = directory
        self.authority = CertificateAuthority(directory, "authority")
        self.files = directory / "tls.crt", directory / "tls.key"
        self.ca = directory / "ca.crt"
        self.ca.write_bytes(self.authority.path.read_bytes())
        self.renew()
        self.now_s = datetime.datetime.now(datetime.UTC).timestamp()
        self.announced = 0
        self.replaced = 0
        self.metrics: Metrics = local_metrics()
        self.world = World()
        self.uptake = Uptake(UptakeMetrics.of_steward(self.metrics), self.world)
        tls = {"certificate": self.files[0], "key": self.files[1], "client_ca": self.ca}
        self.server = ServerSpec.model_validate({"listen": "tcp", "tls": tls, **server})

    def renew(self) -> None:
        for fresh, place in zip(self.authority.issue("fresh", dns=["localhost"]), self.files, strict=True):
            fresh.replace(place)

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> CertificateWatch:
        monkeypatch.setattr(World, "now_us", lambda _world: round(self.now_s * 1e6))

        def announce() -> None:
            self.announced += 1

        def replace() -> None:
            self.replaced += 1

        return CertificateWatch(
            self.server, announce=announce, replace_workers=replace, world=self.world,
            expiry=self.metrics.certificate_expiry_timestamp_seconds, uptake=self.uptake,
        )  # fmt: skip

    def details(self) -> list[str]:
        return [check.detail for check in self.uptake.checks()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def spoilt(stage: Stage, make: Callable[[Path], object]) -> None:
    """Put something in the certificate's place that is no file."""
    stage.files[0].unlink()
    make(stage.files[0])


def looks(watch: CertificateWatch, times: int = 3) -> None:
    for _ in range(times):
        watch.look()


def test_a_renewed_certificate_is_announced_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = stage.watch(monkeypatch)
    looks(watch)
    assert stage.announced == 0
    stage.renew()
    looks(watch)
    assert (stage.announced, stage.replaced, stage.details()) == (1, 0, [])
    assert watch.take() is None  # a reload finds nothing new
    assert stage.announced == 1
    assert stage.metrics.reload_total.get("certificates", "taken") == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda stage: stage.files[0].write_text("rubbish"), "cannot be used"),
        (lambda stage: stage.files[1].unlink(), "No such file"),
        (lambda stage: stage.ca.write_text(""), "cannot be used"),
        (lambda stage: spoilt(stage, os.mkfifo), "no regular file"),
        (lambda stage: spoilt(stage, os.mkdir), "no regular file"),
        (lambda stage: stage.ca.write_bytes(bytes(limits.CERTIFICATE_FILE_BYTES_MAX + 1)), "at most"),
        (lambda stage: stage.authority.issue("other")[1].replace(stage.files[1]), "KEY_VALUES_MISMATCH"),
    ],
)
def test_broken_files_change_nothing_and_are_told_until_they_are_mended(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Stage], object], said: str
) -> None:
    watch = stage.watch(monkeypatch)
    spoil(stage)
    with capture_logs() as logs:
        looks(watch, 5)
    assert [(line["code"], line["log_level"]) for line in logs] == [("BP0504", "error")]
    (detail,) = stage.details()
    assert "BP0504" in detail
    assert said in detail
    assert stage.announced == 0
    assert stage.metrics.reload_stale.get("certificates") == 1
    if stage.files[0].is_dir():
        stage.files[0].rmdir()
    stage.renew()
    stage.ca.write_bytes(stage.authority.path.read_bytes())
    looks(watch)
    assert (stage.announced, stage.details()) == (1, [])
    assert stage.metrics.reload_stale.get("certificates") == 0


def test_a_certificate_before_or_past_its_time_is_refused_until_its_time_has_come(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = stage.watch(monkeypatch)
    stage.now_s -= 2 * DAY_S
    stage.renew()
    looks(watch)
    (detail,) = stage.details()
    assert "not valid before" in detail
    stage.now_s += 2 * DAY_S
    looks(watch, 1)
    assert (stage.announced, stage.details()) == (1, [])
    stage.now_s += 2 * DAY_S
    stage.renew()
    looks(watch)
    assert stage.announced == 1
    assert "expired" in stage.details()[0]


def test_a_certificate_that_is_due_is_a_warning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = stage.watch(monkeypatch)
    watch.tell()
    assert [check.outcome for check in watch.checks()] == [Outcome.PASSED]
    expiry_s = stage.metrics.certificate_expiry_timestamp_seconds.get("server.tls")
    assert abs(expiry_s - stage.now_s - DAY_S) < 60
    with capture_logs() as logs:
        for share in (0.7, 0.81, 0.9):  # of the day that is left, itself the second half of a life of two
            stage.now_s = expiry_s - DAY_S * 2 * 0.25 * (1 - share) / 0.25
            watch.tell()
        stage.now_s = expiry_s + 1
        watch.tell()
    assert "expired" in watch.checks()[0].detail
    assert [line["event"] for line in logs] == ["certificate not renewed in time"]
    assert all(check.holds for check in watch.checks())


@pytest.mark.parametrize(("engine", "replaced"), [("wire", 0), ("grpcio", 1), ("auto", 1)])
def test_another_authority_replaces_workers_that_would_keep_the_old_ones_callers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, replaced: int
) -> None:
    stage = Stage(tmp_path, engine=engine)
    watch = stage.watch(monkeypatch)
    other = tmp_path / "other"
    other.mkdir()
    stage.ca.write_bytes(Authority(other).certificate.read_bytes())
    looks(watch)
    assert (stage.announced, stage.replaced) == (1, replaced)


def test_without_certificates_there_is_nothing_to_do(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = stage.server
    stage.server = ServerSpec()
    watch = stage.watch(monkeypatch)
    looks(watch)
    assert (watch.take(), watch.checks(), stage.announced) == (None, [], 0)
    watch.replace(tls)
    assert [check.name for check in watch.checks()] == ["certificates/valid"]


def test_a_mounted_secret_is_taken_when_its_folder_is_swapped(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kubelet does it: files are links through `..data`, itself a link that is renamed over the one before."""
    mounted = stage.directory / "mounted"
    mounted.mkdir()

    def swap(version: str) -> None:
        (mounted / version).mkdir()
        stage.renew()
        for file in stage.files:
            file.rename(mounted / version / file.name)
        (mounted / "..fresh").symlink_to(version)
        (mounted / "..fresh").rename(mounted / "..data")

    swap("..1")
    for file in stage.files:
        (mounted / file.name).symlink_to(f"..data/{file.name}")
    tls = {"certificate": mounted / "tls.crt", "key": mounted / "tls.key", "client_ca": stage.ca}
    stage.server = ServerSpec.model_validate({"listen": "tcp", "tls": tls})
    watch = stage.watch(monkeypatch)
    looks(watch)
    assert stage.announced == 0
    swap("..2")
    looks(watch)
    assert (stage.announced, stage.details()) == (1, [])
