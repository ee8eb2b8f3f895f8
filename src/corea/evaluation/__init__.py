"""From an answers table to the results of an evaluation. Reads files, writes none."""
