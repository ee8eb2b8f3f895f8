"""From results to files, plots, report.html, the terminal and the logger."""
