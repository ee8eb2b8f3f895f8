"""The answers table: its columns, reading and writing it, and its wide form. Imports neither torch nor transformers."""
