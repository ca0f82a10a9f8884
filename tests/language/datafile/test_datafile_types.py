import pytest

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.types import TYPE_DEPTH_MAX, ColumnType, parse_type

CANONICAL = """
String
UInt256
Nullable(Float64)
LowCardinality(Nullable(String))
DateTime('Europe/Madrid')
DateTime64(3, 'UTC')
Decimal(10, 2)
Decimal64(4)
FixedString(16)
Enum8('a' = 1, 'b, (' = 2)
Array(Array(Nullable(UUID)))
Map(LowCardinality(String), Array(Int8))
Tuple(String, Nullable(Int32))
Tuple(a String, `b c` Nested(x Int8, y Array(Date)))
Array(Tuple(type LowCardinality(String), at DateTime64(3)))
SimpleAggregateFunction(sum, Nullable(UInt64))
AggregateFunction(argMax, String, DateTime64(3))
AggregateFunction(quantiles(0.5, 0.9), Float64)
AggregateFunction(count)
Variant(String, Array(Int64))
JSON
JSON(max_dynamic_paths=10, a.b UInt32)
Dynamic
IPv6
Point
"""


@pytest.mark.parametrize("text", CANONICAL.strip().splitlines())
def test_canonical_types_are_written_as_they_were_read(text: str) -> None:
    assert str(parse_type(text)) == text


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("INT UNSIGNED", "UInt32"),
        ("varchar(255)", "String"),
        ("double   precision", "Float64"),
        ("NUMERIC(10,2)", "Decimal(10, 2)"),
        ("BINARY(4)", "FixedString(4)"),
        ("timestamp", "DateTime"),
        ("boolean", "Bool"),
        ("datetime64(6)", "DateTime64(6)"),
        (" Array ( String ) ", "Array(String)"),
        ("Tuple(INT UNSIGNED, a)", None),
        ("Tuple(n INT UNSIGNED)", "Tuple(n UInt32)"),
    ],
)
def test_other_spellings_become_canonical(written: str, canonical: str | None) -> None:
    if canonical is None:
        with pytest.raises(DatafileError):
            parse_type(written)
    else:
        assert str(parse_type(written)) == canonical


def test_wrappers_are_flags_on_the_type_they_wrap() -> None:
    assert parse_type("LowCardinality(Nullable(String))") == ColumnType("String", nullable=True, low_cardinality=True)
    assert parse_type("Map(String, Nullable(Int8))").inner[1].nullable


def test_named_elements_keep_their_names_beside_their_types() -> None:
    read = parse_type("Tuple(a String, b Array(Int8))")
    assert read.fields == ("a", "b")
    assert [inner.name for inner in read.inner] == ["String", "Array"]


@pytest.mark.parametrize(
    ("written", "column", "says"),
    [
        ("Strin", 1, "Did you mean String?"),
        ("string", 1, "Did you mean String?"),
        ("Array(Map(String, Flot32))", 19, "Did you mean Float32?"),
        ("Map(String)", 1, "Map takes 2 argument"),
        ("Array()", 1, "Array takes 1 argument"),
        ("FixedString", 1, "FixedString takes at least 1"),
        ("Nullable(Array(String))", 1, "Make what is inside it Nullable"),
        ("Nullable(LowCardinality(String))", 1, "Write LowCardinality"),
        ("Tuple(a String, Int8)", 1, "Name all elements"),
        ("Nested(String)", 1, "need names"),
        ("Int32 String", 1, "comma missing after Int32"),
        ("Array(String", 6, "comma missing"),
        ("", 1, "is not a type"),
        ("Array(" * (TYPE_DEPTH_MAX + 1) + "Int8" + ")" * (TYPE_DEPTH_MAX + 1), 199, "nest at most"),
    ],
)
def test_a_wrong_type_is_told_with_its_place_and_a_way_out(written: str, column: int, says: str) -> None:
    with pytest.raises(DatafileError, match=says) as caught:
        parse_type(written)
    assert caught.value.column == column
