"""The command line: one module for each verb, and what all verbs share.

Texts and ids may be `-` for standard input, and every verb takes `--json` for output that a program
reads. The exit code is 0, or 1 with one line on standard error that says what was wrong, 2 for a
command line that is not understood, 130 after Ctrl-C, 141 when the reader of the output went away.
"""

from spm.cli.main import main

__all__ = ["main"]
