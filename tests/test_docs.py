"""The documents keep up with the code: generated parts, links, files they name, and what has to be described."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from birdhouse import errors
from birdhouse.api.routes import ROUTES
from birdhouse.cli.main import COMMANDS
from birdhouse.jobs.job import JobKind
from birdhouse.language.template.functions import FUNCTION_NAMES
from birdhouse.settings import Settings
from docs import generate
from docs.template_functions import MEANINGS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"[\w./-]+\.(?:py|md|toml)|(?:birdhouse|cdp|insights|docs|tests|benchmarks)/[\w./-]*")
_MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|root|Users|work|tmp|mnt|var|private)/\w")
PLACES = ("", "birdhouse/", "docs/", "tests/")
"""Where a document may begin the path of a file that it names."""
WRITTEN_BY_USERS = {"birdhouse.toml"}


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(params=PAGES, ids=shown)
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text("utf-8"))


def test_the_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert generate.filled(text) == text, "run `make docs`"


def test_every_generated_part_is_on_a_page() -> None:
    placed = re.findall(r"<!-- generated: ([a-z-]+) -->", "".join(page.read_text("utf-8") for page in PAGES))
    assert sorted(placed) == sorted(generate.PARTS)


def anchors(page: Path) -> set[str]:
    titles = _HEADING.findall(prose(page))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_leads_somewhere(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{shown(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{shown(page)} links to {link}"


def is_there(name: str, page: Path) -> bool:
    if "*" in name:
        return any(ROOT.rglob(name))
    beside_each_other = any(ROOT.glob(f"birdhouse/**/{name}")) if "/" not in name else False
    return beside_each_other or any((base / name).exists() for base in (page.parent, *(ROOT / at for at in PLACES)))


def test_every_file_that_a_document_names_is_there(page: Path) -> None:
    for code in _CODE.findall(prose(page)):
        if _FILE.fullmatch(code) and code not in WRITTEN_BY_USERS:
            assert is_there(code, page), f"{shown(page)} names {code}"


def test_no_document_names_a_path_of_a_machine(page: Path) -> None:
    assert not _MACHINE_PATH.search(page.read_text("utf-8"))


def test_every_kind_of_job_is_described() -> None:
    text = (DOCS / "copies.md").read_text("utf-8")
    assert [kind for kind in JobKind if f"`{kind}`" not in text] == []


def test_every_setting_is_described() -> None:
    text = (DOCS / "operate.md").read_text("utf-8")
    assert [name for name in Settings.model_fields if f"`{name}`" not in text] == []


def test_every_route_says_in_a_sentence_what_it_does() -> None:
    silent = [route.path for route in ROUTES if not generate.first_line(generate.handler(route.endpoint)).endswith(".")]
    assert silent == []


def test_every_template_function_is_described_and_no_other() -> None:
    assert MEANINGS.keys() == FUNCTION_NAMES


def test_every_command_is_described() -> None:
    text = (DOCS / "deploy.md").read_text("utf-8")
    names = list(COMMANDS)
    assert names and [name for name in names if f"`birdhouse {name}`" not in text] == []


def error_classes(base: type[errors.BirdhouseError]) -> list[type[errors.BirdhouseError]]:
    return [base, *(each for child in base.__subclasses__() for each in error_classes(child))]


@pytest.mark.parametrize("error", error_classes(errors.BirdhouseError), ids=lambda error: error.__name__)
def test_the_page_that_an_error_names_is_there(error: type[errors.BirdhouseError]) -> None:
    assert (ROOT / error.documentation).is_file()


def test_every_decision_is_in_the_list_and_has_its_five_parts() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text("utf-8")
    for decision in sorted((DOCS / "decisions").glob("0*.md")):
        text = decision.read_text("utf-8")
        assert decision.name in listed
        for part in ("Problem.", "Success.", "Choice.", "Alternatives.", "Consequences."):
            assert f"**{part}**" in text, f"{decision.name} has no {part}"
