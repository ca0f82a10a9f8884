"""The engine's error texts, as they came, and the errors they become."""

from __future__ import annotations

import pytest

from birdhouse.engine.failures import insert_failure, parts, statement_failure
from birdhouse.errors import (
    BirdhouseError,
    Busy,
    Cancelled,
    InvalidRows,
    MemoryLimit,
    PartialWrite,
    QueryTimeout,
    RowLimit,
    SqlError,
    StorageFull,
)

PARTITIONS = (
    "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100). The limit is controlled "
    "by 'max_partitions_per_insert_block' setting. (TOO_MANY_PARTS)"
)
NO_SPACE = "Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space. (NOT_ENOUGH_SPACE)"
NO_SPACE_IN_VIEW = NO_SPACE.replace(". (NOT", ": while pushing to view w.v. (NOT")

STATEMENTS: dict[str, type[BirdhouseError]] = {
    "Code: 159. DB::Exception: Timeout exceeded: elapsed 250 ms. (TIMEOUT_EXCEEDED)": QueryTimeout,
    "Code: 241. DB::Exception: Query memory limit exceeded: would use 1. (MEMORY_LIMIT_EXCEEDED)": MemoryLimit,
    "Code: 241. DB::Exception: (total) memory limit exceeded: would use 1. (MEMORY_LIMIT_EXCEEDED)": Busy,
    "Code: 396. DB::Exception: Limit for result exceeded. (TOO_MANY_ROWS_OR_BYTES)": RowLimit,
    "Code: 394. DB::Exception: Query was cancelled. (QUERY_WAS_CANCELLED)": Cancelled,
    "Code: 75. DB::Exception: Cannot write to file, errno: 28, strerror: No space left on device. (X)": StorageFull,
    NO_SPACE: StorageFull,
    "Code: 47. DB::Exception: Unknown identifier. (UNKNOWN_IDENTIFIER)": SqlError,
    "something else": SqlError,
}


@pytest.mark.parametrize(("text", "error"), STATEMENTS.items())
def test_a_failed_statement_becomes_the_error_that_fits(text: str, error: type[BirdhouseError]) -> None:
    assert type(statement_failure(text)) is error


INSERTS: dict[str, type[BirdhouseError]] = {
    "Code: 27. DB::Exception: Cannot parse input: (at row 1). (CANNOT_PARSE_INPUT_ASSERTION_FAILED)": InvalidRows,
    "Code: 469. DB::Exception: Constraint `c` is violated at row 1. (VIOLATED_CONSTRAINT)": InvalidRows,
    "Code: 395. DB::Exception: boo: while pushing to view w.v2. (FUNCTION_THROW_IF_VALUE_IS_NON_ZERO)": PartialWrite,
    "Code: 26. DB::Exception: x: while pushing to view w.v2. (CANNOT_PARSE_QUOTED_STRING)": PartialWrite,
    "Code: 252. DB::Exception: Too many parts (3000) in table. Merges are too slow. (TOO_MANY_PARTS)": Busy,
    PARTITIONS: InvalidRows,
    NO_SPACE: StorageFull,
    NO_SPACE_IN_VIEW: PartialWrite,
    "Code: 60. DB::Exception: Table w.nope does not exist. (UNKNOWN_TABLE)": SqlError,
}


@pytest.mark.parametrize(("text", "error"), INSERTS.items())
def test_a_failed_insert_says_who_is_to_blame(text: str, error: type[BirdhouseError]) -> None:
    assert type(insert_failure(text)) is error


def test_message_code_and_name_come_apart() -> None:
    nested = (
        "Code: 73. DB::Exception: Code: 73. DB::Exception: Unknown format Blah. (UNKNOWN_FORMAT) "
        "(version 26.9.2.1). (UNKNOWN_FORMAT)"
    )
    assert parts(nested) == ("Unknown format Blah.", 73, "UNKNOWN_FORMAT")
    assert parts("Streaming query failed: Code: 1. DB::Exception: x. (Y_Z)") == ("x.", 1, "Y_Z")
    assert parts(" no code ") == ("no code", 0, "")


TOLD = {
    "Code: 47. DB::Exception: Unknown expression identifier `x`. In scope SELECT x FROM w_1.t_2 AS a. "
    "Maybe you meant: ['y']. (UNKNOWN_IDENTIFIER)": "Unknown expression identifier `x`. Maybe you meant: ['y'].",
    f"Code: 60. DB::Exception: Table w_{'0' * 32}.t_{'a' * 32} does not exist. (UNKNOWN_TABLE)": (
        f"Table t_{'a' * 32} does not exist."
    ),
}


@pytest.mark.parametrize(("text", "message"), TOLD.items())
def test_a_message_does_not_hold_the_statement_that_we_made(text: str, message: str) -> None:
    assert parts(text)[0] == message
