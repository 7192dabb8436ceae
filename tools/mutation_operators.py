"""Every small change to a module that a test should notice: which there are, and how to make one.

A mutant replaces one node of the syntax tree. Left out is what decides nothing: docstrings, annotations (but for the
bounds written in them), imports, `__slots__`, JSON schemas of editors, and the words of errors.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from typing import NamedTuple

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
"""The boundary moved by one, and the opposite."""
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.Div: ast.FloorDiv,
}  # fmt: skip
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list", "bisect_right": "bisect_left",
    "bisect_left": "bisect_right",
}  # fmt: skip
"""Functions that stand for one another, by name."""
METHODS = {
    "startswith": "endswith", "endswith": "startswith", "removeprefix": "removesuffix", "removesuffix": "removeprefix",
    "partition": "rpartition", "add": "discard", "append": "count",
}  # fmt: skip
WORDS_ONLY = {
    "BorderpostError", "ValueError", "KeyError", "TypeVar", "WithJsonSchema", "Finding", "isinstance", "namedtuple",
}  # fmt: skip
"""Calls whose arguments are texts for people, schemas for editors or types."""
SYMMETRIC = {"min", "max"}
"""Calls whose arguments may stand in any order."""
TITLED = {"refuse_at"}
"""Calls whose first argument is such a text."""
WORDS_ONLY_KEYWORDS = {"mend", "custom_error_message", "custom_error_type", "title", "description", "when_used"}
FOR_EDITORS = {"__get_pydantic_json_schema__"}
"""Functions that make schemas for editors alone."""
NAMES_OF_NO_CONSEQUENCE = {"__slots__", "__all__"}


class Change(NamedTuple):
    """One node, where it stands, and what stands there in the mutant."""

    parent: ast.AST
    field: str
    at: int | None
    """Place in the field where that is a list."""
    becomes: ast.AST

    def make(self) -> ast.AST:
        """Put the new node in place; return the old one."""
        held = getattr(self.parent, self.field)
        if self.at is None:
            setattr(self.parent, self.field, self.becomes)
            return held  # type: ignore[no-any-return]
        old, held[self.at] = held[self.at], self.becomes
        return old  # type: ignore[no-any-return]

    def undo(self, old: ast.AST) -> None:
        """Put the old node back."""
        Change(self.parent, self.field, self.at, old).make()


class Site(NamedTuple):
    """One mutant before it is made."""

    unit: str
    """Qualified name of the outermost function or method, of the class or `<module>` where it is in none."""
    in_function: bool
    """Whether it is inside a function's body, so that its code alone changes."""
    line: int
    operator: str
    change: Change
    statement: ast.stmt


class _Place(NamedTuple):
    unit: str
    in_function: bool
    statement: ast.stmt
    bound: frozenset[str]
    """Names that the unit binds more than once."""


def sites(tree: ast.Module) -> Iterator[Site]:
    """Yield every mutant of a module, in the order of its text."""
    for index, statement in enumerate(tree.body):
        yield from _statement(statement, (tree, "body", index), _Place("<module>", False, statement, frozenset()))


def header(statement: ast.stmt) -> str:
    """Return a statement's text; of one that holds others, its first line."""
    shown = copy.copy(statement)
    for name in ("body", "orelse", "finalbody"):
        if getattr(shown, name, None) and not isinstance(shown, ast.Lambda):
            setattr(shown, name, [ast.Expr(ast.Constant(...))] if name == "body" else [])
    if isinstance(shown, ast.Try):
        shown.handlers = [ast.ExceptHandler(None, None, [ast.Expr(ast.Constant(...))])]
    return " ".join(ast.unparse(shown).removesuffix("...").split())


Where = tuple[ast.AST, str, int | None]


def _statement(node: ast.stmt, where: Where, place: _Place) -> Iterator[Site]:
    place = place._replace(statement=node)
    if isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass, ast.Global, ast.Nonlocal)) or _is_text(node):
        return
    if isinstance(node, ast.ClassDef):
        inner = place._replace(unit=_joined(place.unit, node.name))
        for index, statement in enumerate(node.body):
            yield from _statement(statement, (node, "body", index), inner)
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if node.name not in FOR_EDITORS:
            yield from _function(node, place)
        return
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and _target(node) in NAMES_OF_NO_CONSEQUENCE:
        return
    if place.in_function and _may_go(node, place):
        yield _site("statement removed", place, where, ast.Pass())
    if isinstance(node, (ast.If, ast.While)):
        yield _site("condition negated", place, (node, "test", None), ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Return) and node.value is not None and not _is_constant(node.value, None):
        yield _site("returned value", place, (node, "value", None), ast.Constant(None))
    if isinstance(node, (ast.Break, ast.Continue)):
        yield _site("break and continue", place, where, ast.Continue() if isinstance(node, ast.Break) else ast.Break())
    if isinstance(node, ast.AugAssign):
        yield _site("operator", place, (node, "op", None), ARITHMETIC[type(node.op)]())
        yield _site("augmented", place, where, ast.Assign([node.target], node.value))
    yield from _children(node, place)


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef, place: _Place) -> Iterator[Site]:
    inside = place
    if not place.in_function:
        names = [one.id for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)]
        again = frozenset(name for name in names if names.count(name) > 1)
        inside = _Place(_joined(place.unit, node.name), True, node, again)
    outside = inside._replace(in_function=place.in_function)
    for field in ("defaults", "kw_defaults"):
        for index, default in enumerate(getattr(node.args, field)):
            if default is not None:
                yield from _expression(default, (node.args, field, index), outside)
    for index, statement in enumerate(node.body):
        yield from _statement(statement, (node, "body", index), inside)


