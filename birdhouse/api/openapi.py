"""`/v0/pipes/openapi.json`: the endpoints a token can read, described in OpenAPI 3."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from starlette.responses import Response

from birdhouse.access.check import Allowed
from birdhouse.api.call import Call
from birdhouse.api.responses import json_response
from birdhouse.catalog.resources import Pipe
from birdhouse.errors import BirdhouseError
from birdhouse.language.datafile.model import NodeKind
from birdhouse.language.template import RESERVED_NAMES, Parameter, is_template, merged, parse_template, template_body

OPENAPI_VERSION = "3.0.3"

_ARRAY = re.compile(r"Array\((.*)\)")
_NUMBERS = (("UInt", "integer"), ("Int", "integer"), ("Float", "number"), ("Decimal", "number"))
_TEXTS = {"Date": {"format": "date"}, "UUID": {"format": "uuid"}}

_RESULT = {
    "type": "object",
    "required": ["meta", "data", "rows", "statistics"],
    "properties": {
        "meta": {
            "type": "array",
            "description": "The columns, in order.",
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "type": {"type": "string"}}},
        },
        "data": {"type": "array", "description": "One object per row.", "items": {"type": "object"}},
        "rows": {"type": "integer", "description": "How many rows there are."},
        "rows_before_limit_at_least": {
            "type": "integer",
            "description": "How many rows there would be without LIMIT.",
        },
        "statistics": {
            "type": "object",
            "properties": {
                "elapsed": {"type": "number", "description": "Seconds."},
                "rows_read": {"type": "integer"},
                "bytes_read": {"type": "integer"},
            },
        },
    },
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "documentation": {"type": "string"}},
}
_ERRORS = {
    "400": "A parameter is missing or cannot be used.",
    "403": "The token is not valid, or may not read this endpoint.",
    "404": "The endpoint does not exist.",
    "408": "The query ran longer than its time limit.",
}


async def show(call: Call) -> Response:
    """The endpoints that the token can read, in OpenAPI; parameters that the token fixes are left out."""
    found = {}
    for pipe in sorted(call.workspace.pipes(), key=lambda each: each.name):
        decision = call.grants.may_read_pipe(pipe)
        if pipe.kind is NodeKind.ENDPOINT and isinstance(decision, Allowed):
            chosen = [each for each in _parameters(pipe) if each.name not in decision.fixed_params]
            found[f"/v0/pipes/{pipe.name}.json"] = {"get": _operation(pipe, chosen)}
    return json_response(
        {
            "openapi": OPENAPI_VERSION,
            "info": {"title": f"Endpoints of the workspace {call.workspace.name}", "version": "1"},
            "servers": [{"url": call.base_url}],
            "security": [{"bearer": []}, {"token": []}],
            "paths": found,
            "components": {
                "schemas": {"Result": _RESULT, "Error": _ERROR},
                "securitySchemes": {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "token": {"type": "apiKey", "in": "query", "name": "token"},
                },
            },
        }
    )


def _parameters(pipe: Pipe) -> tuple[Parameter, ...]:
    """Those of all nodes. A node whose template cannot be read has none: calling it tells why."""
    found: list[Parameter] = []
    for node in pipe.definition.nodes:
        if is_template(node.sql):
            with suppress(BirdhouseError):
                found += parse_template(template_body(node.sql)).parameters
    return tuple(each for each in merged(found) if each.name not in RESERVED_NAMES)


def _operation(pipe: Pipe, parameters: Iterable[Parameter]) -> dict[str, Any]:
    return {
        "operationId": pipe.name,
        "summary": pipe.definition.description.partition("\n")[0] or pipe.name,
        "description": pipe.definition.description,
        "parameters": [_parameter(each) for each in parameters],
        "responses": {
            "200": {"description": "The result.", "content": _json_of("Result")},
            **{status: {"description": text, "content": _json_of("Error")} for status, text in _ERRORS.items()},
        },
    }


def _json_of(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema = _schema(parameter.type)
    is_array = "items" in schema
    if parameter.default is not None:
        written = parameter.default
        schema["default"] = written.split(",") if is_array and isinstance(written, str) else written
    if parameter.enum:
        (schema["items"] if is_array else schema)["enum"] = list(parameter.enum)
    if parameter.format:
        schema["format"] = parameter.format
    stated = {"description": parameter.description, "example": parameter.example}
    return {
        "name": parameter.name,
        "in": "query",
        "required": bool(parameter.required),
        "schema": schema,
        **({"style": "form", "explode": False} if is_array else {}),
        **{key: value for key, value in stated.items() if value is not None},
    }


def _schema(type_name: str) -> dict[str, Any]:
    """The JSON schema of a parameter of the template language. Arrays are sent as texts with commas."""
    array = _ARRAY.fullmatch(type_name)
    if array:
        return {"type": "array", "items": _schema(array[1])}
    if type_name == "Boolean":
        return {"type": "boolean"}
    number = next((kind for prefix, kind in _NUMBERS if type_name.startswith(prefix)), None)
    return {"type": number} if number else {"type": "string", **_TEXTS.get(type_name, {})}
