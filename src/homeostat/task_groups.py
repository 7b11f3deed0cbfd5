"""What is said of a task group that failed. For those who run one: servers, the pipeline, a rehearsal's shows."""

from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def single_error() -> Generator[None]:
    """A task group that fails with one exception raises that one: callers can catch PortTakenError by its name."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if error is group:
            raise
        raise error from error.__cause__
