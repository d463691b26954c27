"""The lab: a cluster of simulated hosts on one machine."""
