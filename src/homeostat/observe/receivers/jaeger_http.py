"""Jaeger's collector over HTTP (port 14268): ``POST /api/traces`` with one Thrift batch, plain or gzip.

Made by ``foreign``.
"""

from typing import ClassVar, Final

from homeostat.observe.receivers.foreign_http import ForeignHttp, Translated
from homeostat.observe.receivers.jaeger_thrift import batch_of
from homeostat.observe.receivers.jaeger_translate import to_otlp

PATH: Final = "/api/traces"


def _translated(body: bytes) -> Translated:
    return Translated(to_otlp([batch_of(body)]))


class JaegerHttp(ForeignHttp):
    """The ASGI application."""

    path = PATH
    accepted = "Batches are"
    types = "application/x-thrift or application/vnd.apache.thrift.binary"
    readers: ClassVar = dict.fromkeys(
        (
            b"application/x-thrift",
            b"application/vnd.apache.thrift.binary",
            b"application/vnd.apache.thrift.compact",
        ),
        _translated,
    )
