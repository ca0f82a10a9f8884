"""The SQL template language: `{{ }}` and `{% %}` in a node's SQL, rendered with the parameters of a request.

Text goes through `tokens`, then `parse` to the `tree`, which `allowlist` checks, and `expressions` and
`statements` to closures that `render` runs.
No template text is ever run as Python: only what the allow-list names exists at all.
"""

from birdhouse.language.template.parameters import Parameter, merged
from birdhouse.language.template.render import (
    RESERVED_NAMES,
    Rendered,
    Template,
    Value,
    is_template,
    parameters,
    parse_template,
    render,
    table_names,
    template_body,
)
from birdhouse.language.template.run import Hints
from birdhouse.language.template.slots import Slots

__all__ = [
    "RESERVED_NAMES",
    "Hints",
    "Parameter",
    "Rendered",
    "Slots",
    "Template",
    "Value",
    "is_template",
    "merged",
    "parameters",
    "parse_template",
    "render",
    "table_names",
    "template_body",
]
