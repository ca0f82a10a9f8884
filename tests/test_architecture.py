"""The folder list is the architecture: imports go up the list, never down, and each library stays behind its file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "birdhouse"

FLOORS = [
    "errors", "settings", "clock", "language", "engine", "metadata", "client", "connectors", "catalog", "access",
    "usage", "query", "ingest", "jobs", "deploy", "workspaces", "api", "console", "app", "cli", "__main__",
]  # fmt: skip

BEHIND_ONE_DOOR = {
    "chdb": ["engine/chdb.py", "engine/pool.py"],
    "chtoolset": ["language/sql/", "ingest/ndjson.py"],
    "cronsim": ["language/cron.py"],
    "sqlalchemy": ["metadata/", "/store.py"],
    "starlette": ["api/", "console/", "cli/serve.py"],
    "uvicorn": ["cli/serve.py"],
    "typer": ["cli/"],
    "rich": ["cli/"],
    "sqlfmt": ["language/sql/layout.py"],
    "yaml": ["cli/testing/", "cli/fixtures.py"],
    "black": ["language/sql/layout.py"],
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py" or path.parent != PACKAGE)


def imports(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return found


def floor(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_floors_above(path: Path) -> None:
    own = FLOORS.index(floor(path))
    for name in imports(path):
        if name.startswith("birdhouse."):
            assert FLOORS.index(name.split(".")[1]) <= own, f"{path} imports {name} from a floor below"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_library_stays_behind_its_door(path: Path) -> None:
    place = "/" + str(path.relative_to(PACKAGE))
    for name in imports(path):
        doors = BEHIND_ONE_DOOR.get(name.split(".")[0])
        if doors is not None:
            assert any(door in place for door in doors), f"{place} imports {name}"


def test_every_folder_of_the_package_is_a_floor() -> None:
    parts = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")}
    assert parts - {"__init__", "__main__"} <= set(FLOORS)


def test_the_platform_side_imports_nothing_from_birdhouse() -> None:
    for path in (ROOT / "cdp").rglob("*.py"):
        assert not [name for name in imports(path) if name.split(".")[0] == "birdhouse"], path
