"""What is compiled, and what its sources must not do because the compiler takes it otherwise than Python."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("borderpost_compile", ROOT / "tools" / "compile.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiled_sources() -> Iterator[Path]:
    roots = [(ROOT / package).parent for package in tool().PACKAGES]
    for root in roots:
        for folder in tool().FOLDERS:
            yield from (path for path in (root / folder).glob("*.py") if path.name != "__init__.py")
    for module in tool().MODULES:
        (path,) = [root / module for root in dict.fromkeys(roots) if (root / module).is_file()]
        yield path


SOURCES = sorted(set(compiled_sources()))


def test_the_hot_modules_are_found() -> None:
    names = {path.name for path in SOURCES}
    assert {"connection.py", "wire_call.py", "recognition.py", "processor.py", "writer.py"} <= names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_one_function_names_exceptions_of_two_types_by_two_names(path: Path) -> None:
    """mypyc gives a variable of a function one type, so a second type under its name is an error when it is caught."""
    for function in ast.walk(ast.parse(path.read_text())):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        types: dict[str, str] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name is not None and node.type is not None:
                kind = ast.unparse(node.type)
                assert types.setdefault(node.name, kind) == kind, f"{path}:{node.lineno}: {node.name}"


def test_nothing_is_compiled_over_a_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(FileExistsError, match="not empty"):
        tool().compile_into(tmp_path)
    assert (tmp_path / "precious").read_text() == "x"
