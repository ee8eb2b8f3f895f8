"""What the loop uses: checkpoints, processes, alarms, progress, metrics, and the files that a run writes."""
