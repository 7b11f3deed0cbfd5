"""Telemetry in: receivers, decoding, RED rollups, topology, and the pipeline that ties them to the store."""
