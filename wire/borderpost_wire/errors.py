"""What can go wrong in setting up and running a server: one exception tree of this package's own."""

from __future__ import annotations


class WireError(Exception):
    """Root of this package's exceptions."""


class OptionsError(WireError, ValueError):
    """An option or a combination of options and services that cannot work; the caller's fault."""


class EngineUnavailable(WireError):
    """An engine that does not exist or is not in this build."""


class ListenError(WireError):
    """A listener could not be set up.

    `address` is where (`unix:/path` or `host:port`), `reason` one sentence without the address.
    """

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"cannot listen on {address}: {reason}")
        self.address = address
        self.reason = reason


class AddressInUse(ListenError):
    """Another live server answers at the address."""


class EngineFailed(WireError):
    """A running engine ended by itself."""
