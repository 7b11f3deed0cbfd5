"""A folder of links to our OpenTelemetry packages, for a program in another environment. Used by ``plan``.

The whole of our site-packages must not be seen by it: only what instrumentation needs, and behind its own libraries.
"""

import contextlib
import hashlib
import os
from importlib import metadata
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from homeostat.core.errors import BadRequestError
from homeostat.instrument.packages import extra_missing

ROOTS: Final = ("opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http")
PREFIX: Final = "opentelemetry-instrumentation"


def closure() -> dict[str, metadata.Distribution]:
    """Our instrumentation packages and all that they need, by canonical name. Raises BadRequestError without them."""
    installed = {canonicalize_name(found.name): found for found in metadata.distributions() if found.name}
    if ROOTS[0] not in installed:
        raise BadRequestError(extra_missing())
    waiting = [name for name in installed if name in ROOTS or name.startswith(PREFIX)]
    chosen: dict[str, metadata.Distribution] = {}
    while waiting:
        name = waiting.pop()
        if name in chosen or name not in installed:
            continue
        chosen[name] = installed[name]
        needs = [Requirement(text) for text in installed[name].requires or ()]
        waiting += [
            canonicalize_name(need.name)
            for need in needs
            if need.marker is None or need.marker.evaluate({"extra": ""})
        ]
    return chosen


def requirements() -> dict[str, list[Requirement]]:
    """What the bundle demands of each library it needs, by canonical name."""
    wanted: dict[str, list[Requirement]] = {}
    for found in closure().values():
        for text in found.requires or ():
            need = Requirement(text)
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                wanted.setdefault(canonicalize_name(need.name), []).append(need)
    return wanted


def make(cache: Path | None = None) -> Path:
    """Make the folder, once per set of versions, in the user's cache, and return its path. Raises OSError."""
    chosen = closure()
    marks = sorted(f"{name}=={found.version} {found.locate_file('')}" for name, found in chosen.items())
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "homeostat" / f"instrument-{hashlib.sha256(chr(10).join(marks).encode()).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    for found in chosen.values():
        for top in {path.parts[0] for path in found.files or () if path.parts[0] not in {"..", "__pycache__"}}:
            _link(folder / top, Path(str(found.locate_file(top))))
    return folder


def _link(link: Path, to: Path) -> None:
    if to.exists():
        with contextlib.suppress(FileExistsError):  # from an earlier run, or one at the same moment
            link.symlink_to(to)
