"""From a tree back to lines.

What fits on a line in brackets stays there; a list of words that does not is filled over several lines; everything
else is one entry a line, indented by two. What the author wrote one entry a line stays so.
"""

from __future__ import annotations

from typing import Final

from borderpost.yaml_layout.scalars import WIDTH, block, fill, inline, inline_value
from borderpost.yaml_layout.tree import Document, Entry, Node
from borderpost_base.yaml_source import resolved_scalar

_STEP: Final = 2


def written(document: Document) -> str:
    """Return the text of a document."""
    lines = _comment_lines(document.header, 0, first=True)
    root = document.root
    if root is not None:
        node = root.value
        node.flow &= node.kind != "mapping"  # a whole file in brackets would pass for JSON
        if _is_block(node, 0):
            above = [*root.above, *([root.beside] if root.beside else []), *node.entries[0].above]
            node.entries[0].above = []
            lines += _comment_lines(above, 0, first=not lines)
            if node.anchor is not None:
                while lines and not lines[-1]:
                    lines.pop()
                lines.append(f"&{node.anchor}")
            lines += _entries(node, 0, first=not lines)
        else:
            lines += _comment_lines(root.above, 0, first=not lines)
            lines += _with_value("", node, 0, root.beside)
    lines += _comment_lines(document.footer, 0, first=not lines)
    while lines and not lines[-1]:
        lines.pop()
    return "".join(line + "\n" for line in lines)


def _entries(node: Node, indent: int, *, first: bool) -> list[str]:
    """Return the lines of a collection, one entry a line or more; `first` where nothing stands above it."""
    lines: list[str] = []
    for entry in node.entries:
        lines += _comment_lines(entry.above, indent, first=first and not lines)
        if entry.key is None:
            lines += _item(entry, indent)
        else:
            anchor = "" if entry.key.anchor is None else f"&{entry.key.anchor} "
            lines += _with_value(f"{' ' * indent}{anchor}{_key(entry.key)}:", entry.value, indent, entry.beside)
    return lines + _comment_lines(node.tail, indent, first=False)


def _key(node: Node) -> str:
    """Return a key: always a text, unless something else refers to it."""
    if node.kind == "alias":
        return f"*{node.text} "
    if node.anchor is None:
        return inline(node.text, flow=True)
    return inline_value(node.text, node.style, flow=True) if node.text or node.style else ""


def _comment_lines(comments: list[str], indent: int, *, first: bool) -> list[str]:
    """Return comments as lines, with one blank line where there were some; none at the very start."""
    lines: list[str] = []
    for text in comments:
        if text:
            lines.append(" " * indent + text)
        elif lines[-1:] != [""] and not (first and not lines):
            lines.append("")
    return lines


def _item(entry: Entry, indent: int) -> list[str]:
    """Return the lines of a list's item. A collection begins beside its dash, unless something stands between."""
    dash = " " * indent + "-"
    node = entry.value
    if _is_block(node, indent + _STEP) and entry.beside is None and node.anchor is None:
        lines = _entries(node, indent + _STEP, first=True)
        if not lines[0].lstrip().startswith("#"):
            return [f"{dash} {lines[0].lstrip()}", *lines[1:]]
        return [dash, *lines]
    return _with_value(dash, node, indent, entry.beside)


def _with_value(prefix: str, node: Node, indent: int, beside: str | None) -> list[str]:
    """Return the lines of what stands before a value, and the value; `indent` is that of the entry."""
    comment = "" if beside is None else f"  {beside}"
    start = f"{prefix} " if prefix else ""
    if node.anchor is not None:
        start += f"&{node.anchor} "
    if node.kind == "alias":
        return [f"{start}*{node.text}{comment}"]
    if node.kind == "scalar":
        return _scalar(start, node, indent, comment)
    if _is_block(node, len(start)):
        return [start.rstrip() + comment, *_entries(node, indent + _STEP, first=True)]
    line = _in_brackets(node)
    if line is not None and (not node.entries or len(start) + len(line) <= WIDTH):
        return [start + line + comment]
    inner = indent + _STEP * (2 if prefix.endswith("-") else 1)
    room = WIDTH - inner - 1
    words = fill((text for entry in node.entries if (text := _one_line(entry.value))), room, ", ")
    closing = f"{' ' * (inner - _STEP)}]{comment}"
    return [f"{start}[", *(f"{' ' * inner}{line}," for line in words), closing]


def _scalar(start: str, node: Node, indent: int, comment: str) -> list[str]:
    if node.style is None and not node.text and start.endswith(": "):
        return [start.rstrip() + comment]  # a key without value stays so
    line = inline_value(node.text, node.style, flow=False)
    is_text = node.style is not None or isinstance(resolved_scalar(node.text), str)
    if is_text and ("\n" in node.text or len(start) + len(line) > WIDTH):
        inner = indent + _STEP
        as_block = block(node.text, node.style, WIDTH - inner)
        if as_block is not None:
            header, lines = as_block
            return [f"{start}{header}{comment}", *(f"{' ' * inner}{each}" if each else "" for each in lines)]
    return [start + line + comment]


def _is_block(node: Node, column: int) -> bool:
    """Return True if a collection that would begin at a column is written one entry a line."""
    if not node.is_collection or not node.entries:
        return False
    if not node.flow:
        return True
    line = _in_brackets(node)
    if line is not None and column + len(line) <= WIDTH:
        return False
    return line is None or not _is_list_of_words(node)


def _is_list_of_words(node: Node) -> bool:
    """Return True for a list of short texts, which can be filled over lines."""
    return node.kind == "sequence" and all(
        not entry.value.is_collection and len(_one_line(entry.value) or "") <= WIDTH // 2 for entry in node.entries
    )


def _one_line(node: Node) -> str | None:
    """Return a value as it stands inside brackets; None where it is a block, or a comment stands in it."""
    if node.kind == "alias":
        return f"*{node.text}"
    text = inline_value(node.text, node.style, flow=True) if node.kind == "scalar" else _in_brackets(node)
    return text if text is None or node.anchor is None else f"&{node.anchor} {text}"


def _in_brackets(node: Node) -> str | None:
    """Return a collection on one line, without its anchor; None where it is a block, or a comment stands in it."""
    if node.tail or (node.entries and not node.flow):
        return None
    parts = []
    for entry in node.entries:
        value = _one_line(entry.value)
        if value is None or entry.beside is not None or any(entry.above):
            return None
        if entry.key is None:
            parts.append(value)
        elif entry.key.kind == "alias" or entry.key.anchor is not None:
            return None
        else:
            parts.append(f"{inline(entry.key.text, flow=True)}: {value}")
    joined = ", ".join(parts)
    return f"{{{joined}}}" if node.kind == "mapping" else f"[{joined}]"
