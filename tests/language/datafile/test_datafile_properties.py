"""Properties over generated definitions and lines: text and definition say the same, and nothing foreign is raised."""

import shlex
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.directives import ENGINE_OPTIONS, EXPORT_IN_ORDER, IMPORT, KAFKA
from birdhouse.language.datafile.format import format_datafile, written
from birdhouse.language.datafile.lines import UnbalancedQuote, split_words
from birdhouse.language.datafile.model import (
    Column,
    DataSourceDefinition,
    DefaultKind,
    Definition,
    Index,
    Node,
    NodeKind,
    PipeDefinition,
    TableEngine,
    TokenDefinition,
    TokenGrant,
    TokenScope,
)
from birdhouse.language.datafile.parse import normal_description, normal_sql, parse_datafile, problems
from birdhouse.language.datafile.schema import format_schema, parse_schema, spaced_list
from birdhouse.language.datafile.types import parse_type

names = st.from_regex(r"[a-z_][a-z0-9_]{0,12}", fullmatch=True)
free_text = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters="\x7f\x85\xa0"), max_size=30
)
one_line = free_text.map(lambda text: " ".join(text.split()))
values = one_line.filter(lambda text: not _is_unwritable(text))
quotable = st.text(string.ascii_letters + string.digits + " _-.#", min_size=1, max_size=12).map(str.strip).filter(bool)
descriptions = st.lists(free_text, max_size=3).map("\n".join).map(normal_description)
versions = st.none() | st.integers(0, 99)
grants = st.lists(st.builds(TokenGrant, quotable, st.sampled_from(["READ", "APPEND"])), max_size=2).map(tuple)
tags = st.lists(names, max_size=3, unique=True).map(tuple)
tag_values = st.text("aZ09 %+&,=()#'\"é._", min_size=1, max_size=8).map(str.strip).filter(bool)
options = st.dictionaries(names, tag_values, max_size=2)


def _is_unwritable(text: str) -> bool:
    try:
        written("X", text)
    except DatafileError:
        return True
    return False


simple_types = st.sampled_from(
    ["String", "UInt8", "DateTime64(3, 'UTC')", "Decimal(10, 2)", "Enum8('a' = 1, 'b,' = 2)", "LowCardinality(String)"]
)
types = st.recursive(simple_types, lambda inner: st.builds("Array({})".format, inner), max_leaves=3)
expressions = st.sampled_from(["1", "'x, -- y'", "now()", "concat('a', \"b\")", "[1, 2]", "a IS NOT NULL", "ttl + 1"])


@st.composite
def columns(draw: st.DrawFn) -> Column:
    kind = draw(st.none() | st.sampled_from(DefaultKind))
    return Column(
        name=draw(names | st.sampled_from(["foo.bar", "with blank", "default", "type"])),
        type=draw(types),
        jsonpath=draw(st.none() | st.sampled_from(["$.a", "$.a.b[:]", "$.a--b", "$['x y']"])),
        default_kind=kind,
        default=draw(expressions) if kind else None,
        codec=draw(st.none() | st.sampled_from(["ZSTD(1)", "Delta, LZ4"])),
    )


indexes = st.builds(
    Index,
    name=names,
    expression=st.sampled_from(["user", "m['key']", "(a, b)", "lower(a) || ' x'", "type"]),
    type=st.sampled_from(["minmax", "bloom_filter(0.01)", "ngrambf_v1(4, 1024, 1, 42)"]),
    granularity=st.none() | st.integers(1, 64),
)
engines = st.builds(
    TableEngine,
    st.sampled_from(["MergeTree", "ReplacingMergeTree", "Null"]),
    st.dictionaries(
        st.sampled_from(ENGINE_OPTIONS), values.map(spaced_list).filter(lambda t: not _is_unwritable(t)), max_size=3
    ),
)


def lines_of(directives: frozenset[str] | tuple[str, ...]) -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(st.sampled_from(sorted(directives)).map(str.lower), values, max_size=3)


