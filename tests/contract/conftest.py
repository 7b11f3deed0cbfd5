"""Real processes for the driver tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.processes import Patients


@pytest.fixture
def patients(tmp_path: Path) -> Iterator[Patients]:
    found = Patients(tmp_path)
    yield found
    found.stop()
