"""Whole-trace tail sampling: holds the spans of a trace until it can be decided, and remembers what was decided."""
