"""The vocabulary: frozen models and Protocols. No I/O here, and nothing of ours is imported."""
