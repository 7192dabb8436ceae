"""The command line: exit codes, streams, JSON, pipes, colours, and no needless import."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import jsonschema
import pytest

from borderpost.cli import main as cli
from borderpost.cli.output import Output
from borderpost.version import __version__
from borderpost_base.errors import ERRORS, BorderpostError, Place

CONFIG = "here: {country: DE}\nregions:\n  eu-central-1: {country: DE}\n  us-east-1: {country: US}\n"
CONFIG += "region_defaults: {retention: same, telemetry: same}\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "borderpost.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BORDERPOST_") or name == "NO_COLOR"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BORDERPOST_GEOIP__MAX_AGE_DAYS", "3650")  # the embedded database grows old
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code = cli.main(words)
    except SystemExit as ended:
        code = int(ended.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def process(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "borderpost.cli", *words]
    return subprocess.run(command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)


def test_version_and_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"borderpost {__version__}\n", "")
    code, out, err = run(capsys, "--help")
    assert (code, err) == (0, "")
    assert all(name in out for name in cli.COMMANDS)


def test_no_command_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys)[0] == 2


def test_an_unknown_command_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "srve")
    assert (code, out) == (2, "")
    assert "serve" in err


@pytest.mark.parametrize("name", sorted(cli.COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: borderpost {name}")


def test_the_overview_imports_no_command_and_nothing_heavy() -> None:
    program = (
        "import sys\nfrom borderpost.cli.main import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print(sorted(m for m in sys.modules if m.startswith('borderpost.cli.') or m.split('.')[0] in "
        "{'pydantic', 'yaml', 'rich', 'grpc', 'prometheus_client', 'envoy_data_plane', 'structlog'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "['borderpost.cli.main', 'borderpost.cli.output']"


def test_only_render_and_demo_load_the_typed_envoy_model(folder: Path) -> None:
    program = (
        "import sys\nfrom borderpost.cli.main import main, COMMANDS, build_command\n"
        "[build_command(name) for name in COMMANDS]\nmain(['check-config'])\n"
        "print([m for m in sys.modules if m.split('.')[0] in {'envoy_data_plane', 'betterproto2'}])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"


def test_check_config_in_order(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check-config")
    assert (code, err) == (0, "")
    assert "in order" in out
    assert "\x1b" not in out
    code, out, err = run(capsys, "check-config", "--json")
    told = json.loads(out)
    assert (code, told["schema_version"], told["command"], told["errors"]) == (0, 1, "check-config", [])
    assert told["regions"] == ["eu-central-1", "us-east-1"]


def test_check_config_warns_of_locations_that_nobody_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "borderpost.yaml").write_text(CONFIG.replace("retention: same", "retention: unknown"))
    code, out, err = run(capsys, "check-config")
    assert (code, "in order" in out) == (0, True)
    assert err.count("warning[BP0110]") == 2
    assert "`us-east-1` does not say its retention" in err


def test_check_config_with_findings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "borderpost.yaml").write_text(CONFIG + "server: {wrokers: 1}\nadmin: {port: -1}\n")
    code, out, err = run(capsys, "check-config")
    assert (code, out) == (1, "")
    assert "error[BP0102]: unknown key\n  --> borderpost.yaml:6:10: server.wrokers\n" in err
    assert "hint: did you mean `workers`?" in err
    code, out, err = run(capsys, "check-config", "--json")
    assert (code, err) == (1, "")
    told = json.loads(out)["errors"]
    assert {(x["code"], x["place"]["line"]) for x in told} == {("BP0102", 6), ("BP0104", 7)}


def test_check_config_opens_the_geoip_database(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check-config", "--set", "geoip.max_age_days=1")
    assert code == 0
    assert "in order" in out
    assert "warning[BP0307]" in err
    told = json.loads(run(capsys, "check-config", "--json", "--set", "geoip.max_age_days=1")[1])
    assert [warning["code"] for warning in told["warnings"]] == ["BP0307"]
    (folder / "no.mmdb").write_bytes(b"not a database")
    for name, error in (("no.mmdb", "BP0302"), ("gone.mmdb", "BP0301")):
        code, out, err = run(capsys, "check-config", "--set", f"geoip.database={name}")
        assert (code, out) == (1, "")
        assert f"error[{error}]" in err


def test_a_file_that_is_not_there_means_could_not_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["check-config"], ["ready"], ["explain", "--country", "DE"]):
        code, out, err = run(capsys, *words, "-c", "gone.yaml")
        assert (code, out) == (2, "")
        assert "error[BP0003]" in err


def test_the_configuration_may_be_named_by_a_variable_and_flags_win(folder: Path) -> None:
    (folder / "borderpost.yaml").rename(folder / "other.yaml")
    variables = {"BORDERPOST_CONFIG": "other.yaml", "BORDERPOST_ADMIN__PORT": "x"}
    done = process("check-config", "--set", "admin.port=9000", cwd=folder, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    assert process("check-config", cwd=folder, **variables).returncode == 1


def test_set_needs_a_key_and_a_value(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _out, err = run(capsys, "check-config", "--set", "server.workers")
    assert code == 2
    assert "error[BP0004]" in err


def test_a_crash_is_told_with_its_traceback_and_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("borderpost.cli.check_config.load", broken)
    code, out, err = run(capsys, "check-config")
    assert (code, out) == (2, "")
    assert "Traceback" in err
    assert "surprise" in err
    assert "error[BP0001]" in err
    code, out, err = run(capsys, "check-config", "--json")
    assert (code, json.loads(out)["errors"][0]["code"]) == (2, "BP0001")
    assert "Traceback" in err


def test_a_reader_that_goes_away_ends_the_command_in_silence() -> None:
    """As in `| head -1`: no traceback, no complaint at the interpreter's end."""
    command = f"{sys.executable} -m borderpost.cli schema --of config | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == "{\n0\n"
    assert done.stderr == ""


def test_help_explains_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(capsys, "help", "bp0102")
    assert code == 0
    spec = ERRORS["BP0102"]
    assert all(text in out for text in (spec.title, spec.cause, spec.mend))
    code, out, _err = run(capsys, "help", "BP0102", "--json")
    assert json.loads(out)["mend"] == spec.mend


def test_help_does_not_know_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "help", "BP0192")
    assert (code, out) == (2, "")
    assert "error[BP0002]" in err
    assert "did you mean" in err


