"""Synthetic traffic of a company or of a customer's site, as Suricata would log it; the truth about it is kept apart.

    simulation = Simulation(Parameters(site="core"), seed=1)
    simulation.lines(start, end)    EVE lines of the flows that begin in this window
    simulation.truth(start, end)    what their sessions really were: never part of any line
    simulation.rule_file()          the rules its sensors run, to be declared beside the lines

`docs/simulator.md` says what is simulated and what the parameters mean.
"""

from traffic.simulator.parameters import Parameters
from traffic.simulator.simulation import Simulation, Truth
from traffic.simulator.sites import SITES, SYNTHETIC, Site
from traffic.simulator.vocabulary import Kind

__all__ = ["SITES", "SYNTHETIC", "Kind", "Parameters", "Simulation", "Site", "Truth"]
