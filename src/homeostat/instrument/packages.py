"""Which instrumentation package belongs to which library, by OpenTelemetry's own table. Used by ``plan``.

The table comes with ``opentelemetry-instrumentation`` (``bootstrap_gen``), in the version that is installed with us.
"""

from dataclasses import dataclass
from importlib import metadata
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from homeostat.core.errors import BadRequestError
from homeostat.extras import install_command

_NOT_ITSELF: Final = {"pydantic"}  # of Tortoise ORM's instrumentation


@dataclass(frozen=True, slots=True)
class Known:
    """A library that can be instrumented."""

    library: str  # canonical name; empty for the standard library
    versions: str  # that the instrumentation works with, as in a requirement; empty: any
    package: str  # of the instrumentation, canonical
    package_version: str

    def fits(self, version: str) -> bool:
        """Whether this version of the library can be instrumented."""
        try:
            return Requirement(f"x {self.versions}").specifier.contains(Version(version), prereleases=True)
        except (InvalidRequirement, InvalidVersion):
            return False


def extra_missing() -> str:
    """What to say without the extra ``instrument``."""
    return f"OpenTelemetry's auto-instrumentation is not installed here. Install it: {install_command('instrument')}"


def known() -> list[Known]:
    """The whole table. Raises BadRequestError without the extra ``instrument``."""
    try:
        from opentelemetry.instrumentation.bootstrap_gen import default_instrumentations, libraries
    except ImportError as error:
        raise BadRequestError(extra_missing()) from error
    rows = [_row(str(each["library"]), str(each["instrumentation"])) for each in libraries]
    rows = [row for row in rows if row.library not in _NOT_ITSELF]
    return rows + [_row("", str(name)) for name in default_instrumentations]


def _row(library: str, instrumentation: str) -> Known:
    wanted = Requirement(instrumentation)
    version = next((part.version for part in wanted.specifier), "")
    if not library:
        return Known("", "", canonicalize_name(wanted.name), version)
    needs = Requirement(library)
    return Known(canonicalize_name(needs.name), str(needs.specifier), canonicalize_name(wanted.name), version)


def ours() -> dict[str, str]:
    """Distributions that are installed with Homeostat: canonical name to version."""
    return {canonicalize_name(found.name): found.version for found in metadata.distributions() if found.name}
