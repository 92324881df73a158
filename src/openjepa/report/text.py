"""Strings that are safe to put into a page, and numbers a person can read."""

import html
import math
from collections.abc import Iterable
from typing import Any


def safe(value: object) -> str:
    """Text for HTML, in an attribute or between tags.

    A file name may hold anything: markup is escaped, control characters are shown as \\n or \\x07, and
    bytes that are not UTF-8 (which Python keeps as lone surrogates) as \\udcff.
    """
    text = str(value)
    shown = "".join(c if c.isprintable() or c == " " else c.encode("unicode_escape").decode() for c in text)
    return html.escape(shown.encode("utf-8", "backslashreplace").decode(), quote=True)


def number(value: float | None, digits: int = 3) -> str:
    """Three significant digits without an exponent where that is short; "–" for nothing."""
    if value is None or not math.isfinite(value):
        return "–"
    size = abs(value)
    if size >= 10_000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size and size < 1e-3:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    text = f"{value:.{digits}g}"
    return text if "e" not in text else f"{value:.0f}"


def duration(seconds: float) -> str:
    """8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def table(head: Iterable[str], rows: Iterable[Iterable[str]], caption: str, numeric: Iterable[int] = ()) -> str:
    """A table of cells that are already HTML; columns in `numeric` are set right."""
    right = set(numeric)

    def cells(row: Iterable[str], tag: str) -> str:
        return "".join(f"<{tag}{' class=n' if i in right else ''}>{cell}</{tag}>" for i, cell in enumerate(row))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<div class=scroll><table><caption>{caption}</caption><thead><tr>{cells(head, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"


def definitions(pairs: Iterable[tuple[str, Any]]) -> str:
    """A list of names and values that are already HTML."""
    return "<dl>" + "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs) + "</dl>"
