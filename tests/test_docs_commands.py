"""Every command in README and docs is run, and what the page says it prints is what it prints.

A page is one story, run from top to bottom in a folder of its own:

    <!-- file: NAME -->    the next fenced block is written to NAME
    ```console             each `$ ` line is run by bash; the lines after it must appear in its output, in order; `…`
                           stands for any text in a line, or alone for any lines
    <!-- run: WORD… -->    before a console block: `exit N` (the last command's code), `checkout` (run in a copy of the
                           repository), `full` (only among the long tests, with all the page's other blocks),
                           `background` (left running until the page ends), `opa` (with OPA on the path; needs Go)
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.go_tools import go_tool

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    page
    for page in [ROOT / "README.md", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if ROOT / "docs/reference" not in page.parents
)
_FENCE = re.compile(r"^```(\w*)\s*$")
_MARK = re.compile(r"^<!-- (file|run): (.+?) -->$")
_PORT = re.compile(r"(?:port: |PORT=|127\.0\.0\.1:|localhost:)([1-9][0-9]{4})\b")
_STARTED_WITHIN_S = 20.0


@dataclass
class Block:
    """A fenced block of a page, with the mark before it."""

    language: str
    line: int
    lines: list[str] = field(default_factory=list)
    file: str | None = None
    run: list[str] = field(default_factory=list)

    @property
    def is_full(self) -> bool:
        return "full" in self.run

    @property
    def exit_code(self) -> int:
        return int(self.run[self.run.index("exit") + 1]) if "exit" in self.run else 0

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command and the output that the page gives it."""
        command: str | None = None
        expected: list[str] = []
        for line in self.lines:
            if line.startswith("$ "):
                if command is not None:
                    yield command, expected
                command, expected = line[2:], []
            elif command is not None and command.endswith("\\"):
                command = f"{command[:-1]}{line.strip()}"
            else:
                expected.append(line)
        if command is not None:
            yield command, expected


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    inside: Block | None = None
    mark: re.Match[str] | None = None
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if inside is not None:
            if fence:
                found.append(inside)
                inside = mark = None
            else:
                inside.lines.append(line)
        elif fence:
            inside = Block(fence[1], number)
            if mark is not None and mark[1] == "file":
                inside.file = mark[2]
            elif mark is not None:
                inside.run = mark[2].split()
        elif (told := _MARK.match(line)) is not None:
            mark = told
        elif line.strip():
            mark = None
    assert inside is None, f"{page}: a block is not closed"
    return found


def is_full(page: Path) -> bool:
    return any(block.is_full for block in blocks(page))


LONG_PAGES = frozenset(
    f"docs/guide/{name}.md"
    for name in (
        "bench",
        "counters",
        "events",
        "evidence",
        "operate",
        "packs",
        "policy-as-code",
        "ratelimit-operate",
        "shadow",
        "triggers",
        "upgrade",
        "whatif",
        "workers",
        "zero-trust",
    )
)
"""Pages with so many commands that they run among the long tests only."""


def cases() -> list[object]:
    """Return each page that has commands: what runs quickly, and what runs among the long tests only."""
    found: list[object] = []
    for page in PAGES:
        name = str(page.relative_to(ROOT))
        if any(block.language == "console" and not block.is_full for block in blocks(page)):
            marks = [pytest.mark.full] if name in LONG_PAGES else []
            if not (marks and is_full(page)):
                found.append(pytest.param(page, False, id=name, marks=marks))
        if is_full(page):
            found.append(pytest.param(page, True, id=f"{name}-full", marks=pytest.mark.full))
    return found


def test_pages_that_run_at_the_same_time_have_ports_of_their_own() -> None:
    found: dict[str, set[str]] = {}
    for page in PAGES:
        for block in blocks(page):
            if block.file is not None or block.language == "console":
                for port in _PORT.findall("\n".join(block.lines)):
                    found.setdefault(port, set()).add(page.name)
    shared = {port: pages for port, pages in found.items() if len(pages) > 1}
    assert not shared


def test_no_command_is_written_where_it_would_not_be_run() -> None:
    for page in PAGES:
        for block in blocks(page):
            assert block.language not in {"sh", "bash", "shell"}, f"{page}:{block.line}: use ```console"
            if block.language == "console":
                assert block.lines[0].startswith("$ "), f"{page}:{block.line}"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("page", "full"), cases())
