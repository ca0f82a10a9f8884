"""Turns errors into answers: `{"error": …, "documentation": …}` and the status that clients know it by."""

from __future__ import annotations

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from birdhouse import errors
from birdhouse.api.rate_limit import rate_headers
from birdhouse.api.responses import json_response

log = structlog.get_logger(__name__)

STATUS: dict[type[errors.BirdhouseError], int] = {
    errors.BirdhouseError: 500,
    errors.InvalidInput: 400,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.QueryTimeout: 408,
    errors.LimitReached: 400,
    errors.PartialWrite: 422,
    errors.Busy: 503,
    errors.RateLimited: 429,
    errors.StorageFull: 507,
    errors.Cancelled: 499,
}
"""The nearest class in an error's ancestry counts. The client retries 503 only when told when: `Retry-After`."""

RETRY_AFTER_SECONDS = 1


def status_of(error: errors.BirdhouseError) -> int:
    if isinstance(error, errors.CustomTemplateError):
        return error.status
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


async def answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.BirdhouseError)
    status = status_of(error)
    if status >= 500:
        log.error("request_failed", path=request.url.path, status=status, error=str(error))
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if status == 503 else {}
    if isinstance(error, errors.RateLimited):
        headers = rate_headers(error.requests_per_second, 0, error.retry_after_seconds)
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, errors.SqlError) and error.code:
        headers["X-DB-Exception-Code"] = str(error.code)
    return json_response(body_of(error), status, headers)


def body_of(error: errors.BirdhouseError) -> object:
    if isinstance(error, errors.CustomTemplateError):
        return error.body if isinstance(error.body, dict) else {"error": str(error.body)}
    body: dict[str, object] = {"error": wire_text(error), "documentation": error.documentation}
    if isinstance(error, errors.DeploymentRefused):
        body["errors"] = [wire_text(each) for each in error.problems]
    return body


def wire_text(error: errors.BirdhouseError) -> str:
    """The engine's own errors are marked as users of the hosted service know them: `[Error] … (NAME)`."""
    if isinstance(error, errors.SqlError) and error.name and error.code:
        return f"[Error] {error} ({error.name})"
    return str(error)


async def answer_unknown_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    text = {
        404: f"There is no route {request.method} {request.url.path}",
        405: f"{request.method} is not allowed on {request.url.path}",
    }.get(error.status_code, error.detail)
    return json_response({"error": text, "documentation": "docs/api.md"}, error.status_code, error.headers or {})


async def answer_crash(request: Request, error: Exception) -> Response:
    log.exception("request_crashed", path=request.url.path, exc_info=error)
    text = "The server failed on this request. Its log says where; please report it."
    return json_response({"error": text, "documentation": "docs/errors.md"}, 500)
