"""Timings as ratios: what is compared runs in one go, on one machine, in turns."""
