"""The last act: what was answered is what the log says, and the log notices one changed byte."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

from borderpost.audit.reader import Located, read_log
from borderpost.demo.stage import Stage, command
from borderpost.demo.telling import Story

_TAMPERING_CODES = range(10, 20)
_PLACE = "DE-HE"
"""Place of the region whose records there are most of; its first letter is what is changed."""


def evidence(stage: Stage, story: Story) -> None:
    """Compare the log with what was answered, verify it, change one byte of a copy, verify that."""
    story.act("The record")
    _compare(stage, story)
    verified = command("verify", str(stage.audit), "--json")
    records = sum(stream["records"] for stream in verified.document.get("streams", ()))
    story.claim(f"borderpost verify: {records} records, nothing is wrong", verified.exit_code == 0, verified)
    copy = stage.directory / "tampered"
    shutil.copytree(stage.audit, copy)
    changed = _change_one_byte(copy)
    told = command("verify", str(copy), "--json")
    story.say(f"  in a copy, line {changed.number} of {changed.file.name} now says AE-HE where it said DE-HE")
    story.claim(
        f"borderpost verify ends with status {told.exit_code}, a kind of tampering",
        told.exit_code in _TAMPERING_CODES,
        told,
    )
    findings = told.document.get("findings", [])
    story.claim(f"and shows where: {_where(findings)}", _points_at(findings, changed), findings)


def _compare(stage: Stage, story: Story) -> None:
    """Every answer with a decision is in the log once, as it was given; nothing else is."""
    decisions = {f"{record['epoch']}{record['seq']:012x}": record["out"] for record in stage.decisions()}
    answered = [one for one in stage.asked if one.decision is not None]
    unequal = [
        one.decision
        for one in answered
        if decisions.get(one.decision or "", {}).get("r") != one.region and one.status == 200
    ]
    missing = [one.decision for one in answered if one.decision not in decisions]
    story.claim(
        f"each of {len(answered)} answers that name a decision is in the log, with the region that served",
        not missing and not unequal,
        f"missing {missing}, unequal {unequal}",
    )
    passed_us = sum(one.status != 401 for one in stage.asked)  # a forged token ends before the question
    story.claim(
        f"{len(decisions)} decisions in the log, {passed_us} requests asked about",
        len(decisions) == passed_us,
        Counter(one.status for one in stage.asked),
    )


def _change_one_byte(copy: Path) -> Located:
    """Change one byte of a record in the middle of the copy: the place of the region that served."""
    routed = [found for found in read_log(copy) if found.record.get("out", {}).get("cc") == _PLACE]
    chosen = routed[len(routed) // 2]
    data = chosen.file.read_bytes()
    at = data.index(chosen.line) + chosen.line.index(f'"cc":"{_PLACE}"'.encode()) + len('"cc":"')
    chosen.file.chmod(0o600)
    chosen.file.write_bytes(data[:at] + b"A" + data[at + 1 :])
    return chosen


def _points_at(findings: list[dict[str, Any]], changed: Located) -> bool:
    """Say whether the first finding names the line, or the one after it, whose `prev` no longer fits."""
    if not findings:
        return False
    first = findings[0]
    return str(first["file"]).endswith(changed.file.name) and first.get("line") in (changed.number, changed.number + 1)


def _where(findings: list[dict[str, Any]]) -> str:
    if not findings:
        return "nothing"
    first = findings[0]
    return f"{first['code']} {first['title']}, {Path(first['file']).name}:{first.get('line', '?')}"
