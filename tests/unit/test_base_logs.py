"""Logs: JSON when piped, nothing that identifies a person, other libraries' lines in the same form."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from borderpost_base.logs import NEVER_LOGGED, SCRUBBED, configure_logs, get_logger


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_is_json_when_piped_and_names_its_process() -> None:
    out = io.StringIO()
    configure_logs(stream=out, process="worker-0")
    get_logger("audit").info("committed", records=3)
    (line,) = lines(out)
    assert line.pop("timestamp")
    assert line == {"event": "committed", "level": "info", "logger": "audit", "process": "worker-0", "records": 3}


@pytest.mark.parametrize("name", sorted(NEVER_LOGGED))
def test_no_field_that_could_identify_is_written(name: str) -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    for key in (name, name.upper(), name.replace("_", "-")):
        get_logger("facts").warning(
            "seen", **{key: "198.51.100.7", "nested": {key: "198.51.100.7"}, "list": [{key: "198.51.100.7"}]}
        )
    assert "198.51.100.7" not in out.getvalue()
    assert out.getvalue().count(SCRUBBED) == 9


def test_nesting_without_end_is_cut_off() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    deep: dict[str, object] = {"end": "198.51.100.7"}
    for _ in range(20):
        deep = {"in": deep}
    get_logger("x").info("deep", value=deep)
    assert "198.51.100.7" not in out.getvalue()


def test_levels_below_the_one_set_are_left_out() -> None:
    out = io.StringIO()
    configure_logs(stream=out, level="warning")
    get_logger("x").info("quiet")
    get_logger("x").warning("loud")
    assert [line["event"] for line in lines(out)] == ["loud"]


def test_an_exception_carries_its_traceback() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    try:
        raise OSError("disk on fire")
    except OSError:
        get_logger("x").exception("failed")
    (line,) = lines(out)
    assert "disk on fire" in str(line["exception"])
    assert "test_base_logs" in str(line["exception"])


def test_other_libraries_come_out_in_the_same_form_and_scrubbed() -> None:
    out = io.StringIO()
    configure_logs(stream=out, process="steward")
    logging.getLogger("asyncio").error("Task exception was never retrieved")
    logging.getLogger("uvicorn").info("chatter")
    (line,) = lines(out)
    assert line["event"] == "Task exception was never retrieved"
    assert (line["logger"], line["level"], line["process"]) == ("asyncio", "error", "steward")


def test_setting_up_twice_does_not_write_twice() -> None:
    out = io.StringIO()
    configure_logs(stream=out)
    configure_logs(stream=out)
    logging.getLogger("grpc").warning("once")
    assert len(lines(out)) == 1


def test_a_terminal_gets_colour_unless_it_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    configure_logs(stream=out)
    get_logger("x").info("hello")
    assert "\x1b[" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    configure_logs(stream=out)
    get_logger("x").info("hello")
    assert "hello" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


def test_the_format_can_be_forced() -> None:
    out = Terminal()
    configure_logs(stream=out, json=True)
    get_logger("x").info("hello")
    assert lines(out)[0]["event"] == "hello"
