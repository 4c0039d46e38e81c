r"""Every name of `tokenizer.ggml.pre` that llama.cpp knows, and what it stands for.

A pre-tokenizer parts a text into words, which are encoded apart from each other. It is a row of
patterns: the first one is searched in the text, and its matches and what lies between them are
segments; the next one is searched in each segment by itself, and so on. spm/text/pretokenize.py
does it.

The patterns are Python's, with these differences: \s knows ASCII only, but all white space of
Unicode has become U+000B before; \p{L}, \p{M}, \p{N}, \p{P} and \p{S} are the general categories,
and \p{Han} is llama.cpp's idea of Han (\p{NotHan}: the other letters); llama.cpp tells upper from
lower case in ASCII alone, so \p{Upper} is a letter that is not a to z, and \p{Lower} one that is
not A to Z.

The facts are those of src/llama-vocab.cpp (`llama_vocab::impl::load` has the names and flags,
`llm_tokenizer_bpe` the patterns) and src/unicode.cpp, where some patterns are replaced by code
(`unicode_regex_split_custom`), which is what counts. Left out is `add_sep`: no id depends on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

FROM_RIGHT: Final = "(from the right)"  # before a pattern that is searched in the reversed segment

# Where a word ends and the next one begins whatever else stands in the text: no match goes across
# with these two characters, one ends or begins there, and no look-ahead of the left side comes so
# far, since these only look behind white space, for the next character that is none.
_APART = r"(?<=\S)(?=[^\S\r\n])|(?<=\p{L})(?=\s)|(?<=\n)(?=\p{L})"
_APART_BEFORE_SPACES = r"(?<=\S)(?=\s)"
_APART_BEHIND_LETTERS = r"(?<=\p{L})(?=\s)"
_APART_AT_LINES = r"(?<=\n)(?=[^\n])|(?<=[^\n])(?=\n)"


class PreTokenizer(NamedTuple):
    """The patterns of one name, and llama.cpp's flags where the file has no key for them."""

    patterns: tuple[str, ...]
    boundary: str = _APART  # between characters that stand in different words in every text
    ignore_merges: bool = False  # a word that is a piece stays whole, whatever the merges say
    add_bos: bool = False
    default_bos: bool = True  # whether id 11 is BOS if no key says otherwise
    clean_spaces: bool = True  # decoding removes spaces before punctuation
    byte_level: bool = True  # pieces are spelled in GPT-2's alphabet of bytes
    escape_whitespaces: bool = False  # a space is ▁
    whole_newlines: bool = False  # a run of line feeds that is a piece stays whole
    must_bos: bool = False  # a BOS whatever the key says


def _either(*patterns: str) -> str:
    return "|".join(patterns)


# What words are made of. The names without _ are also those of stages: spm/text/word_stages.py.

CONTRACTION = r"'(?i:[sdmt]|ll|ve|re)"
MAYBE_CONTRACTED = rf"(?:{CONTRACTION})?"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_MARKED_WORD = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+"
_WORDS = r"[^\r\n\p{L}\p{N}]?\p{L}[\p{L}\p{M}]*(?: \p{L}[\p{L}\p{M}]*)*"
CASED_WORD = r"[^\r\n\p{L}\p{N}]?(?:\p{Upper}*\p{Lower}+|\p{Upper}+\p{Lower}*)"
CASED_AND_MARKED_WORD = _either(
    r"[^\r\n\p{L}\p{N}]?[\p{Upper}\p{M}]*[\p{Lower}\p{M}]+" + MAYBE_CONTRACTED,
    r"[^\r\n\p{L}\p{N}]?[\p{Upper}\p{M}]+[\p{Lower}\p{M}]*" + MAYBE_CONTRACTED,
)
_DIGITS = r"\p{N}{1,3}"
_THOUSANDS = FROM_RIGHT + r"\p{N}{1,3}[^\p{N}]*"  # cut behind each three, not before the first
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+"
_SYMBOLS_AND_LINES = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SYMBOLS_AND_SLASHES = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_LINE_ENDS = r"\s*[\r\n]+"
_SPACES = r"\s+(?!\S)|\s+"  # the last one belongs to the word behind it
LINES = r"[^\n]+|\n+"
EMPTY_END = r"(?<!\s)\s+\Z"  # white space at the end; the look-behind tries each run only once

# Scripts, as ranges.

