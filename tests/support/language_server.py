"""The YAML language server, as an editor runs it: JSON-RPC over stdio, one question at a time."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PACKAGE = "yaml-language-server@1.24.0"
_INSTALL_S = 300


class Mark(NamedTuple):
    """What an editor underlines."""

    line: int
    """From 1."""
    text: str


def install(folder: Path) -> Path:
    """Install the server below a folder; return its script. Skips where there is no npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("needs npm for the YAML language server")
    command = [npm, "install", "--silent", "--no-fund", "--no-audit", "--ignore-scripts", PACKAGE]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_INSTALL_S)
    return folder / "node_modules/yaml-language-server/bin/yaml-language-server"


class Editor:
    """An editor with one folder open, whose settings say which schema is for which file."""

    def __init__(self, script: Path, folder: Path, schemas: Mapping[str, list[str]]) -> None:
        self._folder = folder
        self._settings = {
            "schemas": {(folder / name).as_uri(): files for name, files in schemas.items()},
            "schemaStore": {"enable": False},
            "validate": True,
            "completion": True,
            "hover": True,
        }
        self._server = subprocess.Popen(["node", str(script), "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._asked = 0
        self._marks: dict[str, list[Mark]] = {}
        documented = {"documentationFormat": ["markdown", "plaintext"]}
        able = {
            "workspace": {"configuration": True, "didChangeConfiguration": {}},
            "textDocument": {"publishDiagnostics": {}, "completion": {"completionItem": documented}},
        }
        root = {"uri": folder.as_uri(), "name": "law"}
        self._ask(
            "initialize", {"processId": None, "rootUri": root["uri"], "workspaceFolders": [root], "capabilities": able}
        )
        self._say("initialized", {})
        self._say("workspace/didChangeConfiguration", {"settings": {"yaml": self._settings}})

    def close(self) -> None:
        self._server.kill()
        self._server.communicate()

    def open(self, name: str, text: str) -> list[Mark]:
        """Open a file with this text; return what is marked in it."""
        uri = (self._folder / name).as_uri()
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self._say("textDocument/didOpen", {"textDocument": document})
        while uri not in self._marks:
            self._take(self._read())
        return self._marks[uri]

    def offered(self, name: str, line: int, column: int) -> dict[str, str]:
        """Return what is offered at a place (from 1), each with its meaning."""
        found = self._ask("textDocument/completion", self._at(name, line, column))
        return {item["label"]: _text(item.get("documentation")) for item in found["items"]}

    def told(self, name: str, line: int, column: int) -> str:
        """Return what is shown over a place (from 1)."""
        return _text(self._ask("textDocument/hover", self._at(name, line, column))["contents"])

    def _at(self, name: str, line: int, column: int) -> dict[str, Any]:
        document = {"uri": (self._folder / name).as_uri()}
        return {"textDocument": document, "position": {"line": line - 1, "character": column - 1}}

    def _ask(self, method: str, params: Any) -> Any:
        self._asked += 1
        self._write({"id": self._asked, "method": method, "params": params})
        while True:
            message = self._read()
            if message.get("id") == self._asked and "method" not in message:
                return message["result"]
            self._take(message)

    def _say(self, method: str, params: Any) -> None:
        self._write({"method": method, "params": params})

    def _take(self, message: dict[str, Any]) -> None:
        """Answer what the server asks, and note what it marks."""
        method: str | None = message.get("method")
        params: Any = message.get("params")
        if method == "workspace/configuration":
            wanted = [self._settings if item.get("section") == "yaml" else {} for item in params["items"]]
            self._write({"id": message["id"], "result": wanted})
        elif method == "textDocument/publishDiagnostics":
            marks = [Mark(one["range"]["start"]["line"] + 1, one["message"]) for one in params["diagnostics"]]
            self._marks[params["uri"]] = sorted(marks)
        elif "id" in message:
            self._write({"id": message["id"], "result": None})

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self._server.stdin is not None
        self._server.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self._server.stdin.flush()

    def _read(self) -> dict[str, Any]:
        assert self._server.stdout is not None
        length = 0
        while line := self._server.stdout.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        assert length, "the server has ended"
        message: dict[str, Any] = json.loads(self._server.stdout.read(length))
        return message


def _text(told: Any) -> str:
    return str(told.get("value", "")) if isinstance(told, dict) else str(told or "")
