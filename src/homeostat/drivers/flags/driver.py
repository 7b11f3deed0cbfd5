"""The flags driver: actions over the flag service. It senses nothing: a changed flag announces itself."""

from collections.abc import Sequence

from homeostat.core.ports import Action, FlagControl, Sensor
from homeostat.drivers.flags.actions import DisableFlag, RestoreFlag
from homeostat.drivers.parts import DriverParts


class FlagsDriver:
    """Feature flags of Homeostat's own flag service."""

    name = "flags"

    def __init__(self, flags: FlagControl) -> None:
        self._actions: tuple[Action, ...] = (DisableFlag(flags), RestoreFlag(flags))

    @classmethod
    def build(cls, parts: DriverParts) -> "FlagsDriver":
        """The factory in ``drivers.BUILTIN``."""
        return cls(parts.flags)

    def sensors(self) -> Sequence[Sensor]:
        """None."""
        return ()

    def actions(self) -> Sequence[Action]:
        """``disable_flag`` and ``restore_flag``."""
        return self._actions
