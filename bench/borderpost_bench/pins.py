"""Which core runs what, where a server's own cost is measured: the server on one, the load generator on another."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pins:
    """Commands that run another command on a core; empty where this machine leaves no choice."""

    server: tuple[str, ...] = ()
    driver: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """Return in words what they do."""
        if not self.server:
            return "nothing pinned"
        return f"server on core {self.server[-1]}, driver on core {self.driver[-1]}"


def pins() -> Pins:
    """Return the pins of this machine: its first two cores, if it has two and util-linux's `taskset`."""
    taskset, cores = shutil.which("taskset"), sorted(os.sched_getaffinity(0))
    if taskset is None or len(cores) < 2:
        return Pins()
    return Pins((taskset, "-c", str(cores[0])), (taskset, "-c", str(cores[1])))
