"""The answers table: its columns, reader, writer and wide form. Imports neither torch nor transformers."""
