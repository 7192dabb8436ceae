"""A page of headings, paragraphs, lists and tables, written as Markdown or as one HTML file that prints on A4.

Whatever stands in a text is shown as it is: neither format takes it for markup.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")
_ADDRESS = re.compile(r"https?://[^\s<>\"]+[^\s<>\".,;)]")
_STYLE = (
    "@page{size:A4;margin:14mm}body{font:10pt/1.35 Georgia,serif;max-width:180mm;margin:1em auto;color:#111}"
    "h1{font-size:15pt;margin:0 0 .4em}h2{font-size:11.5pt;margin:1em 0 .3em;border-bottom:1px solid #999}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.15em .5em .15em 0;"
    "border-bottom:1px solid #ddd}p,ul{margin:.3em 0}td{overflow-wrap:anywhere}"
)


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading of a level, 1 the page's own."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph."""

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; each row has a cell a heading."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Items | Table


@dataclass(slots=True)
class Page:
    """A page being written, block by block."""

    blocks: list[Block] = field(default_factory=list)

    def heading(self, text: str, level: int = 2) -> None:
        """Add a heading."""
        self.blocks.append(Heading(text, level))

    def paragraph(self, text: str) -> None:
        """Add a paragraph."""
        self.blocks.append(Paragraph(text))

    def items(self, items: Sequence[str]) -> None:
        """Add a list; none for no items."""
        if items:
            self.blocks.append(Items(tuple(items)))

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; none for no rows."""
        if rows:
            self.blocks.append(Table(tuple(headings), tuple(tuple(row) for row in rows)))

    def markdown(self) -> str:
        """Return the page as Markdown."""
        return "\n\n".join(map(_markdown, self.blocks)) + "\n"

    def html(self, title: str) -> str:
        """Return the page as one HTML file without anything from elsewhere."""
        body = "\n".join(map(_html, self.blocks))
        head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
        return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _plain(text: str) -> str:
    """Escape a text for Markdown, on one line; addresses stay as they are, so that they are links."""
    line = " ".join(text.split())
    parts, end = [], 0
    for found in _ADDRESS.finditer(line):
        parts += [_MARKDOWN.sub(r"\\\1", line[end : found.start()]), f"<{found[0].replace('|', '%7C')}>"]
        end = found.end()
    return "".join([*parts, _MARKDOWN.sub(r"\\\1", line[end:])])


def _markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_plain(block.text)}"
    if isinstance(block, Paragraph):
        return _plain(block.text)
    if isinstance(block, Items):
        return "\n".join(f"- {_plain(item)}" for item in block.items)
    lines = [block.headings, tuple("---" for _ in block.headings), *block.rows]
    return "\n".join(f"| {' | '.join(cell if cell == '---' else _plain(cell) for cell in line)} |" for line in lines)


def _linked(text: str) -> str:
    parts, end = [], 0
    for found in _ADDRESS.finditer(text):
        address = html.escape(found[0])
        parts += [html.escape(text[end : found.start()]), f'<a href="{address}">{address}</a>']
        end = found.end()
    return "".join([*parts, html.escape(text[end:])])


def _html(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{_linked(block.text)}</h{block.level}>"
    if isinstance(block, Paragraph):
        return f"<p>{_linked(block.text)}</p>"
    if isinstance(block, Items):
        return "<ul>" + "".join(f"<li>{_linked(item)}</li>" for item in block.items) + "</ul>"
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in block.headings)
    rows = "".join("<tr>" + "".join(f"<td>{_linked(cell)}</td>" for cell in row) + "</tr>" for row in block.rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
