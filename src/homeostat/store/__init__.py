"""What must survive: control state (``state``) and telemetry (``telemetry``). Of ours, only ``core`` is imported."""
