"""Inputs that nobody wrote, by the million: the compiled core and the readers under sanitizers.

    python -m tools.fuzz --minutes 60
    python -m tools.fuzz --minutes 5 --folder build/fuzz encode gguf

Each target gets an equal share of the time and one line: executions, edges covered, findings. The
C++ targets are compiled with AddressSanitizer and UndefinedBehaviorSanitizer, `threads` and `pool`
with ThreadSanitizer; they hold the core against definitions written down once more (reference.hpp,
weights.hpp). The Python targets run under atheris: nothing but an SpmError may come out of the
readers, and the specification, the core and sentencepiece must agree. A finding is cut down to the
smallest input that still shows it, left in FOLDER/findings, and makes the exit code 1.

`kernels` and `engine` compile a Llama's kernels for every kind of processor: minutes, the first
time. What these do on ARM is seen by `python -m tools.fuzz.arm`.
"""