@pytest.mark.parametrize("name", ["errors", "limits", "metrics", "variables"])
def test_help_lists_each_registry(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(capsys, "help", f"--{name}", "--json")
    rows = json.loads(out)[name]
    assert code == 0
    assert len(rows) > 5
    code, plain, _err = run(capsys, "help", f"--{name}")
    assert code == 0
    assert len(plain.splitlines()) == len(rows) + 1
    assert str(next(iter(rows[0].values()))) in plain


@pytest.mark.parametrize("kind", ["config", "pack", "events", "event", "trigger"])
def test_schemas_are_schemas(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(capsys, "schema", "--of", kind)
    assert code == 0
    jsonschema.Draft202012Validator.check_schema(json.loads(out))


def test_the_schema_knows_a_good_configuration_from_a_bad_one(capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads(run(capsys, "schema")[1])
    good = {"here": {"country": "DE"}, "regions": {"a": {"country": "DE"}}}
    jsonschema.validate(good, schema)
    for bad in ({}, {**good, "server": {"wrokers": 1}}, {**good, "admin": {"port": "x"}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(bad, schema)


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _err = run(capsys, "completion", shell)
    assert code == 0
    assert all(name in out for name in cli.COMMANDS)


def test_the_bash_completion_is_valid_bash(capsys: pytest.CaptureFixture[str]) -> None:
    script = run(capsys, "completion", "bash")[1]
    subprocess.run(["bash", "-n"], input=script, text=True, check=True, timeout=60)


def test_ready_says_that_nothing_answers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "ready", "--set", "admin.port=1")
    assert (code, out) == (2, "")
    assert "error[BP0005]" in err


class Admin(http.server.BaseHTTPRequestHandler):
    """Answers `/livez` with 200 and `/readyz` with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.end_headers()
        self.wfile.write(b"draining\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_ready_tells_what_the_admin_server_says(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Admin) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = ["--set", f"admin.port={server.server_port}"]
        assert run(capsys, "ready", *port) == (1, "draining\n", "")
        assert run(capsys, "ready", "--live", *port)[0] == 0
        told = json.loads(run(capsys, "ready", "--json", *port)[1])
        assert (told["status"], told["ready"]) == (503, False)
        server.shutdown()


def test_colours_only_for_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    error = BorderpostError("BP0104", "x", place=Place("a.yaml", 1))
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream, variables, coloured in (
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ):
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            Output("x", stderr=stream).errors([error])
        assert ("\x1b[31m" in stream.getvalue()) is coloured
        assert "hint:" in re.sub(r"\x1b\[\d+m", "", stream.getvalue())


def test_tables_are_drawn_in_a_terminal_and_plain_when_piped(monkeypatch: pytest.MonkeyPatch) -> None:
    piped, terminal = io.StringIO(), Terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    for stream in (piped, terminal):
        Output("x", stdout=stream).table(("region", "why"), [("eu", "[red]x"), ("us-east", "y")])
    assert piped.getvalue() == "region   why\neu       [red]x\nus-east  y\n"
    assert "[red]x" in terminal.getvalue()  # markup in data is data
    assert "│" in terminal.getvalue()
