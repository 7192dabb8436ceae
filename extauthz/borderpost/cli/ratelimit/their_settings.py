"""envoyproxy/ratelimit's settings where operators keep them: environment files, Compose files, Kubernetes manifests.

Each setting is an environment variable. One whose value stands in a Secret, or in something that is not at hand, is
known by name alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from borderpost_base.errors import BorderpostError, Place
from borderpost_base.yaml_source import KeyPath, YamlDocument, load_yaml_documents

_MANIFESTS = (".yaml", ".yml", ".json")
_NAME = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")
_QUOTED = re.compile(r"(['\"])(.*)\1\s*(?:#.*)?")
_VARIABLE = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::?-([^}]*))?\}|([A-Za-z_][A-Za-z0-9_]*))")
_COMMAND = "ratelimit"


@dataclass(frozen=True, slots=True)
class Given:
    """One setting."""

    value: str | None
    """None where it stands somewhere else."""
    place: Place
    elsewhere: str = ""
    """Where its value is, such as `Secret redis, key password`."""


Settings = dict[str, Given]


def read_settings(paths: Sequence[Path], container: str | None) -> Settings:
    """Return the settings that files give to envoyproxy/ratelimit, those of later files over those of earlier ones;
    manifests are read together, where the first of them stands.

    `container` names the Compose service or the container; without it, it is the one that runs a `ratelimit`. Raises
    BorderpostError BP0003, BP0004, BP1619 or what `load_yaml_documents` raises.
    """
    before: Settings = {}
    after: Settings = {}
    documents: list[YamlDocument] = []
    for path in paths:
        raw = _read(path)
        if path.suffix in _MANIFESTS:
            documents += load_yaml_documents(raw, str(path), keep_plain=True)
        else:
            (after if documents else before).update(_environment_file(raw, str(path)))
    return before | (_Manifests(documents, container).settings() if documents else {}) | after


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BorderpostError("BP0003", f"{path}: {error.strerror}", place=Place(str(path))) from error


def _environment_file(raw: bytes, file: str) -> Settings:
    """Read `NAME=VALUE` lines, with `export`, quotes and comments as shells and Compose have them."""
    found: Settings = {}
    for number, line in enumerate(raw.decode("utf-8", "replace").splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        match = _NAME.fullmatch(text)
        if match is None:
            raise BorderpostError("BP1619", "this is no `NAME=VALUE`", place=Place(file, number))
        found[match[1]] = Given(_unquoted(match[2]), Place(file, number))
    return found


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return quoted[2] if quoted is not None else re.split(r"\s+#", text, maxsplit=1)[0].strip()


@dataclass(frozen=True, slots=True)
class _Container:
    """Something that runs a program with settings."""

    name: str
    document: YamlDocument
    data: Mapping[str, Any]
    path: KeyPath
    settings: Callable[[_Container], Settings]

    @property
    def runs_it(self) -> bool:
        """Return whether image or command look like envoyproxy/ratelimit's."""
        image = str(self.data.get("image") or "").rsplit("/", 1)[-1].split("@")[0].split(":")[0]
        words = [part for key in ("command", "args", "entrypoint") for part in _listed(self.data.get(key))]
        return image == _COMMAND or any(str(word).split("/")[-1] == _COMMAND for word in words)


