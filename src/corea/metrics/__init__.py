"""Calibration metrics of a confidence, and their intervals."""
