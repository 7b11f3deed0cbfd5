"""Control state: issues, incidents, the journal of runs, flags and settings. ``app`` opens it with ``open_state``."""

from homeostat.store.state.sqlite import SqliteStateStore, open_state

__all__ = ["SqliteStateStore", "open_state"]
