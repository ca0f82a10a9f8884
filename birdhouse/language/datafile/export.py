"""What a sink node says about the files it writes: where, under which names, in which form."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from birdhouse.errors import InvalidInput

Word = TypeVar("Word", bound=StrEnum)

FILE_SCHEME = "file"
"""A path such as `file://reports` is a folder below the server's own directory for exports."""

SCHEMES: Mapping[str, tuple[str, ...]] = {
    "s3": ("s3", FILE_SCHEME),
    "s3_iamrole": ("s3", FILE_SCHEME),
    "gcs_hmac": ("gs", "gcs", "s3", FILE_SCHEME),
}

TEMPLATE_CHARACTERS_MAX = 500
SPLITS_MAX = 1_000
JOB_ID = "job_id"
"""`{job_id}` is the id of the job, unless the result has a column of that name."""

NAME_BYTES_MAX = 1_024
"""Of a whole name, folders included: what S3 takes for a key."""
PART_BYTES_MAX = 255
"""Of one folder or file: what file systems take."""

_URI = re.compile(r"([a-z0-9]+)://(.*)", re.IGNORECASE | re.DOTALL)
_BRACES = re.compile(r"\{([^{}]*)\}")
_SPLIT = re.compile(r"\d{1,9}")
_COLUMN = re.compile(r"`?([A-Za-z_]\w*)`?\s*(?:,\s*(?:'([^']*)'|\"([^\"]*)\"))?", re.ASCII)
_NOT_IN_NAME = re.compile(r"[\x00-\x1f\x7f\\*?\[\]{}\"<>|#%]")
_TIME_FORMAT = re.compile(r"(?:%[aBbCcDdEeFfGgHhIiJjkLlMmnpQrRSsTtuVvWwYyZz%]|[^%])+")


