"""Turns Python's own complaints, met while a template runs, into template errors with the service's texts."""

from __future__ import annotations

from birdhouse.errors import TemplateError
from birdhouse.language.template.limits import TemplateLimit
from birdhouse.language.template.literals import syntax_error

WRONG_CALL = "wrong syntax, you might be using a not valid function inside a control block"
_MISSING_ARGUMENT = "one of the transform type functions is missing an argument"
_GET_HINT = ". Make sure you're using an object/dictionary where trying to use .get()"
_INDEX_HINT = (
    "String index out of range. Check that string parameters have values before accessing specific "
    "characters (e.g., param[0]). Provide default values or add length checks in your template."
)
_WRAP_HINT = (
    ". If you are using a dynamic parameter, you need to wrap it around a valid Data Type (e.g. Int8(placeholder))"
)


def as_template_error(error: Exception, line: int) -> TemplateError:
    failure = _translate(error)
    if not failure.detail and line:
        failure.detail = f"(line {line})"
    return failure


def _translate(error: Exception) -> TemplateError:
    text = str(error)
    if isinstance(error, TemplateError):
        return error
    if isinstance(error, TypeError):
        return _type_failure(text)
    if isinstance(error, (RecursionError, MemoryError)):
        return TemplateLimit("nests or grows too much", "memory and depth of one value")
    if isinstance(error, AttributeError):
        return syntax_error(text + _GET_HINT if text == "'str' object has no attribute 'get'" else text)
    if isinstance(error, IndexError):
        return syntax_error(_INDEX_HINT if "string index out of range" in text else text)
    return TemplateError(text or type(error).__name__)


def _type_failure(text: str) -> TemplateError:
    if "missing 1 required positional argument" in text:
        return syntax_error(_MISSING_ARGUMENT)
    if "not callable" in text or "unhashable type" in text:
        return syntax_error(WRONG_CALL)
    if "not supported between instances of 'Placeholder' and " in text:
        return TemplateError(text + _WRAP_HINT)
    return TemplateError(text)
