"""From a YAML document to a model: what lies over the file is laid over it, and paths are made absolute.

Problems are collected through all stages that can still run, so that one run shows every mistake.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from borderpost.config.overrides import apply_flags, apply_variables
from borderpost_base.errors import BorderpostError, Problems
from borderpost_base.strict import validate
from borderpost_base.yaml_source import YamlDocument

Result = TypeVar("Result")
Model = TypeVar("Model", bound=BaseModel)


def read_model(
    model: type[Model],
    document: YamlDocument,
    base: Path,
    overrides: Mapping[str, str] | None,
    environ: Mapping[str, str] | None,
    *,
    fill: Callable[[Any], None] = lambda _data: None,
) -> tuple[Model, list[BorderpostError]]:
    """Return the model of a document under variables and flags, its paths made absolute against a folder.

    `environ` is the process's own by default. `fill` may put defaults into what they make together. Returned too are
    the problems of what lies over the file, for those that follow to join. Raises Problems where the model cannot be
    made.
    """
    if document.data is None:
        document.data = {}
    problems = apply_variables(document, model, os.environ if environ is None else environ)
    problems += apply_flags(document, overrides or {})
    fill(document.data)
    made = collect(problems, lambda: validate(model, document))
    if made is None:
        raise Problems(problems)
    return resolved(made, base), problems


def collect(problems: list[BorderpostError], step: Callable[[], Result]) -> Result | None:
    """Run one stage; put what is wrong with it to the problems and return None, so that others can still run."""
    try:
        return step()
    except BorderpostError as error:
        problems.append(error)
    except Problems as several:
        problems.extend(several.errors)
    return None


def resolved(model: Model, base: Path) -> Model:
    """Return the model with every relative path in it made absolute against a folder."""
    update = {name: _resolved(getattr(model, name), base) for name in type(model).model_fields}
    return model.model_copy(update={name: value for name, value in update.items() if value is not getattr(model, name)})


def _resolved(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return value if value.is_absolute() else base / value
    if isinstance(value, BaseModel):
        return resolved(value, base)
    if isinstance(value, tuple) and any(isinstance(inner, (Path, BaseModel)) for inner in value):
        return tuple(_resolved(inner, base) for inner in value)
    if isinstance(value, dict):
        changed = {key: _resolved(inner, base) for key, inner in value.items()}
        return changed if any(changed[key] is not value[key] for key in value) else value
    return value
