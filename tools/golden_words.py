"""Write golden/words.json: what llama.cpp's own code says about words and characters.

    python -m tools.golden_words /path/to/llama.cpp [--check]

llama.cpp has no call that shows its words, so src/unicode.cpp is compiled into a small library, and
names, flags and patterns are read out of src/llama-vocab.cpp. Nothing here imports spm.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.golden.freshness import arguments, write_or_check

GOLDEN = Path(__file__).parents[1] / "golden" / "words.json"
VERSION = "llama.cpp of llama-cpp-python 0.3.36"

SHIM = r"""
#include "unicode.h"
// The number of code points of each word goes to `sizes`; returns how many words there are.
extern "C" long words(const char * text, long n, const char ** patterns, long count, long * sizes) {
    std::vector<std::string> all(patterns, patterns + count);
    long i = 0;
    for (auto & word : unicode_regex_split(std::string(text, n), all, false)) {
        sizes[i++] = unicode_cpts_from_utf8(word).size();
    }
    return i;
}
extern "C" unsigned flags(unsigned point) { return unicode_cpt_flags_from_cpt(point).as_uint(); }
extern "C" unsigned lower(unsigned point) { return unicode_tolower(point); }
extern "C" unsigned nfd(unsigned point) { return unicode_cpts_normalize_nfd({point})[0]; }
"""

TEXTS = [
    "Hello, world! It's 2024, isn't it? WE'RE DONE; THEY'LL'VE 'S 'x",
    "camelCase HTMLParser iPhone aB ABc ZZZz ÑANDÚ Größe ǅ ªA Aª µm ʰ",
    "1 12 123 1234 12345 1234567 0.5 1,000,000 3rd x1y22z333 ½²Ⅷ ٠١٢٣ ５６７８ 1２3４5 12３456７89",
    "  two   three    four     five\t\ttab \n\n\n nl \r\n\r\n  \n x\n\n  y   ",
    " \u00a0nbsp\u3000wide\u2009thin\u0085nel\u2028ls\u200bzw\ufeffbom\x0b\x0c\x1c\x1f",
    "!!! ?!... (a) [b] {c} <d> a/b//c \\ ^_^ `x` ~/.bashrc $5 #1 @me a_b --flag=1|2&3*4+5",
    "!\n ?\r\n ./\n/ //\r\n/ ...\n\n\n a!\n",
    "漢字とひらがなとカタカナ、ﾊﾝｶｸ。「引用」々〇豈 𠀀\ufa6e\U0002a6df 中文，标点！…“引号”—",
    "한국어 문장 ㄱㄴㄷ ㅏ \u1100\u1161 注音ㄅㄆㄇ ⼀ \ua9e0 ꩠ",
    "ภาษาไทย น้ำ ก็ ລາວ ខ្មែរ မြန်မာ हिन्दी कि বাংলা தமிழ் العربية، نص۔ עברית",
    "e\u0301 \u0301a a\u0308\u0301b \u20dd\u0301Z \u0301Z n\u0303'S",
    "Привет, МИР! ПриветМир αβγ ΑΒΓ ὈΔΥΣΣΕΎΣ ϊ Ωm K \u1f7d",
    "😀 👨‍👩‍👧 👍🏽x ❤️ 🇩🇪!",
    "\u0378\ue000\U000e0080\U0010ffff \x00\x01\x7f\x80 \u00ad a\u0378b 1\u03782",
    "€5 £ ± © → ∑ ¬ ´ ¨ « » ¿ § · ‘x’ ‚ ‛ ₿ ．／：～ \u3000。",
    "<sentinel:12> IMGIMGABZ IMGIMGABCDEZ IMGIMGZ\t    x  y   z",
    "a b c  d e\u0301 f g\u0301 h 1 i j'll k",
    " ' 's 'S't 'd'D ''s x'y l'amour O'Neil’s 'REx 'vE",
    "".join(" " * n + "x" for n in (2, 3, 4, 5, 8, 9, 16, 17, 33, 130)),
    "def f(x):\n    return x**2  # 二乗\n\n\tif __name__ == '__main__':\n        f(10_000)",
    "x = {'a': [1, 2.5e-10], \"b\": None};  // ok\r\n\r\n}",
    " ", "\n", "a", "1", "!", " a", "a ", "\n\na", "  ", " \n", "\u3000",
]  # fmt: skip


def names_and_patterns(source: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The flags of each name with its kind, and the patterns of each kind."""
    switch = source[source.index("switch (vocab.get_pre_type())") :]
    switch = switch[: switch.index("struct llm_tokenizer_bpe_session")]
    patterns: dict[str, list[str]] = {}
    kinds: list[str] = []
    for case in re.split(r"\b(?=case LLAMA_VOCAB_PRE_TYPE_\w+:|default:)", switch)[1:]:
        named = re.match(r"case LLAMA_VOCAB_PRE_TYPE_(\w+):", case)
        kinds.append(named[1] if named else "DEFAULT")
        if "regex_exprs" in case:
            body = case[case.index("regex_exprs") : case.index("break")]
            found = [_unescaped(one) for one in _string_literals(body)]
            patterns |= dict.fromkeys(kinds, found)
            kinds = []
    chain = source[source.index("// for now, only BPE models have pre-tokenizers") :]
    chain = chain[: chain.index("unknown pre-tokenizer type")]
    names = {}
    for block in chain.split("} else if (")[1:]:
        for name in re.findall(r'tokenizer_pre == "([^"]+)"', block):
            kind = re.search(r"pre_type = LLAMA_VOCAB_PRE_TYPE_(\w+)", block)
            assert kind
            flags = dict(re.findall(r"(\w+)\s*= (true|false|LLAMA_TOKEN_NULL);", block))
            flags.pop("lowercase", None)
            names[name] = {"kind": kind[1], **{key: flags[key] for key in sorted(flags)}}
    return names, patterns


