"""The study of the paper's claims: its jobs, their costs, its tables and figures (../README.md)."""
