"""Every test of the API starts from empty parts around a real state store."""

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from api_parts import HealerTable, Setup, TestClock

from homeostat.store.state import open_state


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncGenerator[Setup, None]:
    """Empty parts around a real state store."""
    async with open_state(tmp_path / "state.db", TestClock()).opened() as state:
        yield Setup(state=state, healer=HealerTable(state))
