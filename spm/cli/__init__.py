"""The command line: one module for each verb, and what all verbs share.

Every verb takes `-` for standard input and `--json` for output that a program reads. The exit code
is 0, or 1 with one line on standard error that says what was wrong, or 2 for a command line that is
not understood.
"""

from spm.cli.main import main

__all__ = ["main"]
