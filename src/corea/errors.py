"""User-facing errors. The command line prints them as one line."""


class UserError(ValueError):
    """A mistake in a command, a configuration or an input file: what, where, what is allowed, in one line. Exit 2."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a run that can continue later; the message says how. Exit 130."""


class SweepFailed(Exception):
    """Jobs of a sweep failed; all jobs have run. Exit 1."""
