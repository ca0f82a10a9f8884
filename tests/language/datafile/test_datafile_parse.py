import pytest

from birdhouse.errors import DatafileError
from birdhouse.language.datafile.check import canonical_engine_name, check, is_valid_name
from birdhouse.language.datafile.format import format_pipe, written
from birdhouse.language.datafile.model import DataSourceDefinition, Node, NodeKind, PipeDefinition
from birdhouse.language.datafile.parse import (
    normal_description,
    normal_sql,
    parse_datafile,
    parse_datasource,
    parse_pipe,
    problems,
)

PIPE = "NODE $NODE\nDESCRIPTION costs $$5 $NODE\nSQL >\n    SELECT '$$x', $UNKNOWN FROM ${TABLE}\nTOKEN $NODE READ\n"


def test_variables_are_filled_into_names_values_and_sql_only() -> None:
    [node] = parse_pipe(PIPE, name="p", env={"NODE": "n", "TABLE": "events"}).nodes
    assert (node.name, node.sql, node.description) == ("n", "SELECT '$x', $UNKNOWN FROM events", "costs $$5 $NODE")


def test_without_an_environment_the_text_is_taken_literally() -> None:
    [node] = parse_pipe(PIPE, name="p").nodes
    assert (node.name, node.sql) == ("$NODE", "SELECT '$$x', $UNKNOWN FROM ${TABLE}")


@pytest.mark.parametrize("file", ["x.incl", "x.txt", "datasource", ""])
def test_other_suffixes_are_not_datafiles(file: str) -> None:
    with pytest.raises(DatafileError, match="is not a datafile"):
        parse_datafile("", file=file)
    assert len(problems("", file)) == 1


def test_the_stem_of_the_file_is_the_name_and_a_version_is_appended_to_it() -> None:
    definition = parse_datafile("VERSION 2\nSCHEMA >\n    a String\n", file="datasources/events.datasource")
    assert isinstance(definition, DataSourceDefinition)
    assert (definition.name, definition.resource_name) == ("events", "events__v2")


def test_tags_written_as_several_texts_are_several_tags() -> None:
    definition = parse_datasource('SCHEMA >\n    a String\nTAGS "a", "b"\nTAGS c\n', name="x")
    assert definition.tags == ("a", "b", "c")


@pytest.mark.parametrize(
    ("sql", "normal"),
    [
        ("  SELECT 1\n\n    FROM x  \n", "SELECT 1\n  FROM x"),
        ("%\n    SELECT 1\n      FROM x", "%\nSELECT 1\n  FROM x"),
        ("% SELECT 1\n  FROM x", "%\nSELECT 1\nFROM x"),
        ("# why\nSELECT 1 # inline", "SELECT 1 # inline"),
        ("%", "%"),
        ("", ""),
    ],
)
def test_sql_has_one_normal_form(sql: str, normal: str) -> None:
    assert normal_sql(sql) == normal
    assert normal_sql(normal) == normal


def test_a_description_pushed_by_the_client_equals_the_one_in_the_file() -> None:
    file = "DESCRIPTION >\n    one\n      two\n\n    # three\n# comment\nSCHEMA >\n    a String\n"
    assert parse_datasource(file, name="x").description == "one\ntwo\n# three"
    assert normal_description("one\n      two\n\n    # three") == "one\ntwo\n# three"


def test_sql_is_formatted_by_the_function_given() -> None:
    pipe = PipeDefinition("p", (Node("n", "select 1", kind=NodeKind.ENDPOINT),))
    assert format_pipe(pipe, format_sql=str.upper) == "NODE n\nSQL >\n    SELECT 1\n\nTYPE ENDPOINT\n"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("a, b", "K a, b"),
        ("", 'K ""'),
        ("a # b", 'K "a # b"'),
        ('a "b" # c', "K 'a \"b\" # c'"),
        ("two  blanks", 'K "two  blanks"'),
        ('"quoted"', "K '\"quoted\"'"),
        ("one\n  two", "K >\n    one\n      two"),
        (">", 'K ">"'),
    ],
)
def test_a_value_is_written_in_the_plainest_way_that_reads_back(value: str, line: str) -> None:
    assert written("K", value) == line


@pytest.mark.parametrize("value", ["a\n\nb", "a\n# b"])
def test_a_value_that_no_datafile_can_hold_is_refused(value: str) -> None:
    with pytest.raises(DatafileError, match="cannot be written"):
        written("K", value)


@pytest.mark.parametrize("name", ["events", "_x1", "Top", "activityRelations_bucket_0", "x" * 200])
def test_valid_names(name: str) -> None:
    assert is_valid_name(name)


@pytest.mark.parametrize("name", ["", "1x", "a-b", "a.b", "Select", "tinybird", "system", "é", "x" * 201, "a\n"])
def test_invalid_names(name: str) -> None:
    assert not is_valid_name(name)


@pytest.mark.parametrize(
    ("engine", "lacks"),
    [
        ("ReplacingMergeTree", ["ENGINE_SORTING_KEY"]),
        ("CollapsingMergeTree", ["ENGINE_SIGN", "ENGINE_SORTING_KEY"]),
        ("VersionedCollapsingMergeTree", ["ENGINE_SIGN", "ENGINE_VERSION"]),
        ("join", ["ENGINE_JOIN_STRICTNESS", "ENGINE_JOIN_TYPE", "ENGINE_KEY_COLUMNS"]),
        ("MergeTree", []),
        ("null", []),
    ],
)
def test_engines_name_the_options_they_lack(engine: str, lacks: list[str]) -> None:
    definition = parse_datasource(f"SCHEMA >\n    a String\nENGINE {engine}\n", name="x")
    name = canonical_engine_name(engine)
    assert [error.message for error in check(definition)] == [f"{name} needs {option}" for option in lacks]


@pytest.mark.parametrize(
    "path", ["$", "$.a", "$.a.b[:]", "$.a[:].b", "$.[:]", "$['a b'].c", "$.a-b", "$.@type", "$.a[0]"]
)
def test_jsonpaths(path: str) -> None:
    definition = parse_datasource(f"SCHEMA >\n    a String `json:{path}`\n", name="x")
    assert check(definition) == []


@pytest.mark.parametrize("path", ["a", ".a", "$a", "$.", "$.a[", "$.a[*]", "$..a", "$.a b", "$.a["])
def test_what_is_no_jsonpath(path: str) -> None:
    definition = parse_datasource(f"SCHEMA >\n    a String `json:{path}`\n", name="x")
    assert [error.message for error in check(definition, "f")] == [f"Column 'a': '{path}' is not a jsonpath"]


def test_options_of_a_node_stand_on_one_line() -> None:
    text = 'NODE n\nTAGS "run_after=upstream"\nTAGS "shards=2"\nSQL >\n    SELECT 1\n'
    with pytest.raises(DatafileError, match=r"two TAGS lines.*p\.pipe:3"):
        parse_pipe(text, name="p", file="p.pipe")
