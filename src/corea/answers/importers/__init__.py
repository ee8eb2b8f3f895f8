"""Files that other tools write, as rows of the answers table: one module per format, detected by content."""
