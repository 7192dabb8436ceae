"""The `audit` section of the configuration: where the log lives and how its files are cut.

There is no key that switches durability off. A record is on stable storage before the answer it stands
for leaves this process; a log that may lose its last second would be evidence of nothing.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from borderpost_base.strict import StrictModel

_MIB = 1 << 20


class AuditSpec(StrictModel):
    """Where the audit log lives, what it is called, and when a file of it is closed."""

    directory: Path = Path("run/audit")
    """Directory of the log: one folder a stream, and `inputs/`. It belongs on a local disk that stays in the
    territory of this gateway: records never leave it, only digests do."""

    log: str = Field(
        default="localhost/borderpost", min_length=1, max_length=128, pattern=r"^[A-Za-z0-9._:-]+(/[A-Za-z0-9._:-]+)*$"
    )
    """Origin name of the log, written into every record followed by the stream's name. A host name that you own and
    a path, as C2SP tlog-checkpoint recommends, keeps two logs from being taken for one another; the default
    is only good for a single gateway that nobody else looks at."""

    segment_bytes: int = Field(default=256 * _MIB, ge=64 << 10, le=4 << 30)
    """Size in bytes at which a segment file is closed and the next one begun. 256 MiB is read again in one or two
    seconds when a worker restarts, and is a convenient object to ship."""

    segment_s: float = Field(default=3600.0, ge=1.0, le=7 * 86_400.0)
    """Age in seconds at which a segment is closed. A closed segment is read-only and may be shipped, so this bounds
    how long a quiet gateway's newest records exist in one place only."""

    reserve_bytes: int = Field(default=8 * _MIB, ge=0, le=1 << 30)
    """How many bytes the file system is asked to set aside behind a segment's end, again and again as it grows; what
    is left over is given back when the segment is closed. With room set aside a commit costs a fifth less CPU and
    time (measured on ext4), and a disk that others fill leaves the log that much. 0 asks for none."""

    retry_s: float = Field(default=1.0, ge=0.05, le=60.0)
    """Seconds between attempts to bring a log back after a write or sync failed. Requests are refused meanwhile, so
    it is short; each attempt costs a few system calls."""

    heartbeat_s: float = Field(default=60.0, ge=1.0, le=3600.0)
    """Seconds of silence after which a stream writes a `heartbeat`, so that a quiet stream and a dead one differ."""

    ballast_bytes: int = Field(default=1 * _MIB, ge=64 << 10, le=1 << 30)
    """Size in bytes of a file that each stream holds in reserve. When the disk is full it is given up, so that `gap`
    and `epoch.close` can still be written: four records of the largest size fit the smallest ballast. A stream
    serves again only once this much is free besides, or it would flap from record to record."""
