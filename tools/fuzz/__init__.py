"""Inputs that nobody wrote, by the million: the compiled core and the readers under sanitizers.

    python -m tools.fuzz --minutes 60
    python -m tools.fuzz --minutes 5 --folder build/fuzz encode gguf

Each target gets an equal share of the time and one line: executions, edges covered, findings. The
C++ targets are compiled with AddressSanitizer and UndefinedBehaviorSanitizer, `threads` with
ThreadSanitizer; they hold the core against definitions written down once more (reference.hpp). The
Python targets run under atheris: nothing but an SpmError may come out of the readers, and the
specification, the core and sentencepiece must agree. A finding is cut down to the smallest input
that still shows it, left in FOLDER/findings, and makes the exit code 1.
"""
