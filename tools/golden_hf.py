"""Record what Hugging Face tokenizers answers for the crafted files of tools/hf_crafted.py.

    python -m tools.golden_hf           ask again, and write golden/huggingface/answers.json
    python -m tools.golden_hf --check   compare it with the library, writing nothing
    python -m tools.golden_hf --train   with new models: training is different every time

The file holds the trained models and the charsmap, of which `hf_crafted.files` makes the crafted
files, and for a few texts the ids, the places in characters and the text of the ids, all of it with
the post-processor.
"""

from __future__ import annotations

import json
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.golden.freshness import arguments, write_or_check
from tools.hf_crafted import charsmap, files, trained
from tools.oracles import HuggingFaceOracle

ANSWERS = Path(__file__).parents[1] / "golden" / "huggingface" / "answers.json"
PER_FILE = 3

TEXTS = (
    "The quick  brown fox's déjà-vu, 2024!",
    "<s>Quick fox</s> <mask>  jumps\r\n\t over",
    "e\u0301x\u0302\u0301 ½ ﬁ ａ か\u3099が\u200b日本",
    "we'll THEY'VE 'S\u017f don't  \n\n\n x",
    "foxes fox quit qu Qu<sep>  dog<|im_start|>",
    "a\u00a0b\u3000c ▁d▁▁e 12345 ٣Ⅷ² ①",
    "мир [CLS] привет [UNK] ##ing $~^`",
    "İSTANBUL ẞ ǅ Å 각 \U0001f468\u200d\U0001f469 \U00011935\U00011930",
    "x = foo_bar(1); // naïve\x00\x07\x1c\x85",
    "   <extra_id_0> hello world ok <pad>",
    "\u0301a\u0323\u0307 \u0344 \u0345 \ua7ce\U0001e6e3 ʕ",
    "jjjjjjjj qqqq ....",
)


def answer(oracle: HuggingFaceOracle, text: str, parse_special: bool) -> list[Any]:
    """Text, whether special tokens are read, ids, places in characters, and the ids' text."""
    oracle.tokenizer.encode_special_tokens = not parse_special
    found = oracle.tokenizer.encode(text)
    places = [at for place in found.offsets for at in place]
    return [text, parse_special, found.ids, places, oracle.decode(found.ids).decode()]


def record(models: dict[str, Any], small: str) -> dict[str, Any]:
    """Everything that the file holds, of the trained models and the charsmap."""
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for n, (name, file) in enumerate(files(models, small).items()):
            path = Path(folder) / "tokenizer.json"
            path.write_text(json.dumps(file))
            oracle = HuggingFaceOracle(path)
            texts = [TEXTS[(n * 5 + i * 7) % len(TEXTS)] for i in range(PER_FILE)]
            answers[name] = [answer(oracle, text, i % 2 == 1) for i, text in enumerate(texts)]
    oracle_name = f"tokenizers {version('tokenizers')}"
    return {"oracle": oracle_name, "models": models, "charsmap": small, "answers": answers}


def main() -> int:
    """Write, or compare."""
    parser = arguments(__doc__)
    parser.add_argument("--train", action="store_true", help="train the models anew")
    args = parser.parse_args()
    if args.train:
        found = record(trained(), charsmap())
    else:
        kept = json.loads(ANSWERS.read_text(encoding="utf-8"))
        found = record(kept["models"], kept["charsmap"])
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    return write_or_check(ANSWERS, text, args.check)


if __name__ == "__main__":
    sys.exit(main())
