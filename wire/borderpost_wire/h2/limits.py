"""Bounds of a connection, and budgets for what costs a peer less than us.

A budget is a bucket of tokens, refilled by time and by honest work, so that a peer which opens many streams
may also reset or ping more. Precedents: CVE-2019-9511 to 9518 (floods of PING, SETTINGS, empty frames, resets),
CVE-2023-44487 (rapid reset), CVE-2024-27316 and its siblings (CONTINUATION), CVE-2025-8671 (resets that the
peer makes us send).
"""

from __future__ import annotations

from dataclasses import dataclass

from borderpost_wire.h2.frames import WINDOW_DEFAULT


@dataclass(frozen=True, slots=True)
class Limits:
    """What a peer may use of one connection. The defaults suit a proxy that opens a stream for every request."""

    streams_max: int = 8192
    """Streams at a time (SETTINGS_MAX_CONCURRENT_STREAMS)."""
    fields_bytes_max: int = 16_384
    """Length of a request's fields, counted as RFC 9113 section 6.5.2 does. Envoy's own are some hundred bytes;
    16 KiB is also what gRPC takes."""
    block_bytes_max: int = 65_536
    """Length of a coded block over all its frames; one that is longer cannot be decoded in bounded time."""
    continuations_max: int = 16
    """CONTINUATION frames of a block: enough for its bytes in sensible frames."""
    waive_table_at_id: int = 31
    """Stream with which we ask the peer to do without its dynamic table (SETTINGS_HEADER_TABLE_SIZE 0), so that the
    same fields come as the same bytes and need no decoding. Not at once, because simple clients, h2spec among them,
    acknowledge that and go on as before, which costs them the connection (RFC 9113 section 4.3.1); those that
    open many streams on a connection are proxies and gRPC clients, which do it right."""
    connection_window_bytes: int = 1 << 24
    """What a peer may have under way; replenished once half of it is used, so seldom."""
    stream_window_bytes: int = 1 << 18
    """What a peer may have under way on one stream; a message that is longer costs a WINDOW_UPDATE or more."""
    queued_bytes_max: int = 1 << 24
    """Output that waits for a peer's window."""
    resets_remembered: int = 4096
    """Streams that we reset, on which late frames are ignored."""
    preface_wait_s: float = 10.0
    """Until the peer's preface and SETTINGS."""
    block_wait_s: float = 10.0
    """Until a block that was begun ends."""
    frame_wait_s: float = 60.0
    """Until a frame that was begun ends."""
    settings_ack_wait_s: float = 60.0
    """Until our SETTINGS are acknowledged."""
    stall_wait_s: float = 120.0
    """Until a peer that keeps output waiting takes some of it."""
    shutdown_ack_wait_s: float = 1.0
    """Until the PING of a graceful shutdown is acknowledged."""

    def __post_init__(self) -> None:
        if min(self.connection_window_bytes, self.stream_window_bytes) < WINDOW_DEFAULT:
            raise ValueError("windows cannot be smaller than what a peer may use before it has read our SETTINGS")


class Budget:
    """A bucket of tokens: `burst` at first and at most, refilled with time and with `earned`."""

    __slots__ = ("_burst", "_earned", "_per_s", "_seen_s", "_tokens")

    def __init__(self, burst: int, per_s: float) -> None:
        self._burst = float(burst)
        self._per_s = per_s
        self._tokens = float(burst)
        self._seen_s: float | None = None
        self._earned = 0

    def take(self, count: int, now_s: float, earned: int = 0) -> bool:
        """Take tokens; return False if there are too few. `earned` counts tokens earned since the beginning."""
        gained = (now_s - self._seen_s) * self._per_s if self._seen_s is not None else 0.0
        self._tokens = min(self._burst, self._tokens + max(0.0, gained) + (earned - self._earned)) - count
        self._seen_s = now_s
        self._earned = earned
        return self._tokens >= 0


class Budgets:
    """One connection's budgets; a peer that overdraws one gets GOAWAY with ENHANCE_YOUR_CALM."""

    __slots__ = ("empty_data", "ignored", "pings", "resets", "settings", "window_updates")

    def __init__(self, limits: Limits) -> None:
        self.resets = Budget(max(1000, 2 * limits.streams_max), 500)
        """Streams reset before our answer, by the peer or by us for the peer's fault. A proxy whose requests all
        time out at once resets every stream it has, so that many twice over are free; an answer earns one."""
        self.pings = Budget(1000, 500)
        """Each earns us a frame to send. gRPC clients measure round trips by pings, as many as answers: earned."""
        self.settings = Budget(1000, 50)
        """Entries, and one for the frame; some of them make us look at every stream."""
        self.window_updates = Budget(20_000, 5000)
        """Clients send up to two for each DATA frame of ours, which earns them."""
        self.empty_data = Budget(1000, 100)
        """DATA frames that carry nothing and end nothing."""
        self.ignored = Budget(10_000, 1000)
        """Frames without an effect: PRIORITY, unknown types, frames of streams that are over."""
