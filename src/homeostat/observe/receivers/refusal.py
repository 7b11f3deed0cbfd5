"""Why a request is not accepted, in the words of both OTLP transports. Used by ``otlp_http`` and ``otlp_grpc``.

The table is that of the OTLP specification 1.x, "Failures" for HTTP and gRPC: what must not be sent again is 400
(INVALID_ARGUMENT), what may be sent again is 503 (UNAVAILABLE) with a time to wait.
"""

from dataclasses import dataclass
from typing import Final

from homeostat.core.errors import HomeostatError, StoreError, StoreFullError, TelemetryRejectedError
from homeostat.observe.intake import OverloadedError

GRPC_INVALID_ARGUMENT: Final = 3
GRPC_DEADLINE_EXCEEDED: Final = 4
GRPC_NOT_FOUND: Final = 5
GRPC_RESOURCE_EXHAUSTED: Final = 8
GRPC_UNIMPLEMENTED: Final = 12
GRPC_INTERNAL: Final = 13
GRPC_UNAVAILABLE: Final = 14


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to say no. ``retry_after_s`` None means: do not send it again."""

    http_status: int
    grpc_code: int
    reason: str  # the word it is counted under
    message: str
    retry_after_s: int | None = None


class RefusedError(HomeostatError):
    """A request that a receiver refuses itself, before it reaches the intake."""

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.message)


def unknown_path(path: str, known: str) -> RefusedError:
    """``known`` is a sentence about what belongs where."""
    return RefusedError(
        Refusal(404, GRPC_NOT_FOUND, "unknown_path", f"Nothing is accepted at {path}. {known}"),
    )


def wrong_method() -> RefusedError:
    """Telemetry is sent with POST alone."""
    return RefusedError(Refusal(405, GRPC_UNIMPLEMENTED, "method", "Use POST."))


def wrong_type(types: str) -> RefusedError:
    """``types`` are the media types that are taken."""
    return RefusedError(Refusal(415, GRPC_INVALID_ARGUMENT, "content_type", f"Send Content-Type {types}."))


def refusal_of(error: HomeostatError) -> Refusal:
    """What to tell the sender."""
    match error:
        case RefusedError():
            return error.refusal
        case TelemetryRejectedError():
            return Refusal(400, GRPC_INVALID_ARGUMENT, "malformed", str(error))
        case StoreFullError():
            return Refusal(503, GRPC_UNAVAILABLE, "full", str(error), retry_after_s=5)
        case OverloadedError():
            return Refusal(503, GRPC_UNAVAILABLE, "overloaded", str(error), retry_after_s=1)
        case StoreError():
            return Refusal(503, GRPC_UNAVAILABLE, "store", str(error), retry_after_s=5)
        case _:
            return Refusal(500, GRPC_INTERNAL, "internal", str(error))
