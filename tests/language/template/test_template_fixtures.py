"""Every template of `fixtures/`: the template, a dashed line, its parameters, a dashed line, what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from birdhouse.errors import TemplateError
from birdhouse.language.template import parse_template, render

FIXTURES = Path(__file__).parent / "fixtures"


def cases(kind: str) -> list[Any]:
    files = sorted((FIXTURES / kind).glob("*.txt"))
    assert files, f"no fixtures of kind {kind}"
    return [pytest.param(file, id=file.stem) for file in files]


def read(file: Path) -> tuple[str, dict[str, Any], str]:
    template, parameters, expected = file.read_text().split("\n---\n")
    return template, json.loads(parameters), expected.removesuffix("\n")


@pytest.mark.parametrize("file", cases("rendered"))
def test_a_template_renders_to(file: Path) -> None:
    template, parameters, expected = read(file)
    assert render(parse_template(template), parameters).sql == expected


@pytest.mark.parametrize("file", cases("checked"))
def test_in_check_mode_a_template_renders_to(file: Path) -> None:
    template, parameters, expected = read(file)
    assert render(parse_template(template), parameters, check=True).sql == expected


@pytest.mark.parametrize("file", cases("errors"))
def test_a_template_fails_with(file: Path) -> None:
    template, parameters, expected = read(file)
    with pytest.raises(TemplateError) as failure:
        render(parse_template(template), parameters)
    assert failure.value.message == expected
