"""Tables for notebooks: the little HTML that `_repr_html_` methods answer with, everything in it escaped."""

from __future__ import annotations

from ._record import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST_CELL = 10_000
_LEFT = ' style="text-align: left"'


# Controls but newline and tab, which nothing shows, and the bidirectional ones, which reorder what stands around them.
_UNSEEN = {
    code: f"\\u{{{code:04x}}}" if code > 0xFF else f"\\x{code:02x}"
    for codes in (
        range(0x00, 0x09),
        range(0x0B, 0x20),
        range(0x7F, 0xA0),
        (0x061C, 0x200E, 0x200F),
        range(0x202A, 0x202F),
        range(0x2066, 0x206A),
    )
    for code in codes
}


def escape(text: str) -> str:
    """The text with the characters that mean something in HTML written as entities, and those that hide as escapes."""
    text = text.translate(_UNSEEN)
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#x27;")):
        text = text.replace(character, entity)
    return text


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table with a row of headers. Text of several lines keeps them; very long text is cut and says so."""
    head = "".join(f"<th{_LEFT}>{escape(header)}</th>" for header in headers)
    body = "".join(f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    text = value if isinstance(value, str) else shown(value)
    if len(text) > _LONGEST_CELL:
        text = f"{text[:_LONGEST_CELL]}... ({len(text)} characters)"
    escaped = escape(text)
    return f"<td{_LEFT}><pre>{escaped}</pre></td>" if "\n" in text else f"<td{_LEFT}>{escaped}</td>"
