"""The exported Rego in engines by others: rego-cpp (`regopy`) in this process, and the real OPA by its command."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from regopy import Interpreter

from borderpost.policy.decide import decide
from borderpost.policy.events import EventList
from borderpost.policy.fields import to_us
from borderpost.rego.export import Source, export, source_of
from borderpost.rego.questions import answer_of, question_of
from support import policy_cases

Asked = tuple[dict[str, Any], dict[str, Any]]
"""A question, and the gateway's answer."""

_TOLD_MAX = 3
_CASES = 1


def world(seed: int) -> Source:
    """Return the law of one seeded world, with its events."""
    random = Random(seed)
    drawn = policy_cases.world(random)
    return source_of(drawn.bundle, drawn.regions, EventList(drawn.events), drills=random.random() < 0.3)


def questions(source: Source, seed: int, count: int) -> list[Asked]:
    """Return so many seeded questions about a world, with our answers."""
    random = Random(seed)
    found = []
    for _ in range(count):
        facts, now_us = policy_cases.facts(random), to_us(policy_cases.instant(random))
        stale = random.random() < 0.15
        law = decide(facts, source.policy, source.events, now_us, stale=stale)
        found.append((question_of(facts, now_us, stale=stale), answer_of(law)))
    return found


@dataclass
class Comparison:
    """What an engine said otherwise."""

    asked: int = 0
    apart: list[str] = field(default_factory=list)
    """The first few, with what differs."""
    reasons: set[str] = field(default_factory=set)

    def add(self, name: object, asked: Sequence[Asked], answers: Sequence[Any]) -> None:
        """Hold answers against ours."""
        assert len(answers) == len(asked), f"{name}: {len(answers)} answers to {len(asked)} questions"
        self.asked += len(asked)
        for (question, ours), theirs in zip(asked, answers, strict=True):
            self.reasons.add(ours["reason"].partition(":")[0])
            if theirs != ours and len(self.apart) < _TOLD_MAX:
                told = theirs if isinstance(theirs, dict) else {}
                keys = sorted(key for key in {*ours, *told} if ours.get(key) != told.get(key))
                self.apart.append(f"{name}: {question}: {[(key, ours.get(key), told.get(key)) for key in keys]}")


class InProcess:
    """An export in rego-cpp, compiled once."""

    def __init__(self, source: Source, query: str = "data.borderpost.decision") -> None:
        interpreter = Interpreter()
        for name, text in export(source, _CASES).items():
            if name == "data.json":
                interpreter.add_data(json.loads(text))
            elif name.endswith(".rego") and name not in ("decision_test.rego", "workload.rego"):
                interpreter.add_module(name, text)  # the two are for other tools, and `with` is beyond rego-cpp there
        self._bundle = interpreter.build(f"answer = {query}")

    def ask(self, question: object) -> Any:
        """Return the answer to one question; None where it is undefined."""
        interpreter = Interpreter()  # a new one each time: it remembers rules from one input to the next
        interpreter.set_input(question)
        text = str(interpreter.query_bundle(self._bundle))
        return None if text == "undefined" else json.loads(text)["bindings"]["answer"]


def in_process(source: Source, asked: Iterable[Asked]) -> list[Any]:
    """Ask rego-cpp every question."""
    engine = InProcess(source)
    return [engine.ask(question) for question, _ in asked]


def written(source: Source, folder: Path, cases: int = _CASES) -> Path:
    """Write an export into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in export(source, cases).items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def ask_opa(opa: Path, folder: Path, asked: Sequence[Asked], scratch: Path) -> list[Any]:
    """Ask the real OPA every question in one run."""
    scratch.write_text(json.dumps({"requests": [question for question, _ in asked]}))
    query = "[answer | some request in input.requests; answer := data.borderpost.decision with input as request]"
    done = run(opa, "eval", "--format", "json", "--data", folder, "--input", scratch, query)
    answers: list[Any] = json.loads(done)["result"][0]["expressions"][0]["value"]
    return answers


def run(program: Path, *words: object, code: int = 0) -> str:
    """Run a command; return what it prints. It must end with this code."""
    done = subprocess.run([str(program), *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
