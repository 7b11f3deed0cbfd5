"""The command line: one file per command group. Imports are made inside commands so that each starts at once."""