def test_the_page_s_commands_do_what_it_says(page: Path, full: bool, tmp_path: Path) -> None:
    story = Story(page, tmp_path)
    try:
        for block in blocks(page):
            if block.file is not None:
                story.write(block)
            elif block.language == "console" and (full or not block.is_full):
                story.play(block)
    finally:
        story.end()


class Story:
    """One page being run."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page = page
        self.home = folder / "home"
        self.folder = folder / "page"
        self.checkout = folder / "checkout"
        self.home.mkdir()
        self.folder.mkdir()
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("BORDERPOST_", "VIRTUAL_ENV"))
        }
        path = f"{Path(sys.executable).parent}:{kept['PATH']}"
        self.environment = {**kept, "PATH": path, "HOME": str(self.home), "COLUMNS": "100", "NO_COLOR": "1"}
        self.left_running: list[subprocess.Popen[bytes]] = []

    def write(self, block: Block) -> None:
        assert block.file is not None
        target = self.folder / block.file
        assert target.resolve().is_relative_to(self.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(block.lines) + "\n")

    def play(self, block: Block) -> None:
        folder = self._checkout() if "checkout" in block.run else self.folder
        if "opa" in block.run:
            self.environment["PATH"] += f":{go_tool('opa').parent}"
        commands = list(block.commands())
        for number, (command, expected) in enumerate(commands, 1):
            if "background" in block.run:
                self._start(command, expected, folder)
                continue
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=self.environment, timeout=800,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            )  # fmt: skip
            due = block.exit_code if number == len(commands) else 0
            where = f"{self.page.relative_to(ROOT)}:{block.line}: $ {command}"
            assert done.returncode == due, f"{where}\nexit {done.returncode}, not {due}\n{done.stdout}"
            unmet = missing(expected, done.stdout)
            assert unmet is None, f"{where}\ndoes not print: {unmet}\n{done.stdout}"

    def _start(self, command: str, expected: list[str], folder: Path) -> None:
        """Start a command that goes on running; wait until it has printed what the page says."""
        log = self.folder / f"background-{len(self.left_running)}.log"
        with log.open("wb") as out:
            child = subprocess.Popen(
                ["bash", "-c", f"exec {command}"], cwd=folder, env=self.environment, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.left_running.append(child)
        until = time.monotonic() + _STARTED_WITHIN_S
        while missing(expected, log.read_text(errors="replace")) is not None:
            assert child.poll() is None, f"$ {command} ended\n{log.read_text(errors='replace')}"
            assert time.monotonic() < until, f"$ {command} does not print {expected}\n{log.read_text(errors='replace')}"
            time.sleep(0.05)

    def _checkout(self) -> Path:
        """Copy what git knows of the repository, so that nothing is written into it."""
        if not self.checkout.exists():
            listed = subprocess.run(
                ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
                cwd=ROOT,
                capture_output=True,
                check=True,
            )
            for name in filter(None, listed.stdout.decode().split("\0")):
                if (ROOT / name).is_file():
                    target = self.checkout / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(ROOT / name, target)
        return self.checkout

    def end(self) -> None:
        for child in reversed(self.left_running):
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(30)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def missing(expected: list[str], printed: str) -> str | None:
    """Return the first expected line that is not printed in its place, or None."""
    lines = printed.splitlines()
    at = 0
    anywhere = False
    for line in expected:
        if line.strip() == "…":
            anywhere = True
            continue
        pattern = re.compile(".*".join(re.escape(part) for part in line.rstrip().split("…")))
        found = next((n for n in range(at, len(lines)) if pattern.fullmatch(lines[n].rstrip())), None)
        if found is None or (found != at and not anywhere):
            return line
        at, anywhere = found + 1, False
    return None


def test_expected_lines_are_looked_for_in_order() -> None:
    printed = "one\ntwo 2\nthree\n"
    assert missing(["one", "two …", "three"], printed) is None
    assert missing(["…", "three"], printed) is None
    assert missing(["two 2"], printed) == "two 2"
    assert missing(["one", "three"], printed) == "three"
    assert missing(["…", "three", "…", "one"], printed) == "one"
