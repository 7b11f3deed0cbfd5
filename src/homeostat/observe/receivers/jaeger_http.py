"""Jaeger's collector over HTTP (port 14268): ``POST /api/traces`` with one Thrift batch, plain or gzip.

Made by ``foreign``.
"""

from typing import ClassVar, Final

from homeostat.observe.receivers.foreign_http import ForeignHttp
from homeostat.observe.receivers.jaeger_thrift import batch_of
from homeostat.observe.receivers.jaeger_translate import to_otlp
from homeostat.observe.receivers.translated import Translated

PATH: Final = "/api/traces"


def _translated(body: bytes) -> Translated:
    return Translated(to_otlp([batch_of(body)]))


_TYPES: Final = (
    "application/x-thrift",
    "application/vnd.apache.thrift.binary",
    "application/vnd.apache.thrift.compact",
)


class JaegerHttp(ForeignHttp):
    """The ASGI application."""

    path = PATH
    accepted = "Batches are"
    types = f"{', '.join(_TYPES[:-1])} or {_TYPES[-1]}"
    readers: ClassVar = dict.fromkeys((name.encode() for name in _TYPES), _translated)
