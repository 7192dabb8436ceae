"""Rules for all tests: reproducible examples, and no skip that nobody expected.

A skip must give a reason that begins with one of `ALLOWED_SKIPS`, each of which says what the machine lacks.
With BORDERPOST_NO_SKIPS=1, as in continuous integration where nothing is lacking, any skip is a failure.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import structlog

ALLOWED_SKIPS = ("needs ",)
"""`needs root`, `needs faketime`, `needs /dev/fuse`: the beginning of every reason that is allowed."""

SHARE_NOTHING = ("tests/test_docs_commands.py",)
"""Files whose tests share nothing and take long, so that each may run beside the others (`--dist loadfile`)."""

SECOND_TRIES_MAX = 3
"""Tests of one run that may need the second try that `make` gives to tests of processes. With more of them it is not
the machine that is at fault."""

SEED = int(os.environ.get("BORDERPOST_TEST_SEED", "20261121"))

hypothesis.settings.register_profile(
    "quick", max_examples=60, deadline=None, derandomize=True, print_blob=True, database=None
)
hypothesis.settings.register_profile("full", max_examples=2000, deadline=None, print_blob=True)
hypothesis.settings.register_profile(  # one failure is enough: tools/mutate.py asks whether, not by how little
    "mutants",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)
hypothesis.settings.load_profile(os.environ.get("BORDERPOST_TEST_PROFILE", "quick"))


def pytest_report_header() -> str:
    """Say how to repeat this run."""
    profile, engine = hypothesis.settings.get_current_profile_name(), os.environ.get("BORDERPOST_TEST_ENGINE", "auto")
    return f"seed: BORDERPOST_TEST_SEED={SEED}  hypothesis profile: {profile}  engine of the product: {engine}"


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start every test from the same seed, whatever ran before it."""
    random.seed(SEED)


@pytest.fixture(autouse=True)
def _logs_of_its_own() -> Iterator[None]:
    """Let no test log to the closed stream of one before it: a command run in this process sets logs up."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run a file's tests in one process, since they may share a gateway; but those that share nothing each anywhere."""
    from xdist.scheduler import LoadFileScheduling

    class ByFile(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return nodeid if file in SHARE_NOTHING else file

    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


def _second_tries(terminal: Any) -> dict[str, Any]:
    """Return what first came of each test that was tried again."""
    return {report.nodeid: report for report in terminal.stats.get("rerun", ())}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show what failed before a second try: it may be seldom, and is to be understood all the same."""
    for name, report in _second_tries(terminalreporter).items():
        terminalreporter.write_sep("=", f"tried again: {name}")
        terminalreporter.write_line(str(report.longrepr))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run in which many tests needed a second try."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and len(_second_tries(terminal)) > SECOND_TRIES_MAX and session.exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = report.longrepr
    text = told[2] if isinstance(told, tuple) else str(told)
    return text.removeprefix("Skipped: ")


def _judge_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure where it is not allowed."""
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = _reason(report)
    if os.environ.get("BORDERPOST_NO_SKIPS") == "1":
        report.outcome, report.longrepr = "failed", f"skipped where nothing may be skipped: {reason}"
    elif not reason.startswith(ALLOWED_SKIPS):
        allowed = " or ".join(f"`{start}…`" for start in ALLOWED_SKIPS)
        report.outcome, report.longrepr = "failed", f"the reason of a skip begins with {allowed}, not: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """Judge skips of tests."""
    report = yield
    _judge_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):  # type: ignore[no-untyped-def]
    """Judge skips of whole files."""
    report = yield
    _judge_skip(report)
    return report
