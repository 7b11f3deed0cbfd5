"""Bodies and answers of the original's remediation interface, under its names. Used by ``api.flags``."""

from typing import Literal

from pydantic import BaseModel

from homeostat.core.models import Model
from homeostat.flags import EventResult

DEFAULT_TRIGGER = "manual"
"""Who changed a flag, where a request does not say."""


class FlagView(Model):
    """One line of ``GET /api/flags``."""

    flag: str
    value: bool
    armed: bool
    description: str


class FlagRequest(BaseModel):
    """Body of ``POST /api/remediation/feature-flag``."""

    flag: str
    value: bool
    reason: str | None = None
    problemId: str | None = None  # noqa: N815 - the original's names, here and below
    triggeredBy: str = DEFAULT_TRIGGER  # noqa: N815
    dtEnvironment: str | None = None  # noqa: N815
    dtToken: str | None = None  # noqa: N815


class BulkFlagRequest(BaseModel):
    """Body of ``POST /api/remediation/feature-flags/bulk``."""

    flags: dict[str, bool]
    reason: str | None = None
    problemId: str | None = None  # noqa: N815
    triggeredBy: str = DEFAULT_TRIGGER  # noqa: N815
    dtEnvironment: str | None = None  # noqa: N815
    dtToken: str | None = None  # noqa: N815


class FlagsAnswer(Model):
    """Present value of every flag."""

    ok: Literal[True] = True
    flags: dict[str, bool]
    timestamp: str


class FlagAnswer(Model):
    """A change that was made. ``eventDetails`` leaves out what there is nothing to say of."""

    ok: Literal[True] = True
    flag: str
    previousValue: bool  # noqa: N815
    newValue: bool  # noqa: N815
    reason: str | None
    triggeredBy: str  # noqa: N815
    eventSent: bool  # noqa: N815
    eventDetails: EventResult  # noqa: N815
    timestamp: str


class BulkChange(Model):
    """One change of several."""

    flag: str
    previousValue: bool  # noqa: N815
    newValue: bool  # noqa: N815


class BulkEvent(Model):
    """Whether Dynatrace was told of one of them."""

    flag: str
    eventSent: bool  # noqa: N815


class BulkAnswer(Model):
    """The changes that were made; flags that do not exist are left out."""

    ok: Literal[True] = True
    changes: list[BulkChange]
    events: list[BulkEvent]
    reason: str | None
    triggeredBy: str  # noqa: N815
    timestamp: str


class Refusal(Model):
    """A request that was not carried out: nothing has changed."""

    ok: Literal[False] = False
    error: str
    availableFlags: list[str] | None = None  # noqa: N815
