"""What each template function gives, in one sentence. `docs/templates.md` shows it beside the arguments."""

from __future__ import annotations

_NUMBER = "A number of this type; a value outside its range is an error."

MEANINGS: dict[str, str] = {
    "String": "A quoted and escaped text.",
    "Date": "A quoted date, `YYYY-MM-DD`.",
    "DateTime": "A quoted date and time, `YYYY-MM-DD hh:mm:ss`.",
    "DateTime64": "A quoted date and time with a fraction of a second.",
    "Float32": "A number, cast to Float32.",
    "Float64": "A number, cast to Float64.",
    **{f"{sign}Int{bits}": _NUMBER for sign in ("", "U") for bits in (8, 16, 32, 64, 128, 256)},
    "Int": "An integer in the range of Int32, written without a cast.",
    "Integer": "The same as `Int`.",
    "Boolean": "1 or 0. `0` and `false` in any case are 0, and so is no value.",
    "Array": "An array literal from a text with commas. The second argument is the type of its elements.",
    "JSON": "A list or object for loops and lookups, read from JSON text. It is never written as SQL.",
    "column": "The name of a column, in backticks; dots separate parts of a path.",
    "columns": "Several names with commas. With `fn` each becomes `fn(name) as name`.",
    "symbol": "Any name, in the quotes given: a backtick, a double quote or none.",
    "table": "The name of a data source, pipe or node. The token must be able to read it.",
    "TABLE": "The same as `table`.",
    "defined": "Whether the parameter was given.",
    "sql_and": "Conditions joined with `and`; those whose value is null are left out. Suffixes: `__in`, `__not_in`, "
    "`__gt`, `__lt`, `__gte`, `__lte`.",
    "split_to_array": "A list from a text, for loops and `in` conditions.",
    "enumerate_with_last": "Pairs of whether it is the last one, and the item.",
    "sql_unescape": "A quoted text in which `what` keeps its meaning, such as `%` for LIKE.",
    "day_diff": "Whole days between two dates `YYYY-MM-DD`.",
    "date_diff_in_days": "Whole days between two dates.",
    "date_diff_in_hours": "Whole hours between two moments.",
    "date_diff_in_minutes": "Whole minutes between two moments.",
    "date_diff_in_seconds": "Whole seconds between two moments.",
    "error": "Ends the request with status 400 and this message.",
    "custom_error": "Ends the request with this body, a text or an object, and this status.",
    "max_threads": "The engine may use that many threads for the query; 1 without it.",
    "backend_hint": "Accepted and without effect.",
    "cache_ttl": "Accepted and without effect; one of 5s, 1m, 5m, 30m, 1h.",
    "activate": "Accepted and without effect.",
    "disable": "Accepted and without effect.",
    "tb_secret": "The secret of that name, a text that travels beside the SQL; the default where there is none.",
    "tb_var": "The same as `tb_secret`.",
}
