"""Calibration, ranking and cost metrics and their bootstrap. Pure functions of arrays; no input or output."""
