"""Entry of `python -m corea.plan`."""

from corea.plan import main

main()
