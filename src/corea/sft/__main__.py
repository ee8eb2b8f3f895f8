"""Runs `python -m corea.sft`."""

from corea.sft import main

main()
