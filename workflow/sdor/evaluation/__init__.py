"""How good a ranking is: metrics with intervals, localisation, the simulated expert."""
