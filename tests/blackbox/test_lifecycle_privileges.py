"""What the serving processes need of the machine: no capability, their own directories, the configured sockets.

The kernel is asked (strace), over a whole life: start, requests, a reload, workers replaced, the end.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.borderpost_process import merged
from support.clients import AMERICAN, GERMAN, IRANIAN
from support.faults import log_lines, small_gate
from support.gateway import Gateway, eventually

pytestmark = [
    pytest.mark.blackbox,
    pytest.mark.full,
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace"),
]
CHANGES = (
    "open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,"
    "symlinkat,chmod,fchmodat,fchmodat2,chown,lchown,fchownat,truncate,mknod,mknodat,utimensat,setxattr"
)
SOCKETS = "bind,connect"
FORBIDDEN = (
    "acct,add_key,bpf,chroot,clock_adjtime,clock_settime,delete_module,finit_module,fsconfig,fsmount,fsopen,fspick,"
    "get_mempolicy,init_module,ioperm,iopl,kcmp,kexec_file_load,kexec_load,keyctl,mbind,mount,move_mount,"
    "move_pages,name_to_handle_at,open_by_handle_at,open_tree,perf_event_open,pivot_root,process_vm_readv,"
    "process_vm_writev,ptrace,quotactl,reboot,request_key,set_mempolicy,setdomainname,sethostname,setns,settimeofday,"
    "swapoff,swapon,syslog,umount2,unshare,userfaultfd,vhangup,setuid,setgid,setreuid,setregid,setresuid,setresgid,"
    "setgroups,capset"
)
"""What a container's default seccomp profile keeps from a process without capabilities
(docs.docker.com/engine/security/seccomp, read 2026-11-21), and what changes a process's own rights."""
REFUSED = "io_uring_setup"
"""Also kept back by such profiles (containerd 1.7.9 and later). libuv tries it and does without: it is refused here."""
_CALL = re.compile(r"^\d+ +(?P<name>\w+)\((?P<words>.*)\) += (?P<result>-?\d+|\?)(?P<path><[^>]*>)?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Call:
    """A system call that was made."""

    name: str
    words: str
    worked: bool
    """It succeeded, or goes on (EINPROGRESS)."""
    opened: str
    """Path behind the descriptor that it returned."""

    @property
    def paths(self) -> list[str]:
        return _QUOTED.findall(self.words)

    @property
    def writes(self) -> bool:
        """Whether it is one that changes a file system, opening to read is not."""
        if self.name not in CHANGES.split(","):
            return False
        return not self.name.startswith("open") or bool(re.search(r"O_(WRONLY|RDWR|CREAT|TRUNC|APPEND)", self.words))


def calls(trace: Path) -> Iterator[Call]:
    """Yield what strace wrote; calls that were interrupted by its own output are joined again."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        process = line.split(" ", 1)[0]
        if line.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
            continue
        resumed = re.match(r"^\d+ +<\.\.\. \w+ resumed>(.*)$", line)
        whole = begun.pop(process, "") + resumed[1] if resumed else line
        found = _CALL.match(whole)
        if found:
            worked = not found["result"].startswith("-") or "EINPROGRESS" in whole
            yield Call(found["name"], found["words"], worked, (found["path"] or "").strip("<>"))


def prefix(trace: Path) -> tuple[str, ...]:
    """Return a command that runs another without any capability, and writes down what it asks of the kernel."""
    kinds = ",".join(f"?{name}" for name in f"{CHANGES},{SOCKETS},{FORBIDDEN},{REFUSED}".split(","))
    strace = (
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-o",
        str(trace),
        "-e",
        f"trace={kinds}",
        "-e",
        "signal=none",
    )
    if os.geteuid() != 0:
        return strace
    return (*strace, "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--")


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def live(gate: Gateway) -> None:
    """Do everything that a gateway does in its life."""
    for client in (GERMAN, AMERICAN, IRANIAN):
        gate.send(client)
    gate.reload(merged(gate.config, {"answers": {"retry_after_s": 9}}))
    eventually(lambda: bool(log_lines(gate, event="reloaded", workers="replaced")), "workers replaced")
    gate.service.process.signal(signal.SIGUSR2)
    eventually(lambda: len(log_lines(gate, event="reloaded", workers="replaced")) == 2, "workers replaced again")
    assert gate.send(GERMAN).status == 200


def test_no_capability_no_foreign_file_no_foreign_socket(tmp_path: Path) -> None:
    trace = tmp_path / "strace"
    own = tmp_path / "own"
    own.mkdir()
    quiet = {"PYTHONDONTWRITEBYTECODE": "1"}
    with small_gate(own, prefix=prefix(trace), environ=quiet) as gate:
        live(gate)
        for pid in (gate.service.process.pid, *gate.worker_pids().values()):
            status = status_of(pid)
            assert {status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}, status["Name"]
            assert os.geteuid() != 0 or status["NoNewPrivs"] == "1"
        assert gate.service.stop() == 0
        made = list(calls(trace))
    writes = [call for call in made if call.writes and call.worked]
    assert len(writes) > 20
    written = {path for call in writes for path in ([call.opened] if call.opened else call.paths)}
    assert {path for path in written if not path.startswith(f"{own}/")} <= {"/dev/null"}
    directories = {Path(path).relative_to(own).parts[0] for path in written if path.startswith(f"{own}/")}
    assert directories <= {"audit", "server", "state"}

    bound = {call.words for call in made if call.name == "bind" and call.worked and "AF_NETLINK" not in call.words}
    admin = f"htons({gate.config['admin']['port']})"
    assert bound
    for words in bound:
        assert f'"{own}/server/.worker-0.sock.new"' in words or (admin in words and '"127.0.0.1"' in words), words
    probes = tuple(f"htons({port})" for port in gate.regions.ports.values())
    for call in made:
        if call.name == "connect" and call.worked:
            assert any(port in call.words for port in probes) or f'"{own}/server/' in call.words, call.words

    named = set(FORBIDDEN.split(","))
    assert {call.name for call in made if call.name in named} <= ({"capset"} if os.geteuid() == 0 else set())  # setpriv
