"""Virtual time: the real control plane, run for hours in seconds and bit-identical for a seed. Used by tests."""

from homeostat.sim.loop import SimDeadlockError, VirtualLoop
from homeostat.sim.world import SimClock, SimIds, Simulation, run

__all__ = ["SimClock", "SimDeadlockError", "SimIds", "Simulation", "VirtualLoop", "run"]
