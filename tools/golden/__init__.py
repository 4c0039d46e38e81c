"""Golden files: what the reference libraries answered, and how to ask them again.

`python -m tools.golden` regenerates golden/ from sentencepiece and llama.cpp; `--check` compares
without writing. Nothing here imports spm: the expected values must not come from the code they
judge.
"""