_CJK = r"[一-龥\u0800-一가-\ud7ff]+"
_CHINESE_AND_KANA = r"[一-龥\u3040-ゟ゠-ヿ]+"
_KOREAN_OR_CHINESE = r"[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|" + _CHINESE_AND_KANA
_DEEPSEEK_LETTERS = (
    r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ"
    r"-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝ"
    r"ℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀"
    r"-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
_ASIAN_SCRIPTS = (
    r"[一-鿿㐀-䶿豈-\ufaff\u3040-ゟ゠-ヿ･-ﾟ⼀-\u2fdfเ-\u0e7f\u0e80-\u0effក-\u17ffက-႟ꩠ-ꩿꧠ-\ua9ff"
    r"가-\ud7afᄀ-ᇿ]+"
)

# Whole patterns.

_GPT2 = _either(r"'(?:[sdmt]|ll|ve|re)", r" ?\p{L}+", r" ?\p{N}+", _SYMBOLS, _SPACES)
_LLAMA3 = _either(CONTRACTION, _WORD, _DIGITS, _SYMBOLS_AND_LINES, _LINE_ENDS, _SPACES)
_MINICPM5 = _either(CONTRACTION, _WORD, r"\p{N}+", _SYMBOLS_AND_LINES, _LINE_ENDS, _SPACES)
_QWEN2 = _either(CONTRACTION, _WORD, r"\p{N}", _SYMBOLS_AND_LINES, _LINE_ENDS, _SPACES)
_QWEN35 = _either(
    CONTRACTION, _MARKED_WORD, r"\p{N}", r" ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*", _LINE_ENDS, _SPACES
)
_UFAKZEKA = _either(_WORD, r"\p{N}", _SYMBOLS_AND_LINES, _LINE_ENDS, _SPACES)
_SEED_CODER = _either(CONTRACTION, _WORD, r"\p{N}", r" ?[^\s\p{L}\p{N}\r\n]+", _LINE_ENDS, _SPACES)
_BAILING = _either(CONTRACTION, _WORD, r"\p{N}", _SYMBOLS_AND_LINES, r"\s*[\r\n]", _SPACES)
_EXAONE = _either(
    CONTRACTION, _WORDS, r"\p{N}", r" ?[^\s\p{L}\p{N}]+[\r\n/]?", r"\s*[\r\n]", _SPACES
)
_JAIS2 = _either(
    *(CONTRACTION, _WORD, _DIGITS, _SYMBOLS_AND_LINES, _LINE_ENDS),
    *(rf"\s{{{n}}}(?!\S)" for n in (512, 256, 128, 64, 32, 16, 8, 4)),
    *(r"\s{1,2}(?!\S)", r"\s"),
)
_KIMI_K2 = _either(
    *(r"\p{Han}+", r"[^\r\n\p{L}\p{N}]?\p{NotHan}+" + MAYBE_CONTRACTED),
    *(_DIGITS, _SYMBOLS_AND_LINES, _LINE_ENDS, _SPACES),
)
_TEKKEN = _either(CASED_WORD, r"\p{N}", _SYMBOLS_AND_SLASHES, _LINE_ENDS, _SPACES)
_GPT4O = _either(CASED_WORD + MAYBE_CONTRACTED, _DIGITS, _SYMBOLS_AND_SLASHES, _LINE_ENDS, _SPACES)
_GRANITE = _either(CASED_AND_MARKED_WORD, _DIGITS, _SYMBOLS_AND_SLASHES, _LINE_ENDS, _SPACES)
_AYA = _either(_MARKED_WORD + MAYBE_CONTRACTED, _DIGITS, _SYMBOLS_AND_SLASHES, _LINE_ENDS, _SPACES)
_YOUTU = _either(
    _MARKED_WORD + MAYBE_CONTRACTED, r"\p{N}", _SYMBOLS_AND_SLASHES, _LINE_ENDS, _SPACES
)
_DEEPSEEK3_WORD = r"[!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
_DEEPSEEK3 = _either(_DEEPSEEK3_WORD, r" ?[\p{P}\p{S}]+[\r\n]*", _LINE_ENDS, _SPACES)
_SPARK = _either(_DEEPSEEK3_WORD, r" ?[\p{P}\p{S}]+", r"[\r\n]", _SPACES)
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"


def _pre(*patterns: str, apart: str = _APART, **flags: bool) -> PreTokenizer:
    return PreTokenizer(patterns, apart, **flags)


_BY_NAMES: Final = {
    "default": _pre(r"[\p{P}$+<=>^~|]+", _GPT2, r"\p{N}+", r"[0-9]{3}", apart=_APART_BEFORE_SPACES),
    "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert"
    " jina-v1-en jina-v2-code roberta-bpe mpt olmo jais exaone4": _pre(
        _GPT2, apart=_APART_BEFORE_SPACES
    ),
    "trillion granite-docling": _pre(_GPT2, apart=_APART_BEFORE_SPACES, clean_spaces=False),
    "starcoder refact codeshell exaone minerva-7b mellum2": _pre(
        r"\p{N}", _GPT2, apart=_APART_BEFORE_SPACES
    ),
    "command-r smollm": _pre(r"\p{N}", _GPT2, apart=_APART_BEFORE_SPACES, clean_spaces=False),
    "falcon": _pre(r"[\p{P}$+<=>^~|`]+", _GPT2, r"[0-9]{3}", apart=_APART_BEFORE_SPACES),
    "chameleon": _pre(
        *(r"<sentinel:[0-9]+>", r"IMGIMG[A-I]{1,4}Z", r"[\t\n]|    |  ", r"\p{N}"),
        *(r"[\p{P}!-/:-@\[-`{-~]", _GPT2),
        apart=_APART_BEFORE_SPACES,
        add_bos=True,
        clean_spaces=False,
    ),
    "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano": _pre(
        _LLAMA3, ignore_merges=True, add_bos=True
    ),
    "dbrx smaug-bpe": _pre(_LLAMA3),
    "chatglm-bpe": _pre(_LLAMA3, default_bos=False),
    "glm4 glm5": _pre(_LLAMA3, ignore_merges=True, default_bos=False),
    "jais-2": _pre(_JAIS2),
    "minicpm5": _pre(_DIGITS, _MINICPM5, ignore_merges=True),
    "qwen2 deepseek-r1-qwen kormo f2llmv2 hunyuan grok-2 solar-open": _pre(
        _QWEN2, clean_spaces=False
    ),
    "stablelm2 megrez": _pre(_QWEN2),
    "laguna": _pre(LINES, _QWEN2, clean_spaces=False),
    "qwen35": _pre(_QWEN35, clean_spaces=False),
    "ufakzeka": _pre(_UFAKZEKA, clean_spaces=False),
    "seed-coder": _pre(_SEED_CODER, clean_spaces=False),
    "bailingmoe bailingmoe2 llada-moe": _pre(_BAILING, clean_spaces=False),
    "exaone-moe": _pre(  # a letter, a space and a letter are of one word
        _EXAONE,
        apart=r"(?<=[^\s\p{L}\p{M}])(?=[^\S\r\n])|(?<=\p{L})(?=[\r\n])|(?<=\n)(?=\p{L})",
    ),
    "tekken": _pre(_TEKKEN, ignore_merges=True, add_bos=True, clean_spaces=False),
    "gpt-4o llama4 kanana2 talkie minimax-m2": _pre(_GPT4O, clean_spaces=False),
    "granite-embed-multi-97m": _pre(_GRANITE, ignore_merges=True, clean_spaces=False),
    "tiny_aya cohere2moe": _pre(_THOUSANDS, _AYA, clean_spaces=False),
    "youtu": _pre(_KOREAN_OR_CHINESE, _YOUTU, ignore_merges=True, clean_spaces=False),
    "kimi-k2": _pre(_KIMI_K2, clean_spaces=False),
    "deepseek-llm": _pre(
        *(r"[\r\n]", _DEEPSEEK_LETTERS, r"\s?[!-/:-~！-／：-～‘-‟\u3000-。]+", EMPTY_END, _CJK),
        r"\p{N}+",
        apart=r"(?<=[\r\n])|(?<=[A-Za-z])(?=\s)",
        clean_spaces=False,
    ),
    "deepseek-coder": _pre(
        *(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}"),
        apart=r"(?<=[\r\n])|(?<=\p{L})(?=\s)",
        clean_spaces=False,
    ),
    "deepseek-v3 hunyuan-dense hy_v4 joyai-llm": _pre(
        _DIGITS, _CHINESE_AND_KANA, _DEEPSEEK3, clean_spaces=False
    ),
    "spark2_5": _pre(
        *(_DIGITS, _CHINESE_AND_KANA, _SPARK, r"\p{N}"),
        apart=_APART_BEFORE_SPACES,
        clean_spaces=False,
    ),
    "afmoe": _pre(_THOUSANDS, _ASIAN_SCRIPTS, _DEEPSEEK3, clean_spaces=False),
    "bloom gpt3-finnish": _pre(_BLOOM, apart=_APART_BEHIND_LETTERS),
    "poro-chat": _pre(_BLOOM, apart=_APART_BEHIND_LETTERS, clean_spaces=False),
    "viking": _pre(_BLOOM, r"\p{N}", apart=_APART_BEHIND_LETTERS, clean_spaces=False),
    "superbpe": _pre(  # numbers are cut before every three digits, counted from their end
        *(r"\p{N}+", FROM_RIGHT + r"(?s:.*?)(?:[0-9]{3}|\Z)"),
        apart=r"(?<=\p{N})(?=[^\p{N}])|(?<=[^\p{N}])(?=\p{N})",
        clean_spaces=False,
    ),
    "whitespace": _pre(r"\S+", apart=r"(?<=\S)(?=\s)|(?<=\s)(?=\S)", byte_level=False),
    "gemma4 granite-embed-multi-311m": _pre(
        LINES,
        apart=_APART_AT_LINES,
        byte_level=False,
        escape_whitespaces=True,
        whole_newlines=True,
        must_bos=True,
    ),
    "sarvam-moe": _pre(
        LINES,
        apart=_APART_AT_LINES,
        clean_spaces=False,
        byte_level=False,
        escape_whitespaces=True,
    ),
}
PRE_TOKENIZERS: Final = {name: pre for names, pre in _BY_NAMES.items() for name in names.split()}
