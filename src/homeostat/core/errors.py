"""The error tree. Every message tells its reader what to do.

HomeostatError
├── ConfigError            a configuration that cannot be used; carries every problem with its place
├── PortTakenError         an address that something else listens on
├── ListenError            an address that can't be listened on for another reason
├── NotFoundError          an id that names nothing
├── BadRequestError        input that was understood and is wrong
├── ConflictError          a request that the present state does not allow
├── TooManyError           more than may stand at once: end some, or try again later
├── TryAgainError          a right request that cannot be taken now, of a program that sends it again by itself
├── StoreError
│   ├── StoreFullError     the disk (or the configured bound) is full: retry later, nothing acknowledged is lost
│   └── StoreCorruptError  a file that cannot be read back
├── TelemetryRejectedError a payload that OTLP says must be refused for good (malformed, too large)
├── NotifyError            somebody who is to be told (an Alertmanager) cannot be reached or refuses
└── ActionError            an action that could not be carried out
    └── InDoubtError       an action that may or may not have happened: a person has to look
"""

from dataclasses import dataclass


class HomeostatError(Exception):
    """Root of every error that Homeostat raises on purpose."""


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing wrong in one place of a configuration file."""

    file: str
    line: int
    key: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.message}. {self.remedy}"


class ConfigError(HomeostatError):
    """A configuration that cannot be used. ``problems`` holds all of them, not only the first."""

    def __init__(self, problems: list[ConfigProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class PortTakenError(HomeostatError):
    """An address that something else listens on; the message names the holder where it can be seen."""


class ListenError(HomeostatError):
    """An address that can't be listened on; the message says why and which setting to change."""


class NotFoundError(HomeostatError):
    """An id that names nothing."""


class BadRequestError(HomeostatError):
    """Input that was understood and is wrong."""


class ConflictError(HomeostatError):
    """A request that the present state does not allow: it may be right a moment later, or was a moment ago."""


class TooManyError(HomeostatError):
    """More than may stand at once; the message says of what, and how to make room."""


class TryAgainError(HomeostatError):
    """The same request will be taken later. For senders that come again after a 503, and after a 429 do not."""


class StoreError(HomeostatError):
    """The store could not do what it was asked."""


class StoreFullError(StoreError):
    """No room left: the sender should retry later. Nothing acknowledged has been lost."""


class StoreCorruptError(StoreError):
    """A file that cannot be read back. The message names it and what was kept."""


class TelemetryRejectedError(HomeostatError):
    """A payload that must be refused for good; sending it again would not help."""


class NotifyError(HomeostatError):
    """Somebody who is to be told cannot be reached or refuses."""


class ActionError(HomeostatError):
    """An action that could not be carried out."""


class InDoubtError(ActionError):
    """An action that may or may not have happened. A person has to look."""
