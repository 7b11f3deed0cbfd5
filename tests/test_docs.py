"""The documents say what the product does: each setting, command and endpoint is in them, and links lead on."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel

from homeostat.cli.main import app
from homeostat.core.config import Config
from homeostat.core.sampling import Policy

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)


def _settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield f"{prefix}{name}"
        if f"{prefix}{name}" == "sampling.policies":
            continue  # docs/sampling.md has them
        for inner in _models_in(field.annotation):
            yield from _settings(inner, f"{prefix}{name}.")


@pytest.mark.parametrize("setting", sorted(_settings(Config)))
def test_every_setting_is_documented(setting: str) -> None:
    assert f"`{setting}`" in _read("docs/configuration.md")


def test_every_documented_setting_exists() -> None:
    documented = set(re.findall(r"^\| `([a-z_.]+)` ", _read("docs/configuration.md"), re.MULTILINE))
    assert documented <= set(_settings(Config))


def test_every_sampling_policy_and_its_keys_are_documented() -> None:
    rows = {row.split("`")[1]: row for row in _read("docs/sampling.md").splitlines() if row.startswith("| `")}
    policies = {
        field.alias or name: field for name, field in Policy.model_fields.items() if name not in {"name", "type"}
    }
    assert set(policies) | {"always_sample", "trace_flags"} == set(rows)
    for kind, field in policies.items():
        (settings,) = _models_in(field.annotation)
        assert not [key for key in settings.model_fields if f"`{key}`" not in rows[kind]]


def _commands(group: typer.Typer) -> Iterator[str]:
    for command in group.registered_commands:
        assert command.name
        yield command.name
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        for name in _commands(inner.typer_instance):
            yield f"{inner.name} {name}"


@pytest.mark.parametrize("command", sorted(_commands(app)))
def test_every_command_is_documented(command: str) -> None:
    assert f"homeostat {command}" in _read("docs/cli.md")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    broken = [
        target
        for target in LINK.findall(document.read_text(encoding="utf-8"))
        if not (document.parent / target).exists()
    ]
    assert not broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_path_of_one_machine(document: Path) -> None:
    assert not re.search(r"/(work|root|home)/", document.read_text(encoding="utf-8"))
