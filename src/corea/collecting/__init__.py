"""The body of corea.collect: which tier answers which questions, what is kept, and the answers table."""