datasources = st.builds(
    DataSourceDefinition,
    name=st.just("ds"),
    columns=st.lists(columns(), min_size=1, max_size=4).map(tuple),
    description=descriptions,
    version=versions,
    indexes=st.lists(indexes, max_size=2).map(tuple),
    engine=st.none() | engines,
    tokens=grants,
    tags=tags,
    options=options,
    shared_with=st.lists(names, max_size=2).map(tuple),
    kafka=lines_of(KAFKA),
    imports=lines_of(IMPORT),
)
sql = (
    st.lists(free_text, min_size=1, max_size=4)
    .map("\n".join)
    .flatmap(lambda text: st.sampled_from([f"SELECT {text}", f"%\n  SELECT {text}", f"  SELECT {text}\n FROM x"]))
    .map(normal_sql)
)
nodes = st.builds(
    Node,
    name=names,
    sql=sql,
    description=descriptions,
    kind=st.sampled_from(NodeKind),
    datasource=st.none() | names,
    engine=st.none() | engines,
    target_datasource=st.none() | names,
    copy_schedule=st.none() | st.sampled_from(["@on-demand", "0 * * * *"]),
    copy_mode=st.none() | st.sampled_from(["append", "replace"]),
    options=lines_of(EXPORT_IN_ORDER),
    tags=options,
)
pipes = st.builds(
    PipeDefinition,
    name=st.just("p"),
    nodes=st.lists(nodes, max_size=3).map(tuple),
    description=descriptions,
    version=versions,
    tokens=grants,
    tags=tags,
    options=options,
)
scopes = st.builds(
    TokenScope,
    st.sampled_from(["DATASOURCES:READ", "PIPES:READ"]),
    st.none() | names,
    st.none() | st.sampled_from(["user = 'a'", "'x' = y", "a > 1 AND b != '#'"]),
)
tokens = st.builds(TokenDefinition, st.just("t"), st.lists(scopes, max_size=3).map(tuple), descriptions)

FILES = {DataSourceDefinition: "ds.datasource", PipeDefinition: "p.pipe", TokenDefinition: "t.token"}


@settings(max_examples=200, deadline=None)
@given(datasources | pipes | tokens)
def test_what_is_formatted_reads_back_as_the_same_definition(definition: Definition) -> None:
    text = format_datafile(definition)
    read = parse_datafile(text, file=FILES[type(definition)])
    assert read == definition
    assert format_datafile(read) == text


@given(st.lists(columns(), max_size=5).map(tuple))
def test_a_schema_on_one_line_reads_back_as_the_same_columns(schema: tuple[Column, ...]) -> None:
    assert parse_schema(format_schema(schema)) == schema


@given(st.text("ab '\"#>\t-", max_size=20))
def test_lines_split_as_a_shell_lexer_splits_them(line: str) -> None:
    lexer = shlex.shlex(line)
    lexer.whitespace_split = True
    try:
        expected = list(lexer)
    except ValueError:
        expected = None
    try:
        words = [word.text for word in split_words(line)]
    except UnbalancedQuote:
        words = None
    assert words == expected


@given(st.text("ab'\" #>$\n\t,()`", max_size=40))
def test_any_value_is_written_so_that_it_reads_back_or_is_refused(value: str) -> None:
    if _is_unwritable(value):
        return
    definition = parse_datafile(f"{written('KAFKA_KEY', value)}\n", file="x.datasource")
    assert isinstance(definition, DataSourceDefinition)
    assert definition.kafka == {"kafka_key": value}


fragments = st.sampled_from(
    ["SCHEMA >", "    a String", ", `b` Nullable(", "NODE x", "SQL >", "    %", "TYPE copy", "INDEXES >", "TAGS a=b,c",
     "ENGINE_SORTING_KEY (", "TOKEN x", "SCOPE A, B", "INCLUDE x", "'", "VERSION x", "\x00", "    ix a TYPE set(1)"]
)  # fmt: skip


@given(st.lists(fragments | free_text, max_size=8).map("\n".join), st.sampled_from(sorted(FILES.values())))
def test_no_text_makes_reading_fail_with_anything_but_a_datafile_error(text: str, file: str) -> None:
    for problem in problems(text, file):
        assert isinstance(problem, DatafileError)


@given(st.text("ArayInt8Mp(,) '`TuplesNbcd1", max_size=40))
def test_a_type_is_read_and_written_back_or_refused(text: str) -> None:
    try:
        read = parse_type(text)
    except DatafileError:
        return
    assert parse_type(str(read)) == read
