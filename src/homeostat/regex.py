"""Says what is wrong with a regular expression in RE2's syntax. Used by ``config`` for ``logs.masks``."""

import re


def regex_problem(regex: str) -> str | None:
    """Why an expression cannot be used as a mask, to be read behind it; None where it can."""
    import pyarrow as pa  # takes a tenth of a second to load, and most configurations have no masks
    import pyarrow.compute as pc

    sample = pa.array(["", " a-1 b_2 /c: "])
    try:
        without = pc.replace_substring_regex(sample, pattern=regex, replacement="")  # pyright: ignore[reportAttributeAccessIssue]
        marked = pc.replace_substring_regex(sample, pattern=regex, replacement="?")  # pyright: ignore[reportAttributeAccessIssue]
    except pa.ArrowInvalid as error:
        return f"is no regular expression ({re.sub('^Invalid regular expression: ', '', str(error))})"
    if any(
        more.as_py() != text.as_py() and less.as_py() == text.as_py()
        for text, less, more in zip(sample, without, marked, strict=True)
    ):
        return "matches where there is nothing"
    return None
