"""What llama.cpp makes of a vocabulary after it has read it.

A GGUF file does not say everything, so llama.cpp completes it by the spelling of pieces and by the
names of models: which pieces are CONTROL although their type says otherwise, which ids end a
generation, which special pieces eat the white space beside them. Its ids depend on these rules, so
all of them are kept here, but for those of BPE's pre-tokenizers (pretokenizers.py), in the order of
`llama_vocab::impl::load` (src/llama-vocab.cpp, llama.cpp of llama-cpp-python 0.3.36).

Where llama.cpp takes "the first match" out of a hash table, whose order no standard fixes, the
lowest id is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from spm.errors import VocabError
from spm.vocab.pretokenizers import PreTokenizer
from spm.vocab.vocab import Family, TokenType, Vocab, check_duplicates


class Defaults(NamedTuple):
    """What llama.cpp takes for the keys that a file does not have."""

    family: Family
    special_ids: Mapping[str, int]
    add_bos: bool = False
    add_eos: bool = False
    add_space_prefix: bool = False
    must_bos: bool = False  # a BOS whatever the key says

    def with_pre(self, pre: PreTokenizer) -> Defaults:
        """What the name of a pre-tokenizer changes of these."""
        ids = {role: i for role, i in self.special_ids.items() if pre.default_bos or role != "bos"}
        return self._replace(special_ids=ids, add_bos=pre.add_bos, must_bos=pre.must_bos)


DEFAULTS: Final = {  # by tokenizer.ggml.model
    "llama": Defaults(Family.SPM, {"bos": 1, "eos": 2, "unk": 0}, True, False, True),
    "gpt2": Defaults(Family.BPE, {"bos": 11, "eos": 11}),
    "gemma4": Defaults(Family.BPE, {}),
    "t5": Defaults(Family.UNIGRAM, {"eos": 1, "unk": 2, "pad": 0}, add_eos=True),
    "bert": Defaults(
        Family.WORDPIECE, {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103}, True
    ),
    "rwkv": Defaults(Family.RWKV, {}),
    "plamo2": Defaults(Family.PLAMO2, {"bos": 1, "eos": 2, "unk": 0, "pad": 3}),
}

_BY_SPELLING: Final = {  # role -> the pieces that take it, if no key gave the role away
    "eot": (
        "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> <|end_of_text|> <EOT> _<EOT>"
        " [EOT] <｜end▁of▁sentence｜> <end_of_utterance>"
    ),
    "eom": "<|eom_id|>",
    "fim_pre": (
        "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|>"
        " <|prefix|>"
    ),
    "fim_suf": (
        "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|>"
        " <|suffix|>"
    ),
    "fim_mid": (
        "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|>"
        " <|middle|>"
    ),
    "fim_pad": "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]",
    "fim_rep": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "fim_sep": "<|file_sep|>",
}
_EOG_ROLES: Final = ("fim_pad", "fim_rep", "fim_sep", "eos", "eot", "eom")
_EOG_PIECES: Final = (
    "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>"
    " <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance>"
    " <eos> <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~["
)
_ALWAYS_SHOWN: Final = "<|channel|> <|message|> <|start|> <|constrain|>"


def as_llama_cpp(vocab: Vocab) -> Vocab:
    """Apply llama.cpp's rules. Raises VocabError where llama.cpp refuses the vocabulary."""
    if vocab.family == Family.SPM and np.isnan(vocab.scores).any():
        first = int(np.isnan(vocab.scores).argmax())  # no order: std::priority_queue takes chances
        raise VocabError(f"{vocab.source}: the score of id {first} is NaN, expected a number")
    if len(vocab.piece_to_id) < len(vocab):
        check_duplicates(vocab, apart=False)
    types = list(vocab.types)
    special_ids = _roles_by_spelling(vocab, types)
    eog_ids = _eog_ids(vocab, special_ids, types)
    told = vocab.types if vocab.family == Family.UNIGRAM and types != list(vocab.types) else ()
    vocab = vocab.reread(
        types=tuple(types), types_in_file=told, special_ids=special_ids, eog_ids=eog_ids
    )
    return vocab.reread(lstrip_ids=_lstrip_ids(vocab), rstrip_ids=_rstrip_ids(vocab))


