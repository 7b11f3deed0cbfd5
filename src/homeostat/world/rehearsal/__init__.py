"""Rehearsals: break the world in a known way, cycle after cycle, and write down what Homeostat did about it."""
