# What people and CI run. `just` comes with `pip install -e '.[dev]'`.

set windows-shell := ["powershell.exe", "-NoLogo", "-Command"]

python := if os_family() == "windows" { "python" } else { "python3" }

# Style, types, and the one-way flow of data
check:
    ruff format --check .
    ruff check .
    mypy
    lint-imports

# The tests; with real data beside the checkout (SPM_SHARED) they test more
test *args:
    {{python}} -m pytest {{args}}

# The tests without the compiled core
[unix]
test-pure *args:
    SPM_NATIVE=0 SPM_EXPECT="pure Python" {{python}} -m pytest {{args}}

# gguf, vocab and text are covered to the last branch by the project's own tests, without real data;
# the two runs side by side
[unix]
coverage:
    #!/usr/bin/env bash
    set -euo pipefail
    export SPM_SHARED=nowhere
    SPM_NATIVE=1 coverage run -p -m pytest -q -x tests/test_native.py tests/test_fast.py tests/test_native_decode.py tests/test_native_unigram.py tests/test_fast_bpe.py tests/test_families.py tests/test_tokenizer.py &
    SPM_NATIVE=0 SPM_EXPECT="pure Python" coverage run -p -m pytest -q -x
    wait $!
    coverage combine -q
    coverage report --include='spm/gguf/*,spm/vocab/*,spm/text/*' --fail-under=100 --show-missing --skip-covered

# Make the golden ids and texts again from the references that are installed
golden:
    {{python}} -m tools.golden

# Compare the golden files with the references, writing nothing
golden-check:
    {{python}} -m tools.golden --check

# Hold spm against the references on made strings: just differential --count 20000 a.model b.gguf
differential *args:
    {{python}} -m tools.differential {{args}}

# The speed table, beside the programs that are installed: just bench encode --models a.model --texts b.txt
bench *args:
    {{python}} -m tools.bench {{args}}

# Inputs that nobody wrote, under sanitizers: just fuzz --minutes 60 (needs clang's libFuzzer, and atheris)
[unix]
fuzz *args:
    {{python}} -m tools.fuzz {{args}}
