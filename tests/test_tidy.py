"""The house stays tidy: what the style asks for and no linter checks."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600

# Where the real clock, chance and identity are made: everything else takes them through a port.
AMBIENT_ADAPTERS = {"homeostat/runtime.py", "homeostat/sim/"}
AMBIENT = re.compile(
    r"\btime\.time(_ns)?\(|\bdatetime\.now\(|\bdatetime\.utcnow\(|\bdate\.today\(|"
    r"\brandom\.(random|uniform|randint|randrange|choice|choices|gauss|shuffle|sample)\(|\buuid[14]\(|"
    r"\bsecrets\.|\bos\.urandom\(|\basyncio\.(create_task|ensure_future)\("
)
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|placeholder|stub)\b", re.IGNORECASE)


def _name(path: Path) -> str:
    return path.relative_to(ROOT / "src").as_posix()


def _code_lines(path: Path) -> list[tuple[int, str]]:
    return [
        (number, line)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if not line.lstrip().startswith("#")
    ]


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_opens_by_saying_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{_name(path)} has no docstring at its top"


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_fit_in_the_head(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= FILE_LINES_MAX, f"{_name(path)} has {text.count(chr(10))} lines"
    long = [
        f"{_name(path)}:{node.lineno} {node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert not long


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_time_chance_and_identity_come_through_ports(path: Path) -> None:
    if any(_name(path).startswith(adapter) for adapter in AMBIENT_ADAPTERS):
        pytest.skip("this is where they are made")
    found = [f"{_name(path)}:{number}: {line.strip()}" for number, line in _code_lines(path) if AMBIENT.search(line)]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_nothing_admits_to_being_unfinished(path: Path) -> None:
    found = [
        f"{_name(path)}:{number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not found


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_public_things_are_documented(path: Path) -> None:
    """Classes and top-level functions without a leading underscore; short Protocol members explain themselves."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    missing = [
        f"{_name(path)}:{node.lineno} {node.name}"
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
    ]
    assert not missing


def test_every_driver_has_the_same_files() -> None:
    folders = [path for path in (ROOT / "src/homeostat/drivers").iterdir() if (path / "driver.py").exists()]
    assert folders
    missing = [
        f"{folder.name}/{name}"
        for folder in folders
        for name in ("__init__.py", "README.md")
        if not (folder / name).exists()
    ]
    assert not missing
