"""nginx: its access log as server spans."""
