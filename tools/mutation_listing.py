"""Every mutant of the law: which there are, by what each is known from run to run, and its code."""

from __future__ import annotations

import ast
import collections
import hashlib
import marshal
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import NamedTuple

from mutation_operators import Site, header, sites

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "borderpost.policy"
FOLDER = ROOT / "extauthz" / "borderpost" / "policy"


class Mutant(NamedTuple):
    """One change, by which it is known from run to run."""

    key: str
    """Digest of module, unit and its source, and which change it is."""
    module: str
    number: int
    """Its place among all of its module."""
    unit: str
    in_function: bool
    """Whether its function's code alone changes, and only what is called after the import shows it."""
    line: int
    operator: str
    was: str
    becomes: str


def read(module: str) -> ast.Module:
    """Parse a module of the law."""
    path = FOLDER / f"{module}.py"
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def compiled(module: str, tree: ast.Module) -> CodeType:
    """Compile a module's tree as the import would."""
    code = compile(ast.fix_missing_locations(tree), str(FOLDER / f"{module}.py"), "exec", dont_inherit=True)
    assert isinstance(code, CodeType)
    return code


def mutated(mutant: Mutant) -> CodeType:
    """Return the code of a mutant's module."""
    tree = read(mutant.module)
    site = next(site for number, site in enumerate(sites(tree)) if number == mutant.number)
    _apply(site)
    return compiled(mutant.module, tree)


def _apply(site: Site) -> ast.AST:
    old = site.change.make()
    for new in site.change.becomes if isinstance(site.change.becomes, list) else [site.change.becomes]:
        if "lineno" not in new.__dict__ and isinstance(new, (ast.expr, ast.stmt)):
            ast.copy_location(new, site.statement)
    return old


def mutants(module: str) -> Iterator[Mutant]:
    """Yield every mutant of a module that is other code than the module itself."""
    tree = read(module)
    plain = marshal.dumps(compiled(module, tree))
    seen: collections.Counter[tuple[str, str, str]] = collections.Counter()
    texts = {name: ast.dump(node) for name, node in _definitions(tree)}
    early = set(_called_at_import(tree))
    for number, site in enumerate(sites(tree)):
        was = header(site.statement)
        old = _apply(site)
        same = marshal.dumps(compiled(module, tree)) == plain
        becomes = "pass" if site.operator == "statement removed" else header(site.statement)
        site.change.undo(old)
        if site.operator == "augmented":
            becomes = was.replace(was.split()[1], "=", 1)
        if same:
            continue
        seen[site.unit, was, becomes] += 1
        known_by = (texts.get(site.unit, ""), module, site.unit, was, becomes, str(seen[site.unit, was, becomes]))
        key = hashlib.sha256("\0".join(known_by).encode()).hexdigest()[:16]
        yield Mutant(
            key, module, number, site.unit, site.in_function and site.unit not in early, site.line, site.operator, was,
            becomes,
        )  # fmt: skip


def _called_at_import(tree: ast.AST) -> Iterator[str]:
    """Yield the names of functions that a module's own import calls: what they do then is done before any fork."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from _called_at_import(node)


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield prefix + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, f"{prefix}{node.name}.")


def codes_of(module: CodeType) -> Iterator[tuple[str, CodeType]]:
    """Yield the code of each function and method that is in no other function."""
    for constant in module.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function and not the body of a class
                yield constant.co_qualname, constant
            else:
                yield from codes_of(constant)


def inner_codes(code: CodeType) -> Iterator[CodeType]:
    """Yield the code of all functions that a function defines."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from inner_codes(constant)


def modules() -> list[str]:
    """Return the names of the law's modules."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
