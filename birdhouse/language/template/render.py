"""Parsed templates, and what comes out when one is rendered with the parameters of a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from birdhouse.clock import Clock, SystemClock
from birdhouse.errors import TemplateError
from birdhouse.language.template.failures import as_template_error
from birdhouse.language.template.limits import CACHED_TEMPLATES_MAX
from birdhouse.language.template.literals import MissingParameter, TextArray, syntax_error
from birdhouse.language.template.parameters import (
    JOB_TIMESTAMP,
    Parameter,
    array_types,
    find_reads,
    find_tables,
)
from birdhouse.language.template.parse import parse_tree
from birdhouse.language.template.run import Hints, Run
from birdhouse.language.template.slots import Slots
from birdhouse.language.template.statements import Step, compile_body
from birdhouse.language.template.values import array_elements

Value = str | int | float | bool | Sequence[Any]
"""A parameter as the request gave it; query strings give texts, JSON bodies the rest."""

RESERVED_NAMES = frozenset(
    {
        "__tb__semver",
        "debug_source_tables",
        "debug",
        "explain",
        "finalize_aggregations",
        "output_format_json_quote_64bit_integers",
        "output_format_json_quote_denormals",
        "output_format_parquet_string_as_string",
        "pipeline",
        "playground",
        "query_id",
        "release_replacements",
        "tag",
        "template_parameters",
        "token",
        "job_timestamp",
    }
)
"""Options of the request itself: a template that reads them gets a warning, not an error."""

_SYSTEM_CLOCK = SystemClock()
_NO_HINTS = Hints()
_NO_SECRETS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Nothing here changes when the template is rendered."""

    text: str
    parameters: tuple[Parameter, ...]
    """Every use, in order; `merged` gives one for each name."""
    names: frozenset[str]
    tables: frozenset[str]
    arrays: Mapping[str, str]
    """Element types of the parameters that are an Array anywhere."""
    required: tuple[str, ...]
    """Names without a default, as the message about a missing parameter lists them."""
    step: Step

    @property
    def reserved_names(self) -> frozenset[str]:
        return self.names & RESERVED_NAMES


@dataclass(frozen=True, slots=True)
class Rendered:
    sql: str
    query_parameters: Mapping[str, str]
    """Values of the `{name: String}` placeholders that stand for secrets."""
    hints: Hints
    used: frozenset[str]
    """The given parameters that the template names: all that the SQL can depend on."""
    missing_secrets: frozenset[str]
    """Secrets without a value or default. With `check` alone; else a missing one is an error."""


def is_template(sql: str) -> bool:
    return sql.lstrip().startswith("%")


def template_body(sql: str) -> str:
    """The text after the marker; SQL without one comes back as it is."""
    return sql.lstrip()[1:] if is_template(sql) else sql


@lru_cache(maxsize=CACHED_TEMPLATES_MAX)
def parse_template(text: str) -> Template:
    """`text` is the body, without the marker. Raises TemplateError with the line in its message or detail."""
    try:
        nodes = parse_tree(text)
        reads = find_reads(nodes)
        return Template(
            text=text,
            parameters=reads.parameters,
            names=reads.names,
            tables=frozenset(find_tables(nodes)),
            required=reads.required,
            arrays=array_types(reads.parameters),
            step=compile_body(nodes),
        )
    except RecursionError as error:
        raise as_template_error(error, 0) from error


def render(
    template: Template,
    parameters: Mapping[str, Value],
    *,
    secrets: Mapping[str, str] = _NO_SECRETS,
    check: bool = False,
    job_timestamp: str | None = None,
    clock: Clock = _SYSTEM_CLOCK,
    slots: Slots | None = None,
) -> Rendered:
    """With `check` placeholders stand in for the parameters not given, as when a pipe is saved.

    With `slots` values that are whole literals are kept there, and the SQL has slots in their place.

    Raises TemplateError, and CustomTemplateError where the template asks for it.
    """
    names = _names(template, parameters, job_timestamp, clock)
    run = Run(names, secrets, check, slots)
    try:
        template.step(run)
    except MissingParameter as error:
        raise _missing(template, error) from error
    except Exception as error:
        failure = as_template_error(error, 0)
        if failure is error:
            raise
        raise failure from error
    return Rendered(
        "".join(run.out),
        run.query_parameters,
        _NO_HINTS if run.hints is None else Hints(**run.hints),
        template.names.intersection(parameters),
        frozenset(run.missing_secrets),
    )


def parameters(template: Template) -> tuple[Parameter, ...]:
    return template.parameters


def table_names(template: Template) -> set[str]:
    return set(template.tables)


def _names(
    template: Template, parameters: Mapping[str, Value], job_timestamp: str | None, clock: Clock
) -> dict[str, Any]:
    names = dict(parameters)
    for name, element_type in template.arrays.items():
        if name in names:
            try:
                elements = array_elements(names[name], element_type)
                given = names[name]
                names[name] = TextArray(elements, given) if isinstance(given, str) else elements
            except TemplateError:
                # Where the template uses it as an Array, the message tells which element is wrong.
                continue
    if JOB_TIMESTAMP in template.names and JOB_TIMESTAMP not in names:
        names[JOB_TIMESTAMP] = job_timestamp or clock.now().strftime("%Y-%m-%d %H:%M:%S")
    return names


def _missing(template: Template, error: MissingParameter) -> TemplateError:
    names = template.required
    if not names:
        return error
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    failure = syntax_error(
        f"Required parameter is not defined. Check the parameters {listed}. Please provide a value or set a "
        "default value in the pipe code."
    )
    failure.detail = error.detail
    return failure
