"""Resource ids: ``kind:name``, the one way to name a thing that can be observed or acted upon."""

from collections.abc import Mapping
from typing import NamedTuple

from homeostat.core.errors import BadRequestError


class ResourceId(NamedTuple):
    """The two halves of ``kind:name``, e.g. ``process:payment`` or ``flag:errorInjectionEnabled``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    @classmethod
    def parse(cls, text: str) -> "ResourceId":
        """Split ``kind:name``. Raises BadRequestError when either half is missing."""
        kind, colon, name = text.partition(":")
        if not (kind and colon and name):
            raise BadRequestError(f"{text!r} is not a resource id. Write kind:name, for example process:payment.")
        return cls(kind, name)


HOST = "host:local"
"""The machine that Homeostat and the processes that it watches run on."""


def service(name: str) -> str:
    """The resource id of a service as telemetry names it (``service.name``)."""
    return str(ResourceId("service", name))


def process(name: str) -> str:
    """The resource id of an operating-system process that the configuration names."""
    return str(ResourceId("process", name))


def flag(key: str) -> str:
    """The resource id of a feature flag."""
    return str(ResourceId("flag", key))


def service_name(resource: str, process_services: Mapping[str, str]) -> str:
    """The ``service.name`` under which a resource sends telemetry; of a process, its own name where none is given.

    Raises BadRequestError for what is no ``kind:name``.
    """
    kind, name = ResourceId.parse(resource)
    return process_services.get(name, name) if kind == "process" else name
