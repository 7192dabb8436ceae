"""A small process that writes an audit stream and says on stdout what is durable; for faults from outside.

    python audit_process.py DIRECTORY COUNT     one commit a line: `ack <name>`, `down <errno name>`, `up`, `end`

COUNT 0 means: until killed.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()


def start(directory: Path, count: int = 0, *, under: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
    """Start it, perhaps under another program (strace)."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent.parent)}
    command = [*under, sys.executable, str(HERE), str(directory), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment)


def main(directory: Path, count: int) -> None:
    """Write until the count is reached or the process is killed."""
    from borderpost.audit.writer import AuditUnavailable
    from support.audit import decision, open_writer

    def say(text: str) -> None:
        os.write(1, text.encode() + b"\n")

    writer = open_writer(directory)
    say(f"open {writer.epoch}")
    for n in range(count) if count else itertools.count():
        batch = [f"{writer.epoch}-{n}-{each}" for each in range(1 + n % 7)]
        try:
            for name in batch:
                writer.append("decision", decision(name))
            writer.commit()
            say("\n".join(f"ack {name}" for name in batch))
        except AuditUnavailable as error:
            say(f"down {error.reason}")
            while not writer.try_heal():
                time.sleep(0.01)
            say("up")
    writer.close()
    say("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
