"""Benchmarks: each prints what it measured, and a ratio against something real in the same run."""
