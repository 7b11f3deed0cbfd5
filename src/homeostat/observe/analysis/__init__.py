"""Answers computed from whole traces: pure functions over ``core`` models. The API calls them in a thread."""
