"""Homeostat keeps running systems in balance: observe, detect, decide, act, verify, learn."""

__version__ = "0.1.0"
