"""The summary of a demonstration as text for a terminal and as a page for a browser.

A summary is a verdict and sections, each a sentence or two and a table. Both forms hold the same;
the page is one file without scripts and without anything from elsewhere.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import Final

GAP: Final = 2
"""Columns between two columns of a table."""
TEXT_WIDTH: Final = 78
"""Columns of a paragraph in a terminal."""
SHORT_NAME: Final = 44
"""Letters up to which a name in a first column stays on one line."""
LONG_WORD: Final = 32
"""Letters of a word from which a narrow page may break it anywhere: digests, paths."""

_STYLE: Final = """
body { font: 16px/1.5 system-ui, "PingFang SC", "Microsoft YaHei", sans-serif; color: #1d2430;
       background: #f4f5f7; margin: 0; }
main { max-width: 46rem; margin: 0 auto; padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 1rem; }
h2 { font-size: 1.1rem; margin: 0 0 .4rem; }
section { background: #fff; border: 1px solid #dfe3e8; border-radius: 8px;
          padding: 1.1rem 1.3rem; margin: 1rem 0; overflow-x: auto; }
p { margin: .3rem 0 .7rem; }
.verdict { border-left: 6px solid #2e7d4f; }
.verdict.bad { border-left-color: #b3261e; }
.verdict p { font-size: 1.1rem; margin: 0; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th { text-align: left; font-weight: 600; color: #5a6472; border-bottom: 1px solid #dfe3e8; }
th, td { padding: .25rem 1.2rem .25rem 0; vertical-align: top; }
th:last-child, td:last-child { padding-right: 0; }
.long { overflow-wrap: anywhere; }
.short { white-space: nowrap; }
code { font: .9em ui-monospace, monospace; background: #f0f2f4; border-radius: 4px;
       padding: .1em .3em; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
""".strip()


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the summary.

    Attributes:
        title: A few words.
        text: What the table shows and why it matters.
        head: Column titles; empty for a table without.
        rows: The table; a column of numbers is aligned to the right.
    """

    title: str
    text: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def numeric(self) -> list[bool]:
        """For each column, whether all of it is numbers."""
        columns = zip(*self.rows, strict=True)
        return [all(_is_number(cell) for cell in column) for column in columns]


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole summary; `good` is whether everything was as it should be."""

    title: str
    verdict: str
    good: bool
    sections: tuple[Section, ...]


def as_text(summary: Summary) -> str:
    """Return the summary for a terminal or a text file."""
    blocks = [f"{summary.title}\n{'=' * _width(summary.title)}\n\n{_filled(summary.verdict)}"]
    for section in summary.sections:
        lines = [section.title, "-" * _width(section.title), _filled(section.text)]
        blocks.append("\n".join([*lines, *_text_table(section)]))
    return "\n\n".join(blocks) + "\n"


def _filled(text: str) -> str:
    return fill(text, TEXT_WIDTH, break_long_words=False, break_on_hyphens=False)


def _text_table(section: Section) -> list[str]:
    rows = [row for row in (section.head, *section.rows) if row]
    if not rows:
        return []
    widths = [max(_width(cell) for cell in column) for column in zip(*rows, strict=True)]
    numeric = section.numeric()
    lines = []
    for row in rows:
        cells = []
        for cell, width, number in zip(row, widths, numeric, strict=True):
            room = " " * (width - _width(cell))
            cells.append(room + cell if number else cell + room)
        lines.append("  " + (" " * GAP).join(cells).rstrip())
    return lines


def _width(text: str) -> int:
    """Columns of a text in a terminal; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _is_number(cell: str) -> bool:
    """Whether a cell is an amount; a code such as 00 is a name made of digits."""
    return re.fullmatch(r"-?(0|[1-9][\d,]*)(\.\d+)?", cell) is not None


def as_html(summary: Summary) -> str:
    """Return the summary as one page."""
    kind = "verdict" if summary.good else "verdict bad"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(summary.title)}</title>",
        f"<style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(summary.title)}</h1>",
        f'<section class="{kind}"><p>{escape(summary.verdict)}</p></section>',
    ]
    for section in summary.sections:
        parts.append(f"<section><h2>{escape(section.title)}</h2><p>{_html_text(section.text)}</p>")
        parts += [*_html_table(section), "</section>"]
    return "\n".join([*parts, "</main></body></html>", ""])


def _html_text(text: str) -> str:
    """A paragraph; what stands between back quotes is to be typed."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _html_table(section: Section) -> list[str]:
    if not section.rows:
        return []
    numeric = section.numeric()
    lines = ["<table>"]
    for tag, rows in (("th", (section.head,) if section.head else ()), ("td", section.rows)):
        for row in rows:
            cells = (
                f"<{tag}{_html_class(cell, number=number, first=not place)}>{escape(cell)}</{tag}>"
                for place, (cell, number) in enumerate(zip(row, numeric, strict=True))
            )
            lines.append(f"<tr>{''.join(cells)}</tr>")
    return [*lines, "</table>"]


def _html_class(cell: str, *, number: bool, first: bool) -> str:
    if number:
        return " class=number"
    if first and len(cell) <= SHORT_NAME:
        return " class=short"
    return " class=long" if any(len(word) >= LONG_WORD for word in cell.split()) else ""
