"""How a Redis or Valkey server is reached, and how one is let in: what every section that names one shares."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, cast, get_args
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from borderpost_base.errors import BadValue
from borderpost_base.strict import StrictModel

_PORT = 6379

Scheme = Literal["redis", "rediss", "unix"]


class RedisLogin(StrictModel):
    """How to be let in by a server, and for how long to wait for it."""

    username: str | None = Field(default=None, max_length=256)
    """User of the server's access list; null is its default user."""

    password_file: Path | None = None
    """File with the password; a newline at its end does not count. It is read again at every connection, so that a
    password can be changed. null sends none."""

    ca: Path | None = None
    """PEM file with the authorities that may vouch for the server; null trusts those of the system. For `rediss`."""

    certificate: Path | None = None
    """PEM file with this client's certificate, where the server asks for one; needs `key`. For `rediss`."""

    key: Path | None = None
    """PEM file with the private key of `certificate`."""

    timeout_s: float = Field(default=3.0, ge=0.1, le=60.0)
    """How long the server may take to be connected to, or to answer, before the connection is given up."""

    def password(self) -> str | None:
        """Read the password's file; None without one. Raises OSError or UnicodeDecodeError."""
        if self.password_file is None:
            return None
        return self.password_file.read_text(encoding="utf-8").rstrip("\r\n")

    @model_validator(mode="after")
    def _certificate_has_key(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise BadValue("BP0104", "`certificate` and `key` go together")
        return self


class RedisAddress(RedisLogin):
    """One server, and how to be let in."""

    url: str = Field(max_length=1024)
    """`redis://HOST:PORT/DB`, `rediss://…` for TLS, or `unix:///PATH?db=DB`. Without name and password: a
    configuration file is read by many; `username` and `password_file` let you in."""

    @field_validator("url")
    @classmethod
    def plain_address(cls, value: str) -> str:
        """Return the URL of one server. Raises BadValue BP0104 if it is none, or lets somebody in."""
        try:
            parts = urlsplit(value)
            port, host = parts.port, parts.hostname
        except ValueError as error:
            raise BadValue("BP0104", "this is no URL") from error
        if parts.scheme not in get_args(Scheme):
            raise BadValue("BP0104", "the URL begins with `redis://`, `rediss://` or `unix://`")
        if "@" in parts.netloc:
            mend = "Put the password into a file and name it in `password_file`."
            raise BadValue("BP0104", "the URL carries a name or a password", mend=mend)
        if parts.fragment or (parts.query and parts.scheme != "unix") or not _database_of(parts):
            raise BadValue("BP0104", "behind the address only the number of a database may stand")
        if parts.scheme == "unix" and (parts.netloc or not parts.path.startswith("/") or len(parts.path) < 2):
            raise BadValue("BP0104", "a socket is named by its absolute path: `unix:///run/redis.sock`")
        if parts.scheme != "unix" and (not host or port == 0):
            raise BadValue("BP0104", "the URL names no host and port")
        return value

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.scheme != "rediss" and (self.ca or self.certificate or self.key):
            raise BadValue("BP0104", "`ca`, `certificate` and `key` are for `rediss://`")
        return self

    @property
    def scheme(self) -> Scheme:
        """Return how the server is spoken to."""
        return cast(Scheme, urlsplit(self.url).scheme)

    @property
    def host(self) -> str:
        """Return the host's name or address; empty for a socket."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port."""
        return urlsplit(self.url).port or _PORT

    @property
    def socket(self) -> str:
        """Return the socket's path; empty for a host."""
        return unquote(urlsplit(self.url).path) if self.scheme == "unix" else ""

    @property
    def database(self) -> int:
        """Return the number of the database."""
        return int(_database_of(urlsplit(self.url)))


def _database_of(parts: SplitResult) -> str:
    """Return the digits of the database's number; empty if what stands there is none."""
    text = parts.path.removeprefix("/")
    if parts.scheme == "unix":
        text = parts.query.removeprefix("db=")
        if parts.query and not parts.query.startswith("db="):
            return ""
    text = text or "0"
    return text if text.isascii() and text.isdecimal() and len(text) <= 4 else ""
