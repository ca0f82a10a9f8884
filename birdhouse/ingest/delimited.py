"""CSV and its relatives as blocks of texts, beside them the rows that have too few or too many values."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from birdhouse.errors import InvalidParameter, InvalidRows
from birdhouse.ingest.text_block import Reject, TextBlock, text_block

SAMPLE_BYTES = 256 * 1024
"""How much of a file is looked at to guess its dialect."""
SAMPLE_ROWS_MAX = 200
BLOCK_BYTES = 8 * 1024 * 1024
DELIMITERS = ",;\t|"

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d.*")
_NAME = re.compile(r"[^0-9a-z]+")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Dialect:
    delimiter: str = ","
    quote: str = '"'
    escape: str | None = None
    has_header: bool = False

    def __post_init__(self) -> None:
        for sign in (self.delimiter, self.quote, self.escape or "\\"):
            if len(sign) != 1 or not sign.isascii() or sign in "\r\n":
                raise InvalidParameter(f"{sign!r} cannot be part of a CSV dialect.", hint="Use one ASCII character.")


def normalized_name(text: str) -> str:
    """`Págs / día` becomes `pags_dia`. Column names of a file are compared in this form."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    name = _NAME.sub("_", plain).strip("_")
    return f"c_{name}" if not name or name[0].isdigit() else name


def detect_dialect(
    sample: bytes, names: Sequence[str] = (), *, delimiter: str | None = None, escape: str | None = None
) -> Dialect:
    """`names` are the columns that a header is likely to have; a given delimiter is not guessed."""
    text = sample.removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    if len(sample) >= SAMPLE_BYTES:
        text = text[: text.rfind("\n") + 1] or text
    delimiter = delimiter or max(DELIMITERS, key=lambda sign: _regularity(text, sign, len(names)))
    dialect = Dialect(delimiter, escape=escape)
    return replace(dialect, has_header=_has_header(sample_rows(text, dialect), names))


def sample_rows(text: str, dialect: Dialect) -> list[list[str]]:
    rows = []
    lines = csv.reader(
        text.splitlines(keepends=True),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
    )
    try:
        for row in lines:
            if row:
                rows.append(row)
            if len(rows) == SAMPLE_ROWS_MAX:
                break
    except csv.Error as failure:
        if not rows:
            raise InvalidRows("The file is not CSV.", detail=f"(line {lines.line_num}: {failure})") from failure
    return rows


def _regularity(text: str, delimiter: str, expected: int) -> tuple[bool, float]:
    """How well a delimiter explains the text: every row the same width, and that more than one."""
    widths = [len(row) for row in sample_rows(text, Dialect(delimiter))]
    if not widths:
        return False, 0.0
    usual = max(set(widths), key=widths.count)
    agreement = widths.count(usual) / len(widths) if usual > 1 else 0.0
    return usual == expected and usual > 1, agreement * (1 + usual / 1000)


def _has_header(rows: list[list[str]], names: Sequence[str]) -> bool:
    if not rows:
        return False
    first = [normalized_name(value) for value in rows[0]]
    known = {normalized_name(name) for name in names}
    if known:
        return len(known.intersection(first)) * 2 > len(first) or known <= set(first)
    if len(set(first)) < len(first) or any(not value.strip() or _is_data(value) for value in rows[0]):
        return False
    return len(rows) == 1 or any(_is_data(value) for row in rows[1:] for value in row) or _is_name_like(rows)


def _is_data(value: str) -> bool:
    value = value.strip()
    return bool(_NUMBER.fullmatch(value) or _DATE.fullmatch(value))


def _is_name_like(rows: list[list[str]]) -> bool:
    """All values are words: a header whose words do not come again below it."""
    words = all(re.fullmatch(r"[A-Za-z_][\w .-]*", value) for value in rows[0])
    return words and not any(value in row for row in rows[1:] for value in rows[0])


class DelimitedFile:
    """Reads from a file object in blocks; what it holds in memory does not grow with the file."""

    def __init__(self, file: BinaryIO, dialect: Dialect, columns: Sequence[str]) -> None:
        """`columns` are those of the data source; those of the file are in `columns` afterwards.

        A header is matched by normalised name, and unknown columns are left out. Without one, by position.
        """
        self._file = file
        self._dialect = dialect
        self._rejects: list[Reject] = []
        self._width, self._order = _layout(file, dialect, columns)
        self.columns = tuple(name for _, name in self._order)

    def blocks(self) -> Iterator[TextBlock]:
        import pyarrow as pa

        names = [f"c{number}" for number in range(self._width)]
        wanted = [number for number, _ in self._order]
        try:
            for batch in self._open(names):
                arrays = [_texts(batch.column(number)) for number in wanted]
                yield text_block(self.columns, arrays, self._taken())
        except pa.ArrowInvalid as failure:
            raise InvalidRows("The file is not CSV.", detail=f"({failure})") from failure
        if self._rejects:
            yield TextBlock(self.columns, b"", 0, self._taken())

    def _open(self, names: list[str]) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        dialect = self._dialect
        try:
            reader = arrow_csv.open_csv(
                self._file,
                read_options=arrow_csv.ReadOptions(
                    use_threads=False,
                    block_size=BLOCK_BYTES,
                    column_names=names,
                    skip_rows=1 if dialect.has_header else 0,
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote,
                    escape_char=dialect.escape or False,
                    newlines_in_values=True,
                    invalid_row_handler=self._reject,
                ),
                convert_options=arrow_csv.ConvertOptions(
                    check_utf8=False,
                    column_types={name: pa.binary() for name in names},
                    null_values=[],
                    strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as failure:
            if "Empty CSV" in str(failure):
                return
            raise
        yield from reader

    def _reject(self, row: Any) -> str:
        reason = f"Row {row.number} has {row.actual_columns} values instead of {row.expected_columns}"
        self._rejects.append(Reject(row.number or 0, reason, row.text))
        return "skip"

    def _taken(self) -> tuple[Reject, ...]:
        rejects, self._rejects = tuple(self._rejects), []
        return rejects


def _layout(file: BinaryIO, dialect: Dialect, columns: Sequence[str]) -> tuple[int, list[tuple[int, str]]]:
    """How many values a row has, and which of them go to which column."""
    start = file.tell()
    text = file.read(SAMPLE_BYTES).removeprefix(_BYTE_ORDER_MARK).decode("utf-8", "replace")
    file.seek(start)
    rows = sample_rows(text, dialect)
    if not rows:
        return max(len(columns), 1), list(enumerate(columns))
    if not dialect.has_header:
        widths = [len(row) for row in rows]
        width = min(max(set(widths), key=widths.count), len(columns))
        return width, list(enumerate(columns[:width]))
    known = {normalized_name(name): name for name in columns}
    header: dict[str, int] = {}
    for number, value in enumerate(rows[0]):
        name = known.get(normalized_name(value))
        if name is not None:
            header.setdefault(name, number)
    return len(rows[0]), [(number, name) for name, number in header.items()]


def _texts(values: Any) -> Any:
    import pyarrow as pa

    try:
        return values.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([value.decode("utf-8", "replace") for value in values.to_pylist()], pa.string())
