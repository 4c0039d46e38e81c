"""Small `tokenizer.json` files that between them use every component and option that spm reads.

A file is a model and the stages around it. The models are trained by the library itself, on a few
lines; the stages are written down as the file spells them. Only training needs the library.
"""

from __future__ import annotations

import base64
import io
import json
import tempfile
from typing import Any

from spm.vocab.protobuf import Message

Json = dict[str, Any]

WORDS = (
    "the quick brown fox jumps over a lazy dog while naïve cafés sell déjà vu in THE Quick city's"
    " we'll they've don't 12 2024 3.14 x+y=z (a) [b] {c} foo_bar hello world ok 日本 語 мир"
)
GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s*[\r\n]|\s+(?!\S)|\s"
)
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def lines() -> list[str]:
    """What the models are trained on."""
    words = WORDS.split()
    return [" ".join(words[i * k % len(words)] for k in range(1, 9)) for i in range(120)]


def trained() -> dict[str, Json]:
    """One model of each kind, as the file spells it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train(model: Any, trainer: Any, pre_tokenizer: Any) -> Json:
        tok = Tokenizer(model)
        tok.pre_tokenizer = pre_tokenizer
        tok.train_from_iterator(lines(), trainer)
        found: Json = json.loads(tok.to_str())["model"]
        return found

    def bpe(size: int, tokens: list[str], **options: Any) -> Any:
        return trainers.BpeTrainer(
            vocab_size=size, special_tokens=tokens, show_progress=False, **options
        )

    unknown = ["<unk>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    words = pre_tokenizers.Whitespace()
    return {
        "byte level": train(
            models.BPE(),
            bpe(360, [], initial_alphabet=alphabet),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ),
        "spaces": train(
            models.BPE(unk_token="<unk>"),
            bpe(130, [*unknown, "<s>", "</s>"]),
            pre_tokenizers.Metaspace(),
        ),
        "suffix": train(
            models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
            bpe(150, unknown, end_of_word_suffix="</w>"),
            words,
        ),
        "prefix": train(
            models.BPE(unk_token="<unk>", continuing_subword_prefix="##"),
            bpe(150, unknown, continuing_subword_prefix="##"),
            words,
        ),
        "word piece": train(
            models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer(
                vocab_size=170,
                special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"],
                show_progress=False,
            ),
            pre_tokenizers.BertPreTokenizer(),
        ),
        "unigram": train(
            models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=150,
                special_tokens=["<pad>", "</s>", "<unk>"],
                unk_token="<unk>",
                show_progress=False,
            ),
            pre_tokenizers.Metaspace(),
        ),
    }


def all_models(own: dict[str, Json]) -> dict[str, Json]:
    """The trained models, and the variants of their options."""
    spaces, unigram = own["spaces"], own["unigram"]
    words = sorted({"[UNK]", *WORDS.split(), " ", "a b"})
    byte_pieces = [[f"<0x{b:02X}>", -20.0] for b in range(256)]
    return {
        **own,
        "byte level, whole words": {**own["byte level"], "ignore_merges": True},
        "spaces, fused": {**spaces, "fuse_unk": True},
        "spaces, no unknown": {**spaces, "unk_token": None},
        "spaces, bytes": with_bytes({**spaces, "byte_fallback": True}),
        "spaces, some bytes, fused": with_bytes(
            {**spaces, "byte_fallback": True, "fuse_unk": True}, range(0x80, 0xE4)
        ),
        "word piece, short": {**own["word piece"], "max_input_chars_per_word": 4},
        "unigram, bytes": {
            **unigram,
            "byte_fallback": True,
            "vocab": [*unigram["vocab"], *byte_pieces],
        },
        "words": {
            "type": "WordLevel",
            "vocab": {word: i for i, word in enumerate(words)},
            "unk_token": "[UNK]",
        },
    }


def with_bytes(model: Json, which: range = range(256)) -> Json:
    """The same model with pieces for bytes behind its own."""
    vocab = dict(model["vocab"])
    for b in which:
        vocab[f"<0x{b:02X}>"] = len(vocab)
    return {**model, "vocab": vocab}


SMALL = "the small charsmap"
RULES = {  # a charsmap small enough to be committed
    "ａ": "a", "½": "1⁄2", "ﬁ": "fi", "e\u0301": "é", "é": "e", "a": "aa", "\t": " ", "\u200b": "",
    "日": "", "が": "か", "か\u3099": "が", "\r\n": " ", "x\u0302\u0301": "X", "\xad": "", "Q": "q",
}  # fmt: skip


def charsmap() -> str:
    """A precompiled charsmap, made by sentencepiece of `RULES`, in base64."""
    import sentencepiece

    out = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as tsv:
        for old, new in RULES.items():
            codes = (" ".join(f"{ord(char):X}" for char in text) for text in (old, new))
            tsv.write("\t".join(codes) + "\n")
        tsv.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines()), model_writer=out, vocab_size=60, model_type="bpe",
            normalization_rule_tsv=tsv.name, minloglevel=2, hard_vocab_limit=False,
        )  # fmt: skip
    spec = Message(out.getvalue(), "a model", (3,)).message(3, (2,))
    return base64.b64encode(spec.raw(2, b"")).decode()


# ---- stages


def split(
    pattern: str, behavior: str = "Isolated", invert: bool = False, regex: bool = True
) -> Json:
    """A `Split`."""
    return {
        "type": "Split",
        "pattern": {"Regex" if regex else "String": pattern},
        "behavior": behavior,
        "invert": invert,
    }


def replace(pattern: str, content: str, regex: bool = False) -> Json:
    """A `Replace`."""
    found = {"Regex" if regex else "String": pattern}
    return {"type": "Replace", "pattern": found, "content": content}


def byte_level(prefix: bool = False, use_regex: bool = True, trim: bool = True) -> Json:
    """A `ByteLevel`, wherever it stands."""
    flags = {"add_prefix_space": prefix, "trim_offsets": trim, "use_regex": use_regex}
    return {"type": "ByteLevel", **flags}


def metaspace(scheme: str = "always", split: bool = True, **more: Any) -> Json:
    """A `Metaspace`."""
    return {
        "type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split, **more
    }  # fmt: skip


def sequence(members: str, *steps: Json) -> Json:
    """A `Sequence` of a stage."""
    return {"type": "Sequence", members: list(steps)}


def normal(*steps: Json) -> Json:
    """A `Sequence` of normalizers."""
    return sequence("normalizers", *steps)


def pre(*steps: Json) -> Json:
    """A `Sequence` of pre-tokenizers."""
    return sequence("pretokenizers", *steps)


def decoding(*steps: Json) -> Json:
    """A `Sequence` of decoders."""
    return sequence("decoders", *steps)


def only(kind: str, **options: Any) -> Json:
    """A component of one type."""
    return {"type": kind, **options}


def bert(clean: bool = True, chinese: bool = True, accents: Any = None, lower: bool = True) -> Json:
    """A `BertNormalizer`."""
    return only(
        "BertNormalizer",
        clean_text=clean, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower,
    )  # fmt: skip


def template(ids: dict[str, list[int]], *parts: str) -> Json:
    """A `TemplateProcessing`; `$A` is the text."""
    single = [
        {"Sequence": {"id": "A", "type_id": 0}}
        if part == "$A"
        else {"SpecialToken": {"id": part, "type_id": 0}}
        for part in parts
    ]
    tokens = {name: {"id": name, "ids": i, "tokens": [name] * len(i)} for name, i in ids.items()}
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return only("TemplateProcessing", single=single, pair=pair, special_tokens=tokens)


def token(content: str, **flags: bool) -> Json:
    """An added token."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"content": content, **off, **flags}


