"""The section `payload`: off unless asked for, and every mistake in it has its line."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from borderpost.body_mode import body_mode_of
from borderpost.cli.envoy_plan import make_plan
from borderpost.cli.main import build_command, main
from borderpost.config.load import Loaded, load_config
from borderpost.config.payload import PayloadSection
from borderpost.worker_settings import refuse_unreloadable, settings_of
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.metrics import local_metrics
from borderpost_base.world import World
from support.borderpost_process import merged, small_config, write_config

ON: dict[str, Any] = {"read": True, "hash_key_file": "payload.key"}


def load(directory: Path, payload: dict[str, Any], **changes: Any) -> Loaded:
    (directory / "payload.key").write_bytes(b"0123456789abcdef\n")
    config = merged(small_config({"eu-1": ("DE", 1)}), {"payload": payload, "admin": {"port": 0}, **changes})
    return load_config(write_config(directory, config), environ={})


def mistakes(directory: Path, payload: dict[str, Any], **changes: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(Problems) as caught:
        load(directory, payload, **changes)
    assert all(error.place.line for error in caught.value.errors)
    return [(error.code, error.place.key) for error in caught.value.errors]


def test_bodies_are_not_read_unless_asked_for(tmp_path: Path) -> None:
    config = load(tmp_path, {}).config
    assert config.payload == PayloadSection()
    assert settings_of(config).payload is None


def test_a_worker_loads_nothing_of_it_where_bodies_are_not_read() -> None:
    program = "import sys, borderpost.worker; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    loaded = ast.literal_eval(done.stdout)
    read = ("borderpost.payload", "borderpost.body_mode", "borderpost.config.payload", "stdnum", "phonenumbers")
    assert [name for name in loaded if name.startswith(read)] == []


def test_settings_carry_it_whole(tmp_path: Path) -> None:
    config = load(tmp_path, {**ON, "model": "/model", "detectors": {"email": {"data_class": "health"}}}).config
    settings = settings_of(config)
    assert settings.payload is not None
    assert PayloadSection.model_validate(settings.payload) == config.payload
    first = settings.write(tmp_path)
    body_mode_of(settings.payload, World(), local_metrics())
    (tmp_path / "payload.key").write_bytes(b"another key, as long")
    assert settings.write(tmp_path) != first, "another key makes other settings, so that workers are replaced"


@pytest.mark.parametrize(
    ("payload", "found"),
    [
        ({"read": True}, [("BP1320", "payload")]),
        ({**ON, "hash_key_file": "nowhere.key"}, [("BP1320", "payload.hash_key_file")]),
        ({**ON, "hash_key_file": "short.key"}, [("BP1320", "payload.hash_key_file")]),
        ({**ON, "routes": ["chat", "chta"]}, [("BP1321", "payload.routes[1]")]),
        ({**ON, "model": "model"}, [("BP1311", "payload.model")]),
        ({**ON, "data_class": "/a~2"}, [("BP1311", "payload.data_class")]),
        ({**ON, "bytes_max": 0}, [("BP0104", "payload.bytes_max")]),
        ({**ON, "bytes_max": 1 << 30}, [("BP0104", "payload.bytes_max")]),
        ({**ON, "unread": "allow"}, [("BP0104", "payload.unread")]),
        ({**ON, "unread": {"assume": ["helth"]}}, [("BP0204", "payload.unread.assume[0]")]),
        ({**ON, "detectors": {"emial": {"data_class": "health"}}}, [("BP1310", "payload.detectors.emial")]),
        (
            {**ON, "detectors": {"email": {"data_class": "helth"}}},
            [("BP0204", "payload.detectors.email.data_class")],
        ),
        (
            {**ON, "detectors": {"email": {"data_class": "health", "only": ["x"]}}},
            [("BP1310", "payload.detectors.email")],
        ),
        ({**ON, "raed": True}, [("BP0102", "payload.raed")]),
    ],
)  # fmt: skip
def test_each_mistake_has_its_code_and_line(
    tmp_path: Path, payload: dict[str, Any], found: list[tuple[str, str]]
) -> None:
    (tmp_path / "short.key").write_bytes(b"0123456789abcde\n")
    assert mistakes(tmp_path, payload, routes={"chat": {}}) == found


def test_a_key_that_is_gone_keeps_a_worker_from_starting(tmp_path: Path) -> None:
    settings = settings_of(load(tmp_path, ON).config)
    (tmp_path / "payload.key").unlink()
    assert settings.payload is not None
    with pytest.raises(BorderpostError) as caught:
        body_mode_of(settings.payload, World(), local_metrics())
    assert caught.value.code == "BP1320"


def test_what_envoy_was_told_is_not_changed_by_a_reload(tmp_path: Path) -> None:
    old = load(tmp_path, {**ON, "model": "/model"}).config
    refuse_unreloadable(old, load(tmp_path, {**ON, "model": "/other"}).config)
    for change in ({"read": False}, {"bytes_max": 5}, {"routes": ["chat"]}):
        changed = load(tmp_path, {**ON, "model": "/model", **change}, routes={"chat": {}}).config
        with pytest.raises(Problems) as caught:
            refuse_unreloadable(old, changed)
        assert [error.code for error in caught.value.errors] == ["BP0608"]


def test_envoy_is_rendered_for_what_is_read(tmp_path: Path) -> None:
    parser, _ = build_command("render")
    words = ["envoy", "--upstream", "eu-1=127.0.0.1:1", "--route", "chat=/chat", "--route", "rest=/"]
    arguments = parser.parse_args(words)
    off = make_plan(load(tmp_path, {}, routes={"chat": {}, "rest": {}}), arguments)
    on = make_plan(
        load(tmp_path, {**ON, "bytes_max": 5000, "routes": ["chat"]}, routes={"chat": {}, "rest": {}}), arguments
    )
    assert off.bodies is None and on.bodies is not None
    assert (on.bodies.bytes_max, on.bodies.routes) == (5000, ("chat",))
    assert {*on.headers_read} - {*off.headers_read} == {
        "content-type", "content-encoding", "repr-digest", "content-range",
    }  # fmt: skip


def explained(directory: Path, payload: dict[str, Any], *words: str) -> tuple[int, str]:
    """Run `borderpost explain --body`, in this process; return its exit code and what it writes."""
    load(directory, payload)
    (directory / "body.json").write_text('{"model": "m-1", "to": "jo@example.org"}')
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = main(["explain", "--config", str(directory / "borderpost.yaml"), "--country", "DE", *words])
    return code, out.getvalue()


def test_a_body_is_explained_as_it_would_be_read(tmp_path: Path) -> None:
    body = str(tmp_path / "body.json")
    on = {**ON, "model": "/model", "detectors": {"email": {"data_class": "health"}}}
    code, told = explained(tmp_path, on, "--json", "--body", body)
    assert code == 0
    document = json.loads(told)
    assert (document["facts"]["classes"], document["facts"]["model"]) == (["health", "personal"], "m-1")
    assert "detectors that found something: email" in document["notes"]
    assert "jo@example.org" not in told
    for payload, file in (({}, body), (on, str(tmp_path / "nothing.json"))):
        code, told = explained(tmp_path, payload, "--body", file)
        assert code == 2 and "BP0004" in told
