"""What surrounds the loop: checkpoints, processes, alarms, progress, figures of a step."""
