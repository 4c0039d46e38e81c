"""Record what Hugging Face tokenizers answers for the tokenizer.json files that spm writes.

    python -m tools.golden_to_hf           ask again, and write golden/huggingface/written.json
    python -m tools.golden_to_hf --check   compare it with the library, writing nothing

Written are the vocabularies of golden/vocabs in each dialect that they offer, those of
golden/bpe.json, and one of Unigram; for each the file's sha256 and the ids of a few texts are kept,
or why there is no file. So a test without the library knows the answers about its own files.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from spm import DoubleBOSWarning, Tokenizer, VocabError
from spm.gguf import write_gguf
from tools.golden.freshness import arguments, write_or_check
from tools.golden_bpe import write as write_bpe

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = GOLDEN / "huggingface" / "written.json"
PER_FILE = 4
DIALECTS = {".gguf": ("llama.cpp", "sentencepiece"), ".model": ("sentencepiece",)}

TEXTS = (
    "Hello  wörld, it's 1234!",
    "  <s>a b</s> <unk> ab<x> ba",
    "日本語 안녕 ½ ﬁ e\u0301 İ",
    "def f(x):\n    return x\t\r\n\n",
    " ",
    "aaaaaaa hello playing unwanted",
    "[CLS] [MASK] ##ing <0x0A> ▁ \u3000\x85x",
)


def vocabularies(folder: Path) -> Iterator[tuple[str, Path, str]]:
    """A name, a file and a dialect of each."""
    for path in sorted((GOLDEN / "vocabs").iterdir()):
        for dialect in DIALECTS.get(path.suffix, ()):
            yield f"{path.name} {dialect}", path, dialect
    recorded = json.loads((GOLDEN / "bpe.json").read_text())
    for name in sorted(recorded.keys() - {"oracle"}):
        yield (
            f"bpe {name}",
            write_bpe(folder / f"{name}.gguf", recorded[name]["vocab"]),
            "llama.cpp",
        )
    for dialect in DIALECTS[".gguf"]:
        yield f"unigram {dialect}", write_unigram(folder / "unigram.gguf"), dialect
    for flag in (True, False):
        path = write_word_piece(folder / f"bert{flag}.gguf", flag)
        yield f"wordpiece {'un' * flag}cased", path, "llama.cpp"


def write_unigram(path: Path) -> Path:
    """The Unigram model of golden/huggingface as a GGUF; <pad>, </s> and <unk> come first."""
    vocab = json.loads((GOLDEN / "huggingface/answers.json").read_text())["models"]["unigram"]
    pieces, scores = zip(*vocab["vocab"])
    keys = {
        "scores": np.array([*scores, 0], np.float32),
        "token_type": np.array([3, 3, 2, *[1] * (len(pieces) - 3), 4], np.int32),
        "add_space_prefix": True,
        "remove_extra_whitespaces": True,
    }
    return _written(path, model="t5", tokens=[*pieces, "<x>"], **keys)


def write_word_piece(path: Path, lowercase: bool) -> Path:
    """Pieces as llama.cpp's converter spells them."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = "▁play ing ▁un want ed ▁he ▁Hello l lo ▁, ▁! ▁# ▁[ ▁] ▁日 ▁本 ▁e ▁İ ▁i ▁1 2 3 4 ▁ᅡ"
    spelled = [*special, *pieces.split(), "▁ᄋ", "▁x"]
    keys = {
        "token_type": np.array([3] * 5 + [1] * (len(spelled) - 5), np.int32),
        **{f"{role}_token_id": i for i, role in enumerate(("padding", "unknown", "bos"))},
        "seperator_token_id": 3,
        "mask_token_id": 4,
        "normalizer.lowercase": lowercase,
    }
    return _written(path, model="bert", tokens=spelled, **keys)


def _written(path: Path, **keys: Any) -> Path:
    named = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    write_gguf(path, {"general.architecture": "llama", **named}, {})
    return path


def opened(path: Path, dialect: str) -> Tokenizer:
    """The original."""
    from_file = Tokenizer.from_gguf if path.suffix == ".gguf" else Tokenizer.from_sentencepiece
    return from_file(path, dialect=dialect)


def texts_of(n: int, dialect: str) -> list[tuple[str, bool]]:
    """Some texts for the n-th vocabulary, and whether special pieces are read."""
    texts = (TEXTS[(n * 3 + i) % len(TEXTS)] for i in range(PER_FILE))
    return [(text, dialect == "llama.cpp" and i % 2 == 1) for i, text in enumerate(texts)]


def record() -> dict[str, Any]:
    """Everything that the file holds."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n, (name, path, dialect) in enumerate(vocabularies(Path(folder))):
            target = Path(folder) / "tokenizer.json"
            try:
                tok = opened(path, dialect)
            except VocabError:
                continue  # the dialect is not offered
            try:
                tok.to_hf(target)
            except VocabError as error:
                found[name] = str(error).partition(": ")[2]
            else:
                found[name] = answered(target, texts_of(n, dialect))
    return {"oracle": f"tokenizers {version('tokenizers')}", "files": found}


def answered(path: Path, texts: list[tuple[str, bool]]) -> dict[str, Any]:
    """The ids of the library, with what it puts around a text."""
    import tokenizers

    tok = tokenizers.Tokenizer.from_file(str(path))
    answers = []
    for text, parse_special in texts:
        tok.encode_special_tokens = not parse_special
        answers.append([text, parse_special, tok.encode(text).ids])
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "answers": answers}


def main() -> int:
    """Write, or compare."""
    args = arguments(__doc__).parse_args()
    warnings.simplefilter("ignore", DoubleBOSWarning)
    text = json.dumps(record(), ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    text = text.replace('},"', '},\n"')
    return write_or_check(ANSWERS, text, args.check)


if __name__ == "__main__":
    sys.exit(main())
