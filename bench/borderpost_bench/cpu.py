"""What processes cost: CPU time and memory of a process and its descendants, from /proc (proc(5)).

CPU time is the kernel's sum of user and system time; its resolution is one clock tick (10 ms on Linux), so a
window should last seconds.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Usage:
    """What some processes have used since they started."""

    cpu_s: float = 0.0
    memory_bytes: int = 0
    """Proportional set size now: memory shared by several processes counts once."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu_s + other.cpu_s, self.memory_bytes + other.memory_bytes)


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """One line of /proc/PID/stat."""

    parent: int
    cpu_s: float


def parse_stat(text: str) -> ProcessStat:
    """Read /proc/PID/stat. The command's name, in brackets, may hold spaces and brackets itself."""
    fields = text.rpartition(")")[2].split()
    return ProcessStat(parent=int(fields[1]), cpu_s=(int(fields[11]) + int(fields[12])) / _TICKS_PER_S)


def descendants(pid: int) -> list[int]:
    """Return the process and all that descend from it, the process itself first."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat is not None:
                children.setdefault(stat.parent, []).append(int(entry.name))
    found = [pid]
    for known in found:
        found += children.get(known, [])
    return found


def usage_of(pids: Iterable[int]) -> Usage:
    """Return what these processes have used together; one that has ended counts nothing."""
    total = Usage()
    for pid in pids:
        stat = _stat(pid)
        if stat is not None:
            total += Usage(stat.cpu_s, _memory_bytes(pid))
    return total


def cores_of(pids: Iterable[int]) -> tuple[int, ...]:
    """Return the cores on which any of these processes may run; one that has ended counts nothing."""
    found: set[int] = set()
    for pid in pids:
        try:
            found |= os.sched_getaffinity(pid)
        except ProcessLookupError:
            continue
    return tuple(sorted(found))


def machine_cpu_s() -> float:
    """Return the CPU seconds that the whole machine has been busy, all cores together."""
    return busy_s((_PROC / "stat").read_text())


def busy_s(text: str) -> float:
    """Read the first line of /proc/stat: user, nice, system, irq, softirq. Idle, iowait and stolen time are not busy;
    guest time is in user time already."""
    fields = [int(field) for field in text.split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq = fields[:7]
    return (user + nice + system + irq + softirq) / _TICKS_PER_S


def own_cpu_s() -> float:
    """Return what this process and its children that have ended (the load generators) used."""
    own, ended = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def _stat(pid: int) -> ProcessStat | None:
    try:
        return parse_stat((_PROC / str(pid) / "stat").read_text())
    except (FileNotFoundError, ProcessLookupError):
        return None


def _memory_bytes(pid: int) -> int:
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    kib = next((line.split()[1] for line in text.splitlines() if line.startswith("Pss:")), "0")
    return int(kib) * 1024
