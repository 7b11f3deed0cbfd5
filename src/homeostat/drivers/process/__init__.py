"""Operating-system processes that a pid file names: their death is seen at once, and they can be started again."""