def as_converted(vocab: Vocab) -> Vocab:
    """What llama.cpp would see if a `.model` were converted with its special ids and no flags.

    No GGUF tells of a denormaliser, of spaces that are kept, or of ▁ at the end.
    """
    defaults = next((d for d in DEFAULTS.values() if d.family == vocab.family), None)
    if defaults is None:
        return vocab  # llama.cpp has no such family, as its dialect says
    there = {role: i for role, i in defaults.special_ids.items() if i < len(vocab)}
    converted: dict[str, object] = {
        "special_ids": {**there, **vocab.special_ids},
        "add_bos": defaults.add_bos,
        "add_eos": defaults.add_eos,
    }
    if vocab.family == Family.UNIGRAM and vocab.normalization:
        converted["normalization"] = replace(
            vocab.normalization, escape_whitespaces=True, treat_whitespace_as_suffix=False
        )
    pieces = as_c_strings(vocab.pieces)
    if pieces != vocab.pieces:
        vocab = replace(vocab, pieces=pieces)
    return vocab.reread(**converted)


def as_c_strings(pieces: Sequence[bytes]) -> tuple[bytes, ...]:
    """llama.cpp reads pieces as C strings, which end at NUL, and names the empty ones."""
    if all(pieces) and b"\0" not in b"".join(pieces):
        return tuple(pieces)
    return tuple(
        piece.split(b"\0")[0] or b"[EMPTY_%d]" % i if b"\0" in piece or not piece else piece
        for i, piece in enumerate(pieces)
    )


def _ids_of(vocab: Vocab, spellings: str) -> list[int]:
    ids = (vocab.piece_to_id.get(piece.encode()) for piece in spellings.split())
    return sorted(i for i in ids if i is not None)


def _roles_by_spelling(vocab: Vocab, types: list[TokenType]) -> dict[str, int]:
    special_ids = dict(vocab.special_ids)
    for role, spellings in _BY_SPELLING.items():
        for i in _ids_of(vocab, spellings)[:1]:
            if role not in special_ids:
                special_ids[role] = i
                types[i] = TokenType.CONTROL
    return special_ids


def _eog_ids(vocab: Vocab, special_ids: dict[str, int], types: list[TokenType]) -> frozenset[int]:
    eog = {special_ids[role] for role in _EOG_ROLES if role in special_ids}
    for i in _ids_of(vocab, _EOG_PIECES):
        eog.add(i)
        types[i] = TokenType.CONTROL
    for i in _ids_of(vocab, _ALWAYS_SHOWN):
        types[i] = TokenType.USER_DEFINED
    spelled = {vocab.pieces[i]: i for i in eog}  # bytes -> int
    harmony = {b"<|return|>", b"<|call|>", b"<|calls|>", b"<|flush|>"} & spelled.keys()
    calls = harmony & {b"<|call|>", b"<|calls|>"}
    # gpt-oss and solar-open: <|end|> ends one message of the answer, not the answer
    if b"<|end|>" in spelled and calls and harmony - calls:
        eog.remove(spelled[b"<|end|>"])
        types[spelled[b"<|end|>"]] = TokenType.USER_DEFINED
    # Gemma 4 and PLaMo: </s> is an ordinary piece
    if b"</s>" in spelled and {b"<|tool_response>", b"<|plamo:eos|>"} & spelled.keys():
        eog.remove(spelled[b"</s>"])
        types[spelled[b"</s>"]] = TokenType.NORMAL
    return frozenset(eog)


def name_rule(model_name: str, pre: str, architecture: str) -> str:
    """Which of llama.cpp's name rules applies to a file; "" is none."""
    if any(name in pre for name in ("jina-v2-de", "jina-v2-es", "jina-v2-code")):
        return "<mask>"
    if any(name in architecture for name in ("nomic-bert-moe", "jina-bert-v3")):
        return "<mask>"
    if any(name in model_name.lower() for name in ("phi-3", "phi3")):
        return "phi-3"
    return "[MASK]" if "modern-bert" in model_name.lower() else ""


def _lstrip_ids(vocab: Vocab) -> frozenset[int]:
    """BERT-like models: the mask swallows the white space before it."""
    mask = vocab.piece_to_id.get(vocab.name_rule.encode())
    return frozenset() if mask is None or vocab.name_rule == "phi-3" else frozenset([mask])


def _rstrip_ids(vocab: Vocab) -> frozenset[int]:
    """Phi-3: all but a few special pieces swallow the white space after them."""
    if vocab.name_rule != "phi-3":
        return frozenset()
    named = {}
    for piece in (b"</s>", b"<unk>", b"<s>", b"<|endoftext|>"):
        if piece not in vocab.piece_to_id:
            raise VocabError(
                f"{vocab.source}: general.name says Phi-3, but piece {piece.decode()} is missing,"
                " expected as in every Phi-3"
            )
        named[piece] = vocab.piece_to_id[piece]
    special = (TokenType.CONTROL, TokenType.USER_DEFINED, TokenType.UNKNOWN)
    rstrip = {*vocab.ids_of_type(*special), named[b"</s>"]}
    return frozenset(rstrip - {named[b"<unk>"], named[b"<s>"], named[b"<|endoftext|>"]})