def _may_go(node: ast.stmt, place: _Place) -> bool:
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        target = _target(node)
        bare = node.value is None if isinstance(node, ast.AnnAssign) else False
        return not bare and (target is None or target in place.bound)
    return isinstance(node, (ast.Expr, ast.AugAssign, ast.Raise, ast.For, ast.Delete))


def _target(node: ast.Assign | ast.AnnAssign) -> str | None:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return targets[0].id if len(targets) == 1 and isinstance(targets[0], ast.Name) else None


def _children(node: ast.AST, place: _Place) -> Iterator[Site]:
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns"}:
            yield from _bounds(value, place)
            continue
        for index, child in enumerate(value) if isinstance(value, list) else ((None, value),):
            where = (node, field, index)
            if isinstance(child, ast.stmt):
                yield from _statement(child, where, place)
            elif isinstance(child, ast.expr):
                yield from _expression(child, where, place)
            elif isinstance(child, ast.AST):
                yield from _children(child, place)


def _bounds(node: ast.AST | None, place: _Place) -> Iterator[Site]:
    """Yield the mutants of the bounds that an annotation or an alias of a type holds: the calls in it."""
    if isinstance(node, ast.Call):
        yield from _call(node, place)
    elif node is not None:
        for child in ast.iter_child_nodes(node):
            yield from _bounds(child, place)


def _expression(node: ast.expr, where: Where, place: _Place) -> Iterator[Site]:
    if not place.in_function and _is_type(node):
        yield from _bounds(node, place)
        return
    if _is_sentence(node):
        return
    if isinstance(node, ast.Constant):
        yield from _constant(node, where, place)
    elif isinstance(node, ast.Compare):
        for index, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                yield _site("comparison", place, (node, "ops", index), other())
    elif isinstance(node, ast.BoolOp):
        yield _site("and, or", place, (node, "op", None), ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for index in range(len(node.values)):
            left = [value for at, value in enumerate(node.values) if at != index]
            yield _site("condition dropped", place, where, left[0] if len(left) == 1 else ast.BoolOp(node.op, left))
    elif isinstance(node, ast.UnaryOp):
        yield _site("sign dropped", place, where, node.operand)
    elif isinstance(node, ast.BinOp):
        yield _site("operator", place, (node, "op", None), ARITHMETIC[type(node.op)]())
    elif isinstance(node, ast.IfExp):
        yield _site("condition negated", place, (node, "test", None), ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Call):
        yield from _call(node, place)
        return
    elif isinstance(node, (ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)):
        for generator in node.generators:
            for index, test in enumerate(generator.ifs):
                yield _site("condition negated", place, (generator, "ifs", index), ast.UnaryOp(ast.Not(), test))
                yield _site("condition dropped", place, (generator, "ifs", index), ast.Constant(True))
    yield from _children(node, place)


def _call(node: ast.Call, place: _Place) -> Iterator[Site]:
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called in WORDS_ONLY:
        return
    where = (node, "func", None)
    if isinstance(node.func, ast.Name) and called in NAMES:
        yield _site("function", place, where, ast.Name(NAMES[called], ast.Load()))
    if isinstance(node.func, ast.Attribute):
        if called in METHODS:
            yield _site("function", place, where, ast.Attribute(node.func.value, METHODS[called], ast.Load()))
        yield from _expression(node.func.value, (node.func, "value", None), place)
    for index in range(len(node.args) - 1 if called not in SYMMETRIC else 0):
        first, second = node.args[index : index + 2]
        starred = isinstance(first, ast.Starred) or isinstance(second, ast.Starred)
        if not starred and ast.dump(first) != ast.dump(second):
            arguments = [*node.args[:index], second, first, *node.args[index + 2 :]]
            yield _site("arguments swapped", place, (node, "args", None), arguments)  # type: ignore[arg-type]
    for index, argument in enumerate(node.args):
        if index == 0 and called in TITLED:
            continue
        yield from _expression(argument, (node, "args", index), place)
    for keyword in node.keywords:
        if keyword.arg not in WORDS_ONLY_KEYWORDS:
            yield from _expression(keyword.value, (keyword, "value", None), place)


def _constant(node: ast.Constant, where: Where, place: _Place) -> Iterator[Site]:
    value = node.value
    if isinstance(value, bool):
        yield _site("constant", place, where, ast.Constant(not value))
    elif isinstance(value, int):
        yield _site("constant", place, where, ast.Constant(value + 1))
        if value:
            yield _site("constant", place, where, ast.Constant(value - 1))
    elif isinstance(value, str):
        yield _site("constant", place, where, ast.Constant(value + "_"))


def _site(operator: str, place: _Place, where: Where, becomes: ast.AST) -> Site:
    parent, field, index = where
    return Site(
        place.unit,
        place.in_function,
        place.statement.lineno,
        operator,
        Change(parent, field, index, becomes),
        place.statement,
    )


def _joined(unit: str, name: str) -> str:
    return name if unit == "<module>" else f"{unit}.{name}"


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_constant(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_sentence(node: ast.expr) -> bool:
    """Say whether an expression is a text for people: only such hold a space."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return any(" " in text for text in texts)


def _is_type(node: ast.expr) -> bool:
    """Say whether an expression outside a function is an alias of a type: `Annotated[…]`, `A | B`, `tuple[…]`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return True
    return (
        isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and not isinstance(node.slice, ast.Slice)
    )
