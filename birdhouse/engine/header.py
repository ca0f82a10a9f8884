"""Formats whose answer begins with the names of the columns: chDB writes them again at the start of each chunk."""

from __future__ import annotations

import re

_CSV = re.compile(rb'(?:"(?:[^"]|"")*",?)*\n')
_LINE = re.compile(rb"[^\n]*\n")
_FORMS = {"CSVWithNames": _CSV, "TSVWithNames": _LINE, "TabSeparatedWithNames": _LINE}
"""In CSV names are always quoted, and may have line ends; in TSV a line end is written as an escape."""

HEADED_FORMATS = frozenset(_FORMS)


def header_of(format_name: str, chunk: bytes) -> bytes:
    """The header that the chunk begins with, its line end included; empty for a format without one."""
    form = _FORMS.get(format_name)
    found = form.match(chunk) if form else None
    return found[0] if found else b""
