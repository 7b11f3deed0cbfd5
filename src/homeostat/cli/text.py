"""Text that came from elsewhere, safe for a terminal. Used by the commands that show log records."""

import re
from datetime import datetime
from typing import Final, cast

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What could move the cursor, change colours, answer in the user's name, or turn the writing around."""


def one_line(text: str) -> str:
    """The text without control characters: they are written as Python writes them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def log_line(record: dict[str, object]) -> str:
    """A record of the API on one line; further lines of its body are set in."""
    when = datetime.fromisoformat(str(record["time"])).astimezone().strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    said = str(record["body"]) or str(record["event_name"])
    lines = [one_line(line) for line in said.splitlines()] or [""]
    attributes = cast("dict[str, str]", record["attributes"])
    further = [f"{one_line(key)}={one_line(value)}" for key, value in attributes.items()]
    if record["trace_id"] is not None:
        further.append(f"trace={record['trace_id']}")
    tail = f"  ({', '.join(further)})" if further else ""
    head = f"{when} {str(record['severity']).upper():<11} {one_line(str(record['service']))}: {lines[0]}{tail}"
    return "\n".join([head, *(f"    {line}" for line in lines[1:])])
