"""An eye on the certificates of a network listener: renewed ones reach who serves with them, broken ones do not.

The files are watched, and checked together once they lie still: that they fit, and that now is within their time. Only
then are those told who serve (the workers, by a number in the shared page) to read them themselves; so a private key is
in no other file. Until then everybody keeps what they have, and a refusal stands in log, metrics and health.
Connections under way are never dropped for it (`borderpost_wire.engine.Engine.renew`).
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from borderpost.config.sections import DoorSpec, TlsSpec
from borderpost.health import Check, Outcome
from borderpost.uptake import Uptake
from borderpost.watch import FileWatch
from borderpost_base import limits
from borderpost_base.errors import BorderpostError, Place
from borderpost_base.logs import get_logger
from borderpost_base.metrics import BoundedGauge
from borderpost_base.world import World
from borderpost_wire.errors import ListenError
from borderpost_wire.listeners import tls_context
from borderpost_wire.options import TcpListen, TlsOptions

WHAT: Final = "certificates"
"""Their name among what is taken whole or not at all."""
_DUE_SHARE: Final = 5
"""A certificate is due in the last fifth of its life. All that renew by themselves have done so by then: ACME clients
and cert-manager with a third left, SPIRE and Istio with half."""


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the files of a listener held when they were read."""

    begins_s: int
    """When the certificate's time begins, seconds since 1970 (UTC)."""
    ends_s: int
    """When it ends."""
    authority: bytes
    """The authorities that callers are checked by, PEM; empty without."""
    digest: str
    """Of all the files."""

    @classmethod
    def read(cls, tls: TlsSpec) -> Certificates:
        """Read and check them. Raises BorderpostError BP0504 for files that no listener could use."""
        place = Place(str(tls.certificate))
        try:
            for path in tls.files:
                _refuse_odd(path)
            tls_context(TcpListen("localhost", 0, TlsOptions(tls.certificate, tls.key, tls.client_ca, tls.callers)))
            contents = [path.read_bytes() for path in tls.files]
            first = x509.load_pem_x509_certificates(contents[0])[0]
        except ListenError as error:
            raise BorderpostError("BP0504", error.reason, place=place) from error
        except OSError as error:
            raise BorderpostError("BP0504", f"{error.filename}: {error.strerror}", place=place) from error
        except ValueError as error:
            raise BorderpostError("BP0504", "the certificate is not PEM", place=place) from error
        begins_s, ends_s = (int(each.timestamp()) for each in (first.not_valid_before_utc, first.not_valid_after_utc))
        digest = hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in contents)).hexdigest()
        return cls(begins_s, ends_s, contents[2] if tls.client_ca is not None else b"", digest)

    def refuse_untimely(self, now_s: float, place: Place) -> None:
        """Raise BorderpostError BP0504 unless now is within the certificate's time."""
        if now_s < self.begins_s:
            raise BorderpostError(
                "BP0504", f"the certificate is not valid before {_instant(self.begins_s)}", place=place
            )
        if now_s >= self.ends_s:
            raise BorderpostError("BP0504", f"the certificate expired at {_instant(self.ends_s)}", place=place)


class CertificateWatch:
    """The certificates of this instance's listener, and what became of those on the disk. On one process's loop.

    `expiry` is told when the certificate in use expires, under the name of the section that names it.
    """

    def __init__(
        self, server: DoorSpec, *, announce: Callable[[], None], replace_workers: Callable[[], None],
        world: World, expiry: BoundedGauge, uptake: Uptake, section: str = "server.tls",
    ) -> None:  # fmt: skip
        self._announce = announce
        self._replace_workers = replace_workers
        self._world = world
        self._expiry = expiry
        self._section = section
        self._uptake = uptake
        self._log = get_logger("certificates")
        self._server = server
        self._current: Certificates | None = None
        self._refused = ""
        """Why the newest files are refused; they are then tried at every look, since time alone may mend it."""
        self._told = Outcome.PASSED
        self._watch = FileWatch()
        self._begin()

    def replace(self, server: DoorSpec) -> None:
        """Watch what another configuration names; its workers read the files as they start."""
        if server.tls != self._server.tls:
            self._server = server
            self._begin()
        self._server = server

    def look(self) -> None:
        """Take the certificates if their files have changed and lie still."""
        if self._server.tls is not None and (self._refused or self._watch.changed()):
            self.take()

    def take(self) -> BorderpostError | None:
        """Take the certificates as they lie there now; return why not."""
        tls = self._server.tls
        if tls is None:
            return None
        self._watch.take(tls.files)
        try:
            found = Certificates.read(tls)
            found.refuse_untimely(self._world.now_us() / 1e6, Place(str(tls.certificate)))
        except BorderpostError as error:
            if str(error) != self._refused:
                self._refused = str(error)
                self._uptake.refused(WHAT, error)
            return error
        before, self._current, self._refused = self._current, found, ""
        if found == before:
            self._uptake.taken(WHAT, anew=False)
            return None
        self._announce()
        self._uptake.taken(WHAT)
        self._log.info("certificates taken", expires=_instant(found.ends_s))
        if before is not None and before.authority != found.authority and self._server.engine != "wire":
            self._log.info("workers are replaced: grpcio keeps connections that another authority vouched for")
            self._replace_workers()
        return None

    def checks(self) -> list[Check]:
        """Return a warning where the certificate in use is due, or over."""
        if self._current is None:
            return []
        left_s = self._current.ends_s - self._world.now_us() / 1e6
        due = left_s * _DUE_SHARE < self._current.ends_s - self._current.begins_s
        detail = f"the certificate in use {'expires' if left_s > 0 else 'expired'} at {_instant(self._current.ends_s)}"
        return [Check("certificates/valid", Outcome.WARNING if due else Outcome.PASSED, detail)]

    def tell(self) -> None:
        """Bring gauge and log up to date."""
        for check in self.checks():
            if check.outcome is not self._told:
                self._told = check.outcome
                if check.outcome is Outcome.WARNING:
                    self._log.warning("certificate not renewed in time", detail=check.detail)
        if self._current is not None:
            self._expiry.set(self._current.ends_s, self._section)

    def _begin(self) -> None:
        tls = self._server.tls
        self._current, self._refused = None, ""
        if tls is None:
            return
        self._watch.take(tls.files)
        self._uptake.begins(WHAT)
        try:
            self._current = Certificates.read(tls)
            self._current.refuse_untimely(self._world.now_us() / 1e6, Place(str(tls.certificate)))
        except BorderpostError as error:
            self._refused = str(error)
            self._uptake.refused(WHAT, error)


def _refuse_odd(path: Path) -> None:
    """Raise BorderpostError BP0504 for what is no file or a very long one: reading it could take the steward's time."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BorderpostError("BP0504", "this is no regular file", place=Place(str(path)))
    if status.st_size > limits.CERTIFICATE_FILE_BYTES_MAX:
        detail = f"a file of certificates has at most {limits.CERTIFICATE_FILE_BYTES_MAX} bytes"
        raise BorderpostError("BP0504", detail, place=Place(str(path)))


def _instant(time_s: int) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat()
