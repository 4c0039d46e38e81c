"""Write golden/bpe.json: small BPE vocabularies, and what llama.cpp answers with them.

    python -m tools.golden_bpe [--check]

The vocabularies stand in the file as metadata of a GGUF, which is written by `spm.gguf`; every
answer is llama.cpp's. `null` is where it ended its process.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from spm.gguf import write_gguf
from tools.golden.freshness import arguments, write_or_check
from tools.golden.oracles import RefusedError, ask

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "bpe.json"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)

Piece = tuple[str, int]

VISIBLE: Final = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
HIDDEN: Final = [byte for byte in range(0x100) if byte not in VISIBLE]
LETTERS: Final = [  # GPT-2's, by byte
    chr(byte) if byte in VISIBLE else chr(0x100 + HIDDEN.index(byte)) for byte in range(0x100)
]


def _pieces(words: str, kind: int = NORMAL) -> list[Piece]:
    return [(word, kind) for word in words.split()]


ALPHABET: Final = [(letter, NORMAL) for letter in LETTERS]
SPECIAL: Final = [
    *_pieces("<s> </s> <|x|>", CONTROL),
    *_pieces("<unk>", UNKNOWN),
    *_pieces("<u> bcd", USER_DEFINED),
]

LOWER: Final = ["l o", "e r", "lo w", "Ġ low", "Ġlow er"]  # the example of spm/text/bpe.py

VOCABS: Final[dict[str, dict[str, Any]]] = {
    "example": {
        "pre": "gpt-2",
        "pieces": ALPHABET + _pieces("lo er low Ġlow Ġlower") + SPECIAL,
        "merges": LOWER,
    },
    "ranks": {  # ow comes about in two ways, of which one has a rank; aa again and again; ties
        "pre": "gpt-2",
        "pieces": ALPHABET + _pieces("low ow aa aaa aaaa ab abc bc Ãi") + SPECIAL,
        "merges": ["a a", "o w", "lo w", "aa aa", "b c", "a bc", "a b", "ab c", "a a", "Ã i"],
    },
    "lossy": {  # merges that make no piece, letters that are no pieces, lines that are no merges
        "pre": "gpt-2",
        "pieces": [p for p in ALPHABET if p[0] not in "qzĠ"] + _pieces("ef") + SPECIAL,
        "merges": ["x y", "q r", "e f", "ef", " g", "g h i", "", "t u\0v"],
    },
    "whole": {
        "pre": "llama-bpe",
        "pieces": ALPHABET + _pieces("hello Ġhello ll he 123 ĊĊ") + SPECIAL,
        "merges": ["h e", "l l"],
        "add_eos_token": True,
        "eos_token_id": 20,
    },
    "shown": {  # what ids decode to
        "pre": "qwen2",
        "pieces": [
            *ALPHABET, *SPECIAL, ("Ġa▁b", NORMAL), ("日本", NORMAL), ("x\u0100y z", NORMAL),
            ("unused", UNUSED), ("<0x41>", BYTE), ("<0xFF>", BYTE), ("Ġuser", USER_DEFINED),
        ],
        "merges": [],
        "add_bos_token": True,
        "bos_token_id": 256,
        "add_space_prefix": True,
    },
    "lines": {
        "model": "gemma4",
        "pieces": [
            *_pieces("<pad> <bos> <eos>", CONTROL), *_pieces("a b c é ▁ ab ▁a ▁▁ . ' s ?"),
            ("\n", NORMAL), ("\n\n", NORMAL), ("\n\n\n", NORMAL), ("\n\n\n\n", NORMAL),
            *_pieces("<0xE6> <0x97> <0x0D> <0x41>", BYTE),
            *SPECIAL,
        ],
        "merges": ["a b", "▁ a", "▁ ▁", "\n \n"],
        "add_bos_token": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}  # fmt: skip

TEXTS: Final = [
    "", " ", "lower", " lower", " lower lower", "low er lowlower", "llow", "ow low",
    "aaaaaaaa aaa aaaaa", "abc abcabc abc", "xy qr ef ghi tuv", "xyz q z ",
    "hello hello  hello\n\nhello", "1234 123", "éÃi", "<s>low<s> low</s>", "a<u> <u>b<|x|>",
    "abcd bcde", "<unk>a", "ab a  a   a\nab\n\n\na\n\n\n\n\n\na", "\n",
    "日本 é\u3000z\u0085", "it's . ' a ?", "\0a", "A",
]  # fmt: skip
BYTES: Final = [
    "6180c08062",
    "eda080ff61",
    "e6",
    "e697",
    "f09f9820",
    "61f4908080",
    "f8808080",
    "c1a1",
]


def write(path: Path, vocab: dict[str, Any]) -> Path:
    """The GGUF of one of VOCABS, as it stands in the golden file."""
    keys = {"model": "gpt2", **vocab}
    texts, types = zip(*keys.pop("pieces"))
    metadata = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    if not keys["merges"]:
        metadata["tokenizer.ggml.merges"] = [""]
    metadata["tokenizer.ggml.tokens"] = list(texts)
    metadata["tokenizer.ggml.token_type"] = np.array(types, np.int32)
    write_gguf(path, {"general.architecture": "llama", **metadata}, {})
    return path


def spaced_texts() -> list[str]:
    """Texts with many of the cases in which spaces are removed."""
    rng = random.Random(1)
    made = ["".join(rng.choices("  ''?!.,smretvdla", k=rng.randint(1, 14))) for _ in range(200)]
    return [*made, "a 't b 'd c 'll d 're e 've f 's g 'm h 'x", " ' ' '", " ' . 's !", "a ' s"]


def answers(name: str, vocab: dict[str, Any]) -> dict[str, list[Any]]:
    """Encodings of all texts, decodings of the ids and of every single one."""
    data = [*(text.encode() for text in TEXTS), *map(bytes.fromhex, BYTES)]
    encodings = [["encode", text.hex(), add, parse] for text in data for add, parse in WAYS]
    rng = random.Random(name)
    n = len(vocab["pieces"])
    lists = [[i] for i in range(n) if vocab["pieces"][i] not in ALPHABET or i % 16 == 0]
    lists += [rng.choices(range(n), k=5) for _ in range(30)]
    decodings = [["decode", ids, *way] for ids in lists for way in ((True, False), (False, True))]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "v.gguf", vocab)
        found = ask(path, [*encodings, *decodings])
        cleaned = ask(path, [["decode", list(t.encode()), True, False] for t in spaced_texts()])
    asked = [[*question[1:], answer] for question, answer in zip([*encodings, *decodings], found)]
    made = {"encode": asked[: len(encodings)], "decode": asked[len(encodings) :]}
    if name == "example":  # its first ids are bytes
        made["cleaned"] = [[t, bytes.fromhex(x).decode()] for t, x in zip(spaced_texts(), cleaned)]
    return made


WAYS: Final = ((False, False), (True, True))  # add_special, parse_special


def golden() -> str:
    """The whole file."""
    lines = [f'"oracle": {json.dumps("llama-cpp-python " + version("llama-cpp-python"))}']
    for name, vocab in VOCABS.items():
        found = {"vocab": vocab, **answers(name, vocab)}
        parts = [f" {json.dumps(key)}: {_packed(value)}" for key, value in found.items()]
        lines.append(f"{json.dumps(name)}: {{\n" + ",\n".join(parts) + "\n}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _packed(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def main() -> int:
    """Write the file, or compare it; exit code 1 where it is stale."""
    args = arguments(__doc__).parse_args()
    try:
        made = golden()
    except RefusedError as error:
        print(error)
        return 1
    return write_or_check(GOLDEN, made, args.check)


if __name__ == "__main__":
    sys.exit(main())