class Format(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class Compression(StrEnum):
    NONE = "none"
    GZIP = "gz"
    SNAPPY = "snappy"
    ZSTD = "zstd"
    LZ4 = "lz4"
    BROTLI = "br"


class Strategy(StrEnum):
    """What happens to a file of that name that is there already."""

    NEW = "new"
    REPLACE = "replace"


_FORMATS = {each.value: each for each in Format}
_COMPRESSIONS = {each.value: each for each in Compression} | {
    "gzip": Compression.GZIP,
    "zst": Compression.ZSTD,
    "brotli": Compression.BROTLI,
}
_STRATEGIES = {
    "new": Strategy.NEW,
    "@new": Strategy.NEW,
    "create_new": Strategy.NEW,
    "replace": Strategy.REPLACE,
    "@replace": Strategy.REPLACE,
    "truncate": Strategy.REPLACE,
}
_ENDINGS = {Compression.NONE: "", Compression.ZSTD: ".zst"}
_ENDING = re.compile(r"\.(?:csv|ndjson|jsonl|json|parquet)(?:\.(?:gz|gzip|snappy|zst|zstd|lz4|br))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ColumnPart:
    """`{column}`, or `{column, '%Y-%m-%d'}` with a time format: one file for each value."""

    column: str
    time_format: str | None = None


@dataclass(frozen=True, slots=True)
class SplitPart:
    """`{8}`: the rows are spread over that many files."""

    count: int


Part = str | ColumnPart | SplitPart


@dataclass(frozen=True, slots=True)
class Location:
    """`bucket` is empty for files of the server. `folder` has no slash at either end."""

    scheme: str
    bucket: str
    folder: str

    @property
    def is_local(self) -> bool:
        return self.scheme == FILE_SCHEME


@dataclass(frozen=True, slots=True)
class Export:
    location: Location
    template: tuple[Part, ...]
    format: Format
    compression: Compression
    strategy: Strategy

    @property
    def ending(self) -> str:
        """What is put behind the names. Parquet is compressed inside, and keeps its own ending."""
        last = self.template[-1]
        if isinstance(last, str) and _ENDING.search(last):
            return ""
        is_plain = self.format is Format.PARQUET
        return f".{self.format}" + ("" if is_plain else _ENDINGS.get(self.compression, f".{self.compression}"))

    @property
    def is_one_file(self) -> bool:
        return all(isinstance(part, str) for part in self.template)


def is_file_path(path: str) -> bool:
    return path.lower().startswith(f"{FILE_SCHEME}://")


def read_export(options: Mapping[str, str], pipe: str) -> Export:
    """`options` are the EXPORT_ lines, keyed in lower case. Without a template files are named as the pipe.

    Raises InvalidInput.
    """
    return Export(
        location=read_location(options.get("export_bucket_uri", ""), options.get("export_service", "").lower()),
        template=read_template(options.get("export_file_template") or pipe),
        format=_choice(_FORMATS, options.get("export_format") or Format.CSV, "format"),
        compression=_choice(_COMPRESSIONS, options.get("export_compression") or Compression.NONE, "compression"),
        strategy=_choice(
            _STRATEGIES, options.get("export_write_strategy") or options.get("export_strategy") or "new", "strategy"
        ),
    )


def read_location(uri: str, service: str) -> Location:
    """Raises InvalidInput."""
    schemes = SCHEMES.get(service, ())
    match = _URI.fullmatch(uri.strip())
    if match is None or match[1].lower() not in schemes:
        named = " or ".join(
            f"{scheme}://{'folder' if scheme == FILE_SCHEME else 'bucket/folder'}" for scheme in schemes
        )
        raise InvalidInput(f"'{uri}' is not a place that {service} can write to", hint=f"Write {named}.")
    scheme, rest = match[1].lower(), match[2].strip("/")
    bucket, _, folder = ("", "", rest) if scheme == FILE_SCHEME else rest.partition("/")
    if scheme != FILE_SCHEME and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", bucket):
        raise InvalidInput(f"'{uri}' names no bucket", hint=f"Write {scheme}://bucket/folder.")
    if folder:
        check_file_name(folder)
    return Location(scheme, bucket, folder.strip("/"))


def read_template(text: str) -> tuple[Part, ...]:
    """Raises InvalidInput for what is no template."""
    if len(text) > TEMPLATE_CHARACTERS_MAX:
        raise InvalidInput(f"The file template has more than {TEMPLATE_CHARACTERS_MAX} characters")
    parts = tuple(part for part in _parts(text) if part != "")
    if sum(isinstance(part, SplitPart) for part in parts) > 1:
        raise InvalidInput(f"The file template '{text}' splits twice", hint="Write one number in braces.")
    check_file_name("".join(part if isinstance(part, str) else "x" for part in parts))
    return parts


def template_columns(text: str) -> tuple[ColumnPart, ...]:
    """The columns that a template names. Raises InvalidInput for what is no template."""
    return tuple(part for part in read_template(text) if isinstance(part, ColumnPart)) if text else ()


def _parts(text: str) -> Iterator[Part]:
    end = 0
    for braces in _BRACES.finditer(text):
        yield text[end : braces.start()]
        yield _variable(braces[1].strip(), text)
        end = braces.end()
    yield text[end:]


def _variable(inner: str, text: str) -> Part:
    if _SPLIT.fullmatch(inner):
        if not 1 <= int(inner) <= SPLITS_MAX:
            raise InvalidInput(f"The file template '{text}' makes {inner} files; it can be 1 to {SPLITS_MAX}")
        return SplitPart(int(inner))
    match = _COLUMN.fullmatch(inner)
    if match is None:
        raise InvalidInput(
            f"'{{{inner}}}' of the file template is neither a column nor a number",
            hint="Write {column}, {column, '%Y-%m-%d'} for a time, or {8} for so many files.",
        )
    time_format = match[2] if match[2] is not None else match[3]
    if time_format is not None and not _TIME_FORMAT.fullmatch(time_format):
        raise InvalidInput(f"'{time_format}' of the file template is not a time format", hint="Write %Y-%m-%d.")
    if time_format is not None:
        check_file_name(re.sub("%.", "x", time_format).strip("/"))
    return ColumnPart(match[1], time_format)


def check_file_name(name: str) -> None:
    """Folders and a file name, as a path below some place. Raises InvalidInput for one that could leave it."""
    parts = name.split("/")
    if found := _NOT_IN_NAME.search(name):
        raise InvalidInput(f"'{name}' cannot be a file name: it has the character {found[0]!r}")
    if any(not part.strip() or part.startswith(".") for part in parts):
        raise InvalidInput(f"'{name}' cannot be a file name", hint="No part of it may be empty or begin with a dot.")
    if len(name.encode()) > NAME_BYTES_MAX or any(len(part.encode()) > PART_BYTES_MAX for part in parts):
        raise InvalidInput(
            f"'{name[:60]}…' is too long for a file name",
            detail=f"(limit: {NAME_BYTES_MAX} bytes, {PART_BYTES_MAX} between two slashes)",
        )


def numbered(name: str, number: int) -> str:
    """The name with `_1`, `_2`, … in front of its ending."""
    ending = _ENDING.search(name)
    stem = name[: ending.start()] if ending else name
    return f"{stem}_{number}{ending[0] if ending else ''}"


def problems(options: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the lines of a sink that writes files: the option, the message and the hint of each."""
    service = options.get("export_service", "").lower()
    readers: Mapping[str, Callable[[str], object]] = {
        "export_bucket_uri": lambda written: read_location(written, service),
        "export_file_template": read_template,
        "export_format": lambda written: _choice(_FORMATS, written, "format"),
        "export_compression": lambda written: _choice(_COMPRESSIONS, written, "compression"),
        "export_write_strategy": lambda written: _choice(_STRATEGIES, written, "strategy"),
        "export_strategy": lambda written: _choice(_STRATEGIES, written, "strategy"),
    }
    for option, read in readers.items():
        try:
            if options.get(option):
                read(options[option])
        except InvalidInput as error:
            yield option, error.message, error.hint


def _choice(known: Mapping[str, Word], written: str, what: str) -> Word:
    found = known.get(written.lower())
    if found is not None:
        return found
    near = difflib.get_close_matches(written.lower(), known, n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Use one of {', '.join(known)}."
    raise InvalidInput(f"There is no {what} '{written}' for a sink", hint=hint)