class _Manifests:
    """Documents of Compose and Kubernetes, read together: one may hold the ConfigMap that another names."""

    def __init__(self, documents: Sequence[YamlDocument], container: str | None) -> None:
        self._wanted = container
        self._containers: list[_Container] = []
        self._config_maps: dict[str, tuple[YamlDocument, Mapping[str, Any], KeyPath]] = {}
        for document in documents:
            self._take(document, document.data, ())

    def settings(self) -> Settings:
        """Return the settings of the one container. Raises BorderpostError BP0004."""
        named = [each for each in self._containers if self._wanted in (None, each.name)]
        likely = [each for each in named if each.runs_it] or named
        if len(likely) != 1:
            names = ", ".join(sorted({each.name for each in self._containers})) or "none"
            detail = f"it is not clear which container is envoyproxy/ratelimit's; there are: {names}"
            raise BorderpostError("BP0004", detail, place=Place("--container"), mend="Name it with `--container`.")
        return likely[0].settings(likely[0])

    def _take(self, document: YamlDocument, data: Any, path: KeyPath) -> None:
        if not isinstance(data, dict):
            return
        if data.get("kind") == "List":
            for index, item in enumerate(_listed(data.get("items"))):
                self._take(document, item, (*path, "items", index))
        elif data.get("kind") == "ConfigMap":
            name = str(_mapping(data.get("metadata")).get("name", ""))
            self._config_maps[name] = (document, _mapping(data.get("data")), (*path, "data"))
        elif "services" in data and "kind" not in data:
            for name, service in _mapping(data["services"]).items():
                if isinstance(service, dict):
                    at = (*path, "services", name)
                    self._containers.append(_Container(name, document, service, at, self._of_compose))
        else:
            self._take_pod(document, data, path)

    def _take_pod(self, document: YamlDocument, data: Mapping[str, Any], path: KeyPath) -> None:
        """Take the containers of a Pod, or of what makes Pods."""
        at = (*path, "spec")
        spec = _mapping(data.get("spec"))
        while "template" in spec or "jobTemplate" in spec:
            step = "template" if "template" in spec else "jobTemplate"
            at = (*at, step, "spec")
            spec = _mapping(_mapping(spec[step]).get("spec"))
        for index, item in enumerate(_listed(spec.get("containers"))):
            if isinstance(item, dict):
                place = (*at, "containers", index)
                name = str(item.get("name", ""))
                self._containers.append(_Container(name, document, item, place, self._of_kubernetes))

    def _of_compose(self, container: _Container) -> Settings:
        found: Settings = {}
        folder = Path(container.document.file).parent
        beside = folder / ".env"
        variables = _environment_file(_read(beside), str(beside)) if beside.is_file() else {}
        for item in _listed(container.data.get("env_file")):
            optional = isinstance(item, dict) and item.get("required") is False
            file = folder / str(item.get("path", "") if isinstance(item, dict) else item)
            if not optional or file.is_file():
                found |= _environment_file(_read(file), str(file))
        given = container.data.get("environment")
        path = (*container.path, "environment")
        if isinstance(given, dict):
            for name in given:
                text = _text(container.document, (*path, name), given[name])
                found[name] = _filled(text, container.document.place((*path, name)), variables)
        for index, item in enumerate(given if isinstance(given, list) else []):
            name, sign, text = str(item).partition("=")
            found[name] = _filled(text if sign else None, container.document.place((*path, index)), variables)
        return found

    def _of_kubernetes(self, container: _Container) -> Settings:
        found: Settings = {}
        for index, item in enumerate(_listed(container.data.get("envFrom"))):
            item = _mapping(item)
            place = container.document.place((*container.path, "envFrom", index))
            named = _mapping(item.get("configMapRef") or item.get("secretRef"))
            name = str(named.get("name", "")) if "configMapRef" in item else ""
            if name in self._config_maps:
                document, data, at = self._config_maps[name]
                for key, value in data.items():
                    given = Given(_text(document, (*at, key), value), document.place((*at, key)))
                    found[f"{item.get('prefix') or ''}{key}"] = given
            elif named.get("optional") is not True:
                what = f"ConfigMap {name}" if name else f"Secret {named.get('name', '')}"
                detail = f"settings stand in {what}, which is not here"
                raise BorderpostError("BP1619", detail, place=place, mend="Give its manifest, or an environment file.")
        for index, item in enumerate(_listed(container.data.get("env"))):
            item = _mapping(item)
            path = (*container.path, "env", index)
            found[str(item.get("name", ""))] = self._variable(container.document, item, path)
        return found

    def _variable(self, document: YamlDocument, item: Mapping[str, Any], path: KeyPath) -> Given:
        place = document.place(path)
        source = _mapping(item.get("valueFrom"))
        if not source:
            return Given(_text(document, (*path, "value"), item.get("value")) or "", place)
        kind, said = next(iter(source.items()))
        said = _mapping(said)
        name, key = str(said.get("name", "")), str(said.get("key", ""))
        if kind == "configMapKeyRef" and key in self._config_maps.get(name, (None, {}, ()))[1]:
            owner, data, at = self._config_maps[name]
            return Given(_text(owner, (*at, key), data[key]), place)
        what = {"configMapKeyRef": "ConfigMap", "secretKeyRef": "Secret"}.get(kind, kind)
        return Given(None, place, f"{what} {name}, key {key}" if name else what)


def _text(document: YamlDocument, path: KeyPath, value: Any) -> str | None:
    """Return a scalar as it is written; None for null."""
    return document.plain.get(path, str(value)) if value is not None else None


def _filled(text: str | None, place: Place, variables: Settings) -> Given:
    """Return a Compose value with its variables put in: from `.env`, or their defaults."""
    if text is None:
        return Given(None, place, "the environment of Compose")
    unknown: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name is None:
            return "$"
        known = variables.get(name)
        if known is not None and known.value is not None:
            return known.value
        if match[2] is None:
            unknown.append(name)
        return match[2] or ""

    value = _VARIABLE.sub(put, text)
    return Given(None, place, f"variable {unknown[0]}") if unknown else Given(value, place)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
