"""Task groups that fail with the error itself. Used by ``pipeline`` and the HTTP receivers."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def single_error() -> Generator[None]:
    """A group of one exception becomes that exception, so that callers can catch PortTakenError by its name."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
