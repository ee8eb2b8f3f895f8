"""From an answers table to thresholds, frontier, plots and report. Imports neither torch nor transformers."""
