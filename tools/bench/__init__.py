"""How fast spm is beside the other programs: every ratio comes from one process and one run.

    python -m tools.bench encode  --models llama2.model yi.model --texts war_and_peace.txt code.txt
    python -m tools.bench calls   --models llama2.model
    python -m tools.bench load    --models llama2.model llama2.gguf
    python -m tools.bench worst   --models llama2.model --texts war_and_peace.txt
    python -m tools.bench threads --models llama2.model --texts war_and_peace.txt code.txt

A model is a sentencepiece `.model` or a GGUF. A program that is not installed, or does not read
that file, is named as missing. SPM_ISA=avx512, avx2 or portable chooses the instructions of spm's
core when it is imported, so a table for each is one loop of the shell:

    for isa in avx512 avx2 portable; do SPM_ISA=$isa python -m tools.bench encode ...; done
"""
