"""What instrumenting an environment takes: what is there, missing or conflicting, and whether we can bring it.

Made for ``launch`` (which refuses what can't work) and ``doctor`` (which shows it).
"""

import platform
import sys
from enum import StrEnum
from typing import Final

from packaging.version import InvalidVersion, Version

from homeostat.core.errors import BadRequestError
from homeostat.core.models import Model
from homeostat.instrument.bundle import closure, requirements
from homeostat.instrument.packages import Known, extra_missing, known, ours
from homeostat.instrument.target import Target

CORE: Final = ("opentelemetry-distro", "opentelemetry-exporter-otlp-proto-http")


class Way(StrEnum):
    """Where the instrumentation comes from."""

    OWN = "own"  # from the program's own environment
    BUNDLED = "bundled"  # from Homeostat's, behind the program's own libraries


class LibraryState(StrEnum):
    """How it stands with one installed library."""

    READY = "ready"
    MISSING = "missing"  # no instrumentation package
    CONFLICT = "conflict"  # the instrumentation does not know this version of the library


class Library(Model):
    """A library of the program for which OpenTelemetry has instrumentation."""

    name: str  # empty: the standard library
    version: str
    package: str
    package_version: str  # empty: it is not there
    state: LibraryState
    needs: str = ""  # versions of the library that the instrumentation works with


class Plan(Model):
    """What will be done."""

    target: Target
    way: Way
    libraries: tuple[Library, ...]

    @property
    def missing(self) -> list[str]:
        """Packages that would bring the missing instrumentation."""
        found = {each.package for each in self.libraries if each.state is LibraryState.MISSING}
        return sorted(found)


def make_plan(target: Target) -> Plan:
    """Decide. Raises BadRequestError, with the remedy, where instrumenting can't work."""
    table, way = known(), _way(target)
    available = target.packages if way is Way.OWN else {name: dist.version for name, dist in closure().items()}
    libraries = [
        _library(row, target, available) for row in table if not row.library or row.library in target.packages
    ]
    return Plan(target=target, way=way, libraries=_best(libraries))


def _way(target: Target) -> Way:
    if all(name in target.packages for name in CORE):
        return Way.OWN
    wanted = sorted({*CORE, *_packages_for(target)})
    remedy = f"Install the instrumentation there: {target.install(wanted)}"
    if target.is_ours:
        raise BadRequestError(extra_missing())
    if target.implementation != sys.implementation.name or target.version[:2] != sys.version_info[:2]:
        raise BadRequestError(
            f"{target.python} is {target.implementation} {target.version_text}, Homeostat runs on "
            f"{sys.implementation.name} {platform.python_version()}: its packages do not fit there. {remedy}"
        )
    conflicts = _conflicts(target)
    if conflicts:
        raise BadRequestError(
            f"{target.python} has {', '.join(conflicts)}, which our own instrumentation can't work with. {remedy}"
        )
    return Way.BUNDLED


def _conflicts(target: Target) -> list[str]:
    """Libraries of the target that come before ours on its path and do not fit what ours need."""
    mine, found = ours(), list[str]()
    for name, needs in sorted(requirements().items()):
        version = target.packages.get(name)
        if version is None:
            continue
        if name.startswith("opentelemetry-") and version != mine.get(name):
            found.append(f"{name} {version} (ours is {mine.get(name)})")
        elif not all(_accepts(need.specifier.contains, version) for need in needs):
            found.append(f"{name} {version} (needed: {', '.join(sorted({str(need.specifier) for need in needs}))})")
    return found


def _accepts(contains: object, version: str) -> bool:
    try:
        return bool(contains(Version(version), prereleases=True)) if callable(contains) else False
    except InvalidVersion:
        return False


def _packages_for(target: Target) -> list[str]:
    return [row.package for row in known() if row.library in target.packages]


def _library(row: Known, target: Target, available: dict[str, str]) -> Library:
    version = target.packages.get(row.library, target.version_text) if row.library else target.version_text
    there = available.get(row.package, "")
    state = LibraryState.READY if there else LibraryState.MISSING
    if row.library and not row.fits(version):
        state = LibraryState.CONFLICT
    return Library(
        name=row.library, version=version, package=row.package, package_version=there, state=state, needs=row.versions
    )


def _best(libraries: list[Library]) -> tuple[Library, ...]:
    """One row per library and package: several version ranges may stand in the table, any of which may fit."""
    order = {LibraryState.READY: 0, LibraryState.MISSING: 1, LibraryState.CONFLICT: 2}
    best: dict[tuple[str, str], Library] = {}
    for each in sorted(libraries, key=lambda each: order[each.state]):
        best.setdefault((each.name, each.package), each)
    named = [each for each in best.values() if each.name]
    # what only works with the standard library is no news when it is not installed
    plain = [each for each in best.values() if not each.name and each.state is LibraryState.READY]
    return tuple(sorted(named, key=lambda each: each.name)) + tuple(sorted(plain, key=lambda each: each.package))
