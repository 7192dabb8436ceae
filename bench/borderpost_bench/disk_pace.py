"""How long this machine's disk takes to make a batch of records durable: what a request must wait for at least."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

from borderpost_base.world import SystemDisk
from borderpost_bench.latency import Percentiles

SYNCS = 400
"""As many as give a 99th percentile that more than one or two of them decide."""


def sync_pace(directory: Path, write_bytes: int, count: int = SYNCS) -> Percentiles:
    """Append so many bytes to a new file in a directory and call `fdatasync`, time after time; return how long each
    took, the write included. Raises OSError.

    Room is reserved first, as for a segment of the log, so that a sync has as little to do here as there.
    """
    data, took_ns, disk = os.urandom(write_bytes), [], SystemDisk()
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        with contextlib.suppress(OSError):  # a file system that cannot reserve room cannot do so for the log either
            disk.reserve(file.fileno(), 0, write_bytes * count)
        for _ in range(count):
            begun = time.perf_counter_ns()
            file.write(data)
            os.fdatasync(file.fileno())
            took_ns.append(time.perf_counter_ns() - begun)
    return Percentiles.of(took_ns)
