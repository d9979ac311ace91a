"""A document of headings, paragraphs, tables and pictures, as Markdown or as one HTML file."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

_STYLE: Final = """
body { margin: 3rem auto; max-width: 76rem; padding: 0 1.5rem; background: #fbfaf7;
  color: #16181d; font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; } h2 { margin-top: 3rem; font-size: 1.3rem; }
p { max-width: 46rem; } code { background: #efece4; padding: .1em .3em; border-radius: 3px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; }
th, td { padding: .38rem .8rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid #16181d; } td { border-bottom: 1px solid #e2ded3; }
tr.quoted { color: #7b828b; font-style: italic; } tr.constant { color: #7b828b; }
img { max-width: 100%; display: block; margin: 1.5rem 0; }
"""


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a document, level 1, or of a section, level 2."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Text; what is between backticks is code."""

    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """Cells of a table; ``kind`` is ``measured``, ``quoted`` or ``constant``."""

    cells: Sequence[str]
    kind: str = "measured"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under heads; the first column is text, others are numbers."""

    head: Sequence[str]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG file in the folder of pictures, and what it shows."""

    name: str
    shows: str


Block = Heading | Paragraph | Table | Picture


def as_markdown(blocks: Sequence[Block], pictures: str) -> str:
    """Return Markdown that finds its pictures in a folder of some name."""
    return "\n\n".join(_markdown(block, pictures) for block in blocks) + "\n"


def as_html(blocks: Sequence[Block], pictures: Path) -> str:
    """Return HTML with its pictures, from a folder, inside."""
    title = next(block.text for block in blocks if isinstance(block, Heading))
    body = "\n".join(_html(block, pictures) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _markdown(block: Block, pictures: str) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Picture(name, shows):
            return f"![{shows}]({pictures}/{name})"
        case Table(head, rows):
            rule = ["---", *["---:"] * (len(head) - 1)]
            lines = [head, rule, *(row.cells for row in rows)]
            return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _html(block: Block, pictures: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Picture(name, shows):
            data = base64.b64encode((pictures / name).read_bytes()).decode("ascii")
            return f'<img alt="{escape(shows)}" src="data:image/png;base64,{data}">'
        case Table(head, rows):
            top = "".join(f"<th>{_inline(cell)}</th>" for cell in head)
            body = "\n".join(_html_row(row) for row in rows)
            return (
                f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n'
                f"<tbody>\n{body}\n</tbody>\n</table></div>"
            )


def _html_row(row: Row) -> str:
    cells = "".join(f"<td>{_inline(cell)}</td>" for cell in row.cells)
    return f'<tr class="{row.kind}">{cells}</tr>'


def _inline(text: str) -> str:
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