def _string_literals(body: str) -> Iterator[str]:
    for line in body.splitlines():
        if not line.lstrip().startswith("//"):
            yield from re.findall(r'"((?:[^"\\]|\\.)*)"', re.sub(r",\s*//.*$", ",", line))


def _unescaped(literal: str) -> str:
    known = {"n": "\n", "r": "\r", "t": "\t"}
    return re.sub(r"\\(.)", lambda match: known.get(match[1], match[1]), literal)


def library(source: Path, folder: Path) -> ctypes.CDLL:
    """The shim, compiled together with llama.cpp's two files."""
    (folder / "shim.cpp").write_text(SHIM)
    files = [folder / "shim.cpp", source / "unicode.cpp", source / "unicode-data.cpp"]
    target = folder / "libwords.so"
    options = ["-O2", "-shared", "-fPIC", "-std=c++17", f"-I{source}", "-o", str(target)]
    subprocess.run(["c++", *options, *map(str, files)], check=True)
    return ctypes.CDLL(str(target))


def sizes(lib: ctypes.CDLL, text: str, patterns: list[str]) -> list[int]:
    """The code points of each word; the empty ones, which mean nothing, are left out."""
    data = text.encode()
    encoded = [pattern.encode() for pattern in patterns]
    found = (ctypes.c_long * (2 * len(data) + 8))()
    array = (ctypes.c_char_p * len(encoded))(*encoded)
    n = lib.words(data, ctypes.c_long(len(data)), array, ctypes.c_long(len(encoded)), found)
    return [size for size in found[:n] if size]


def characters(lib: ctypes.CDLL) -> str:
    """A digest over category and white space, lower case and decomposition of every code point."""
    digest = hashlib.sha256()
    for point in range(0x110000):
        facts = lib.flags(point) & 0x1FF, lib.lower(point), lib.nfd(point)
        digest.update(b"%d %d %d\n" % facts)
    return digest.hexdigest()


def golden(llama_cpp: Path) -> str:
    """The whole file."""
    names, patterns = names_and_patterns((llama_cpp / "src" / "llama-vocab.cpp").read_text())
    used = sorted((patterns[facts["kind"]], name) for name, facts in names.items())
    with tempfile.TemporaryDirectory() as folder:
        lib = library(llama_cpp / "src", Path(folder))
        words = {
            " ".join(name for _, name in group): [sizes(lib, text, of) for text in TEXTS]
            for of, group in groupby(used, key=lambda pair: pair[0])
        }
        found = {"oracle": VERSION, "characters": characters(lib), "names": names, "texts": TEXTS}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
    rows = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in words.items()]
    return "{\n" + ",\n".join([*lines, '"words": {\n' + ",\n".join(rows) + "\n}"]) + "\n}\n"


def main() -> int:
    """Write the file, or compare it; exit code 1 where it is stale."""
    parser = arguments(__doc__)
    parser.add_argument("llama_cpp", type=Path)
    args = parser.parse_args()
    return write_or_check(GOLDEN, golden(args.llama_cpp), args.check)


if __name__ == "__main__":
    sys.exit(main())