SPECIALS = [token("<s>", special=True), token("</s>", special=True, normalized=True)]
MIXED = [
    token("<mask>", special=True, lstrip=True),
    token("<sep>", special=True, rstrip=True),
    token("fox", single_word=True),
    token("Quick", normalized=True),
    token("qu", normalized=True, single_word=True),
    token("  ", normalized=False),
    token("<|im_start|>", special=True, normalized=True),
    token("<|im", normalized=False),
    token("déjà", normalized=True, lstrip=True, rstrip=True),
]
BERT_SPECIALS = [token(t, special=True) for t in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")]


def crafted() -> dict[str, Json]:
    """Stages by name; `model` names one of `all_models`."""
    spaced = {"decoder": metaspace(), "pre_tokenizer": metaspace()}
    llama2 = {
        "model": "spaces, bytes",
        "normalizer": normal(only("Prepend", prepend="▁"), replace(" ", "▁")),
        "decoder": decoding(
            replace("▁", " "), only("ByteFallback"), only("Fuse"),
            only("Strip", content=" ", start=1, stop=0),
        ),
    }  # fmt: skip
    gpt2 = {"model": "byte level", "pre_tokenizer": byte_level(), "decoder": byte_level()}
    whitespace = only("Whitespace")
    files: dict[str, Json] = {
        "gpt2": {**gpt2, "post_processor": byte_level(trim=False), "added_tokens": SPECIALS},
        "gpt2, spaced and trimmed": {
            **gpt2,
            "pre_tokenizer": byte_level(prefix=True),
            "post_processor": byte_level(prefix=True),
        },
        "gpt2, trimmed": {**gpt2, "post_processor": byte_level(), "added_tokens": MIXED},
        "roberta": {
            **gpt2,
            "pre_tokenizer": byte_level(prefix=True),
            "post_processor": only(
                "RobertaProcessing", sep=["</s>", 2], cls=["<s>", 0], trim_offsets=True,
                add_prefix_space=True,
            ),
            "added_tokens": [token("<mask>", special=True, lstrip=True)],
        },
        "llama3": {
            "model": "byte level, whole words",
            "pre_tokenizer": pre(split(GPT4), byte_level(use_regex=False)),
            "post_processor": sequence(
                "processors", byte_level(trim=True), template({"<s>": [5]}, "<s>", "$A")
            ),
            "decoder": byte_level(),
            "added_tokens": MIXED,
        },
        "qwen": {
            "model": "byte level", "normalizer": only("NFC"),
            "pre_tokenizer": pre(split(QWEN), byte_level(use_regex=False)),
            "post_processor": byte_level(trim=False), "decoder": byte_level(),
            "added_tokens": MIXED,
        },
        "gpt-4o": {
            "model": "byte level", "pre_tokenizer": pre(split(O200K), byte_level(use_regex=False)),
            "decoder": byte_level(),
        },
        "deepseek": {
            "model": "byte level",
            "normalizer": normal(),
            "pre_tokenizer": pre(
                split(r"\p{N}{1,3}"), split("[一-龥\u3040-ゟ゠-ヿ]+"),
                split(
                    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?"
                    r"[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
                ),
                byte_level(use_regex=False),
            ),
            "decoder": byte_level(), "added_tokens": SPECIALS,
        },
        "starcoder": {
            "model": "byte level",
            "pre_tokenizer": pre(only("Digits", individual_digits=True), byte_level()),
            "decoder": byte_level(),
        },
        "falcon": {
            "model": "byte level",
            "pre_tokenizer": pre(
                only("Punctuation", behavior="Contiguous"), byte_level(),
                only("Digits", individual_digits=False), split("[0-9][0-9][0-9]"),
            ),
            "decoder": byte_level(),
        },
        "clip": {
            "model": "suffix",
            "normalizer": normal(only("NFC"), replace(r"\s+", " ", regex=True), only("Lowercase")),
            "pre_tokenizer": pre(
                split(
                    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True
                ),
            ),
            "decoder": only("BPEDecoder", suffix="</w>"),
            "added_tokens": [token("<|endoftext|>", special=True)],
        },
        "whisper": {
            **gpt2,
            "post_processor": template({"<s>": [3, 4], "</s>": [5]}, "<s>", "$A", "</s>"),
        },
        "bloom": {
            "model": "byte level",
            "pre_tokenizer": pre(
                split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), byte_level(use_regex=False)
            ),
            "decoder": byte_level(),
        },
        "modernbert": {
            **gpt2, "normalizer": only("NFC"), "added_tokens": [token("  "), token("    ")]
        },
        "byte level normaliser": {
            "model": "byte level", "normalizer": only("ByteLevel"),
            "pre_tokenizer": split("Ġ", "MergedWithNext", regex=False), "decoder": byte_level(),
            "added_tokens": MIXED,
        },
        "llama2": {
            **llama2,
            "post_processor": template({"<s>": [1]}, "<s>", "$A"),
            "added_tokens": SPECIALS,
        },
        "llama2, some bytes": {
            **llama2, "model": "spaces, some bytes, fused", "added_tokens": MIXED
        },
        "llama2, first": {
            "model": "spaces, bytes", "pre_tokenizer": metaspace("first", split=False),
            "decoder": llama2["decoder"], "added_tokens": MIXED,
        },
        "gemma": {
            "model": "spaces, bytes", "normalizer": replace(" ", "▁"),
            "pre_tokenizer": split(" ", "MergedWithPrevious", regex=False),
            "decoder": decoding(replace("▁", " "), only("ByteFallback"), only("Fuse")),
            "added_tokens": [*SPECIALS, token("\n\n"), token("▁▁")],
        },
        "no unknown": {"model": "spaces, no unknown", **spaced},
        "fused unknown": {"model": "spaces, fused", **spaced, "normalizer": only("NFKC")},
        "unfused unknown": {"model": "spaces", **spaced, "normalizer": only("NFD")},
        "bert": {
            "model": "word piece", "normalizer": bert(), "pre_tokenizer": only("BertPreTokenizer"),
            "post_processor": template({"[CLS]": [2], "[SEP]": [3]}, "[CLS]", "$A", "[SEP]"),
            "decoder": only("WordPiece", prefix="##", cleanup=True), "added_tokens": BERT_SPECIALS,
        },
        "bert, cased": {
            "model": "word piece", "normalizer": bert(accents=False, lower=False),
            "pre_tokenizer": only("BertPreTokenizer"),
            "post_processor": only("BertProcessing", sep=["[SEP]", 3], cls=["[CLS]", 2]),
            "decoder": only("WordPiece", prefix="##", cleanup=False),
        },
        "bert, accents only": {
            "model": "word piece", "normalizer": bert(False, False, True, False),
            "pre_tokenizer": whitespace, "added_tokens": MIXED,
        },
        "bert, short words": {
            "model": "word piece, short", "normalizer": bert(lower=False),
            "pre_tokenizer": only("WhitespaceSplit"),
        },
        "prefix": {
            "model": "prefix", "normalizer": normal(only("NFKD"), only("StripAccents")),
            "pre_tokenizer": whitespace, "decoder": only("WordPiece", prefix="##", cleanup=True),
        },
        "t5": {
            "model": "unigram", "normalizer": only("Precompiled", precompiled_charsmap=SMALL),
            "pre_tokenizer": pre(only("WhitespaceSplit"), metaspace()), "decoder": metaspace(),
            "post_processor": template({"</s>": [1]}, "$A", "</s>"),
            "added_tokens": [token("<pad>", special=True), token("<extra_id_0>", special=True)],
        },
        "albert": {
            "model": "unigram",
            "normalizer": normal(
                replace("``", '"'), replace("''", '"'), only("NFKD"), only("StripAccents"),
                only("Lowercase"), only("Precompiled", precompiled_charsmap=SMALL),
            ),
            "pre_tokenizer": metaspace(), "decoder": metaspace(),
            "post_processor": template({"[CLS]": [1], "[SEP]": [2]}, "[CLS]", "$A", "[SEP]"),
            "added_tokens": [token("<mask>", special=True, lstrip=True)],
        },
        "xlm-r": {
            "model": "unigram",
            "normalizer": normal(
                only("Precompiled", precompiled_charsmap=SMALL),
                only("Strip", strip_left=False, strip_right=True),
                replace(" {2,}", "▁", regex=True),
            ),
            "pre_tokenizer": metaspace(), "decoder": metaspace("never"), "added_tokens": MIXED,
        },
        "unigram, bytes": {
            "model": "unigram, bytes",
            "normalizer": normal(only("Nmt"), only("NFKC"), replace(r"\s{2,}", " ", regex=True)),
            "pre_tokenizer": metaspace("never", add_prefix_space=False), "added_tokens": MIXED,
            "decoder": decoding(only("ByteFallback"), metaspace("first")),
        },
        "unigram, whole": {"model": "unigram", "normalizer": only("Nmt")},
        "words": {"model": "words", "pre_tokenizer": whitespace, "added_tokens": MIXED},
        "words, split": {
            "model": "words", "normalizer": only("Strip", strip_left=True, strip_right=True),
            "pre_tokenizer": only("WhitespaceSplit"),
        },
        "words, delimiter": {
            "model": "words", "normalizer": only("Strip", strip_left=True, strip_right=False),
            "pre_tokenizer": only("CharDelimiterSplit", delimiter="e"),
            "decoder": only("CTC", pad_token="a", word_delimiter_token="o", cleanup=True),
        },
        "letters": {
            "model": "byte level",
            "normalizer": normal(only("Lowercase"), only("NFD"), only("NFC")),
            "pre_tokenizer": pre(only("FixedLength", length=3), byte_level(use_regex=False)),
            "decoder": decoding(byte_level(), only("Strip", content="a", start=2, stop=1)),
        },
        "odd replacements": {
            "model": "byte level",
            "normalizer": normal(
                replace("a+|(?<=o)", "é", regex=True),
                only("Prepend", prepend="ab"), only("NFD"), replace("\u0301", ""),
                replace("$", "_", regex=True),
            ),
            "pre_tokenizer": byte_level(),
            "decoder": decoding(only("Fuse"), replace("a+", "A", True)),
            "added_tokens": [token("b", rstrip=True, lstrip=True), token(" ", normalized=False)],
        },
    }  # fmt: skip
    for behavior in ("Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for invert in (False, True):
            files[f"split {behavior} {'inverted' if invert else ''}".strip()] = {
                "model": "byte level",
                "pre_tokenizer": pre(
                    split(r"[aeiou]|\s+\w|$", behavior, invert), byte_level(use_regex=False)
                ),
                "decoder": byte_level(),
            }
        files[f"punctuation {behavior}"] = {
            "model": "spaces",
            "normalizer": only("NFKD"),
            "pre_tokenizer": pre(only("Punctuation", behavior=behavior), metaspace("first")),
            "decoder": metaspace("first"),
            "added_tokens": MIXED,
        }
    return files


def whole(stages: Json, model: Json) -> Json:
    """The file: ids for added tokens are those that the library gives."""
    vocab = model["vocab"]
    ids = dict(vocab) if isinstance(vocab, dict) else {p: i for i, (p, _) in enumerate(vocab)}
    added = []
    for entry in stages.get("added_tokens", []):
        added.append({"id": ids.setdefault(entry["content"], len(ids)), **entry})
    empty = dict.fromkeys(
        ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    )
    return {"version": "1.0", **empty, **stages, "added_tokens": added, "model": model}


def files(own: dict[str, Json], small: str) -> dict[str, Json]:
    """Every crafted file by name, of the trained models and the charsmap."""
    known = all_models(own)
    made = {}
    for name, stages in crafted().items():
        stages = json.loads(json.dumps(stages).replace(SMALL, small))
        made[name] = whole(stages, known[stages.pop("model")])
    return made
