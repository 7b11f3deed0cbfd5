"""Arrow's compute functions for the telemetry path.

pyarrow makes them when it is imported, so that a type checker sees none of them: here they are, as one name.
"""

import importlib
from typing import Any, Final

pc: Final[Any] = importlib.import_module("pyarrow.compute")
