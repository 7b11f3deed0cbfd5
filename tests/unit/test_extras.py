"""The command that brings an extra never names a package that a public index could know as somebody else's."""

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.extras import CONSTRAINTS, Origin, command_for, install_command, origin_in

ROOT = Path(__file__).parents[2]


def test_an_editable_installation_is_extended_where_it_is(tmp_path: Path) -> None:
    text = json.dumps({"url": tmp_path.as_uri(), "dir_info": {"editable": True}})
    assert origin_in(text) == Origin(tmp_path, editable=True)
    assert command_for("redis", origin_in(text)) == f"{sys.executable} -m pip install -e '{tmp_path}[redis]'"


def test_the_versions_of_the_checkout_are_used(tmp_path: Path) -> None:
    constraints = tmp_path / CONSTRAINTS
    constraints.parent.mkdir()
    constraints.touch()
    command = command_for("instrument", Origin(tmp_path))
    assert command == f"{sys.executable} -m pip install -c {constraints} '{tmp_path}[instrument]'"


@pytest.mark.parametrize(
    "text",
    [None, "", "{", "[]", '{"url": "https://host.example/x.whl"}', '{"url": "file:///gone/away", "dir_info": {}}'],
)
def test_without_a_known_origin_the_checkout_is_named(text: str | None) -> None:
    assert origin_in(text) is None
    assert command_for("postgres", None).startswith(f"pip install -c {CONSTRAINTS} '.[postgres]'")


@given(st.text())
def test_any_text_has_an_origin_or_none(text: str) -> None:
    assert origin_in(text) is None or text


def test_no_hint_anywhere_names_a_bare_package() -> None:
    assert "homeostat[" not in install_command("clickhouse")
    files = [*(ROOT / "src/homeostat").rglob("*.py"), *(ROOT / "src/homeostat").rglob("*.md"), ROOT / "README.md"]
    files += (ROOT / "docs").rglob("*.md")
    bare = [file for file in files if "install 'homeostat[" in file.read_text() or "`homeostat[" in file.read_text()]
    assert [file for file in bare if file.name != "extras.py"] == []
