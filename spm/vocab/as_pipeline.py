"""A vocabulary of llama.cpp or sentencepiece -> the Pipeline with which tokenizers gives its ids.

Each family has a way that comes as near as the components of a tokenizer.json allow:

    SPM        ▁ for spaces; BPE, whose merges are all the ways to part a piece in two, those of the
               best score first; bytes for what is no piece
    Unigram    the charsmap, ▁ for spaces; Unigram over the whole text, as both oracles do it
    BPE        the pre-tokenizer's patterns one after the other; bytes as characters; BPE
    WordPiece  BERT's normaliser and words; pieces spelled with ## again, as before llama.cpp's
               converter rewrote them

Not every vocabulary can be said so: pairs have ranks here, where SPM asks for the score of what
results, so of two pairs with one result, or one score, the left one need not merge first. Whoever
writes the file has to hold it against the original. What no such comparison shows: tokenizers knows
characters that Unicode got after version 15, llama.cpp does not, and takes them for no letters.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple, NoReturn

import numpy as np

from spm.errors import VocabError, quoted
from spm.vocab import pipeline as hf
from spm.vocab.json_at import as_serde_reads
from spm.vocab.oniguruma import oniguruma
from spm.vocab.pretokenizers import PRE_TOKENIZERS
from spm.vocab.vocab import SPACE, Family, Normalization, TokenType, Vocab

MAX_RESULT_BYTES: Final = 7999  # of what merges: sentencepiece's kMaxPieceSize

Merge = tuple[int, int, int]  # the ids of both halves and of what results

_MARK: Final = SPACE.decode()
_ADDED: Final = (TokenType.CONTROL, TokenType.UNKNOWN, TokenType.USER_DEFINED)
_SPECIAL: Final = (TokenType.CONTROL, TokenType.UNKNOWN)


class Stages(NamedTuple):
    """What a family asks for between the added tokens and the post-processor."""

    normalizers: Iterable[hf.Normalizer]
    pre_tokenizers: Iterable[hf.PreTokenizer]
    model: hf.Model
    decoders: Iterable[hf.Decoder]


def as_pipeline(
    vocab: Vocab, dialect: str, before: Sequence[int], behind: Sequence[int]
) -> tuple[list[str], hf.Pipeline]:
    """The pieces as a tokenizer.json spells them, and every step.

    Raises VocabError for what cannot be said there.
    """
    if vocab.family not in _FAMILIES:
        _refuse(vocab, f"the vocabulary is {vocab.family.value}")
    if vocab.lstrip_ids or vocab.rstrip_ids:  # there it is white space beyond ASCII, too
        _refuse(vocab, "special pieces that swallow ASCII white space alone")
    pieces = _pieces(vocab)
    stages = _FAMILIES[vocab.family](vocab, pieces, dialect)
    return pieces, hf.Pipeline(
        n_own=len(pieces),
        added_tokens=tuple(_added_tokens(vocab, pieces, dialect)),
        normalizers=tuple(stages.normalizers),
        pre_tokenizers=tuple(stages.pre_tokenizers),
        model=stages.model,
        post_processor=hf.PostProcessor(tuple(before), tuple(behind)),
        decoders=tuple(stages.decoders),
    )


def _refuse(vocab: Vocab, what: str) -> NoReturn:
    raise VocabError(f"{vocab.source}: {what}, for which a tokenizer.json has no word")


def _pieces(vocab: Vocab) -> list[str]:
    pieces: dict[str, int] = {}
    for i, piece in enumerate(vocab.pieces):
        shown = _as_in_bert(piece, vocab.types[i]) if vocab.family == Family.WORDPIECE else piece
        try:
            text = shown.decode()
        except UnicodeDecodeError:
            _refuse(vocab, f"piece {quoted(piece)} (id {i}) is not UTF-8")
        if pieces.setdefault(text, i) != i:
            _refuse(vocab, f"ids {pieces[text]} and {i} would both be {quoted(shown)}")
    return list(pieces)


def _as_in_bert(piece: bytes, kind: TokenType) -> bytes:
    """convert_hf_to_gguf.py marks the beginning of a word, BERT what goes on with one."""
    if kind in _ADDED:
        return piece
    return piece.removeprefix(SPACE) if piece.startswith(SPACE) else b"##" + piece


def _added_tokens(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Iterator[hf.AddedToken]:
    """What is looked for in the text as it was typed.

    sentencepiece's Unigram does not cut the text at user-defined pieces: its scores favour them.
    """
    favours = dialect == "sentencepiece" and vocab.family == Family.UNIGRAM
    for i in vocab.ids_of_type(*(_SPECIAL if favours else _ADDED)):
        special = vocab.types[i] in _SPECIAL
        yield hf.AddedToken(
            i, pieces[i], single_word=False, lstrip=False, rstrip=False, normalized=False,
            special=special,
        )  # fmt: skip


# ---- SPM and Unigram: ▁ for spaces


def _spm(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Stages:
    rules = Normalization(add_dummy_prefix=vocab.add_space_prefix, remove_extra_whitespaces=False)
    if dialect == "sentencepiece":
        rules = _rules(vocab)
    model = hf.BPE(
        merges=tuple(_merges_by_score(vocab, pieces, dialect)),
        unk_id=vocab.unk_id,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        fuse_unk=True,
        byte_fallback=dialect == "llama.cpp" or vocab.byte_fallback,
        ignore_merges=False,
    )
    return Stages(_normalizers(rules, dialect), (), model, _decoders(rules))


def _rules(vocab: Vocab) -> Normalization:
    rules = vocab.normalization
    if rules is None or not rules.escape_whitespaces or rules.treat_whitespace_as_suffix:
        _refuse(vocab, "spaces that are not escaped, or ▁ behind words")
    if vocab.denormalization is not None:
        _refuse(vocab, "a denormaliser")
    return rules


def _normalizers(rules: Normalization, dialect: str) -> Iterator[hf.Normalizer]:
    """sentencepiece's normaliser in steps. It drops a typed ▁ at the end, too; llama.cpp does not.

    The look-behind lets a run of spaces be tried once, not from each of its characters.
    """
    spaces = " " if dialect == "llama.cpp" else f" {_MARK}"
    if rules.charsmap:
        yield hf.Precompiled(rules.charsmap)
    if rules.remove_extra_whitespaces:
        yield hf.Replace(hf.Pattern(" {2,}", is_regex=True), " ")
        yield hf.Replace(hf.Pattern(r"\A ", is_regex=True), "")
        yield hf.Replace(hf.Pattern(rf"(?<![{spaces}])[{spaces}]+\z", is_regex=True), "")
    if rules.add_dummy_prefix:
        yield hf.Prepend(_MARK)
    yield hf.Replace(hf.Pattern(" ", is_regex=False), _MARK)


def _decoders(rules: Normalization) -> Iterator[hf.Decoder]:
    """As in the files of Llama 2."""
    yield hf.Replace(hf.Pattern(_MARK, is_regex=False), " ")
    yield hf.ByteFallback()
    yield hf.Fuse()
    if rules.add_dummy_prefix:
        yield hf.StripDecoder(" ", start=1, stop=0)


def _merges_by_score(vocab: Vocab, pieces: Sequence[str], dialect: str) -> list[Merge]:
    """Every way to part a piece into two others, the best score first.

    Of equal scores the leftmost merges first, which is to say that what merged before goes on: so
    the longest left half is the best rank.
    """
    scores = vocab.scores.tolist()
    found = _halves(vocab, pieces, dialect)
    return sorted(found, key=lambda merge: (-scores[merge[2]], -len(pieces[merge[0]])))


def _halves(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Iterator[Merge]:
    never = _never_merged(dialect)
    ids = {piece: i for i, piece in enumerate(pieces) if vocab.types[i] not in never}
    sizes = sorted({len(piece) for piece in ids})
    for piece, i in ids.items():
        if len(vocab.pieces[i]) > MAX_RESULT_BYTES:
            _refuse(vocab, f"piece {quoted(vocab.pieces[i])} of more than {MAX_RESULT_BYTES} bytes")
        for size in sizes[: bisect_left(sizes, len(piece))]:
            left, right = ids.get(piece[:size]), ids.get(piece[size:])
            if left is not None and right is not None:
                yield left, right, i


def _never_merged(dialect: str) -> tuple[TokenType, ...]:
    """Which pieces neither come of merges nor go into them."""
    return (TokenType.BYTE,) if dialect == "llama.cpp" else (TokenType.BYTE, *_SPECIAL)


def _unigram(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Stages:
    rules = _rules(vocab)
    never = [*_SPECIAL, TokenType.BYTE, *([TokenType.UNUSED] * (dialect == "sentencepiece"))]
    model = hf.Unigram(
        scores=tuple(_scores(vocab, never)),
        unk_id=vocab.unk_id,
        byte_fallback=dialect == "sentencepiece" and vocab.byte_fallback,
    )
    free = [kind for kind in TokenType if kind not in never]
    cuts = _cuts_inside(
        [pieces[i] for i in vocab.ids_of_type(*never)],
        [pieces[i] for i in vocab.ids_of_type(*free)],
    )
    return Stages(_normalizers(rules, dialect), cuts, model, _decoders(rules))


def _scores(vocab: Vocab, never: Sequence[TokenType]) -> list[float]:
    """What may not stand in a text gets the worst score, since what is unknown has 10 less.

    User-defined pieces get sentencepiece's (unigram_model.cc, `GetUserDefinedScore`); llama.cpp has
    found them before.
    """
    if not np.isfinite(vocab.scores).all():
        _refuse(vocab, "scores that are not finite")
    scores = vocab.scores.astype(np.float64)
    normal = vocab.ids_of_type(TokenType.NORMAL)
    scores[vocab.ids_of_type(*never)] = scores[normal].min() if normal else 0.0
    for i in vocab.ids_of_type(TokenType.USER_DEFINED):
        scores[i] = np.float32(0.1 * (len(vocab.pieces[i]) - 1))
    return [as_serde_reads(repr(score)) for score in scores.tolist()]


def _cuts_inside(pieces: Sequence[str], standing: Sequence[str]) -> Iterator[hf.Split]:
    """Cuts inside of `pieces`, which no text may become; `standing` are those that may stand.

    tokenizers lets every piece of a Unigram model stand in a text, be its score as bad as it may:
    so a text that spells </s> is cut to </ and s>, where no piece goes across.
    """
    joined = {pair for piece in standing for pair in pairwise(piece)}
    known = {piece for piece in standing if len(piece) == 1}

    def is_harmless(left: str, right: str) -> bool:  # unknown characters would be one
        return (left, right) not in joined and (left in known or right in known)

    rests: dict[str, list[str]] = {}
    for piece in pieces:
        places = (at for at in range(1, len(piece)) if is_harmless(*piece[at - 1 : at + 1]))
        at = next(places, 1)
        if len(piece) > 1:
            rests.setdefault(piece[:at], []).append(re.escape(piece[at:]))
    if rests:
        pattern = "|".join(f"{_behind(head)}(?={'|'.join(rest)})" for head, rest in rests.items())
        yield hf.Split(hf.Pattern(pattern, is_regex=True), "MergedWithPrevious", invert=False)


def _behind(head: str) -> str:
    """Matches the last character of `head`, so that what begins inside of it is seen, too."""
    before = f"(?<={re.escape(head[:-1])})" if head[:-1] else ""
    return before + re.escape(head[-1])


# ---- BPE


def _bpe(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Stages:
    pre = PRE_TOKENIZERS[vocab.pre]
    patterns = [oniguruma(pattern) for pattern in pre.patterns]
    if None in patterns or not pre.byte_level:
        _refuse(vocab, f"the pre-tokenizer is {vocab.pre}")
    splits = [
        hf.Split(hf.Pattern(pattern, is_regex=True), "Isolated", invert=False)
        for pattern in patterns
        if pattern is not None
    ]
    model = hf.BPE(
        merges=tuple(_merges_by_rank(vocab)),
        unk_id=None,
        continuing_subword_prefix="",
        end_of_word_suffix="",
        fuse_unk=False,
        byte_fallback=False,
        ignore_merges=pre.ignore_merges,
    )
    letters = hf.ByteLevel(add_prefix_space=False, use_regex=False)
    return Stages((), (*splits, letters), model, (letters,))


def _merges_by_rank(vocab: Vocab) -> Iterator[Merge]:
    """Of a merge that stands twice, llama.cpp takes the first, tokenizers the last."""
    ids = vocab.piece_to_id
    for merge in dict.fromkeys(vocab.merges):
        cut = merge.find(b" ", 1)  # llama.cpp: the first space behind the first byte
        halves = (merge[:cut], merge[cut + 1 :])
        for piece in (*halves, b"".join(halves)):
            if cut < 0 or piece not in ids:
                _refuse(vocab, f"merge {quoted(merge)} of or to what is no piece")
        yield ids[halves[0]], ids[halves[1]], ids[b"".join(halves)]


# ---- WordPiece


def _word_piece(vocab: Vocab, pieces: Sequence[str], dialect: str) -> Stages:
    model = hf.WordPiece(
        unk_id=vocab.unk_id,
        continuing_subword_prefix="##",
        max_input_chars_per_word=(1 << 31) - 1,  # llama.cpp has no limit
    )
    decoder = hf.WordPieceDecoder("##", cleanup=True)
    return Stages(_bert_normalizers(vocab), (hf.BertPreTokenizer(),), model, (decoder,))


def _bert_normalizers(vocab: Vocab) -> Iterator[hf.Normalizer]:
    """BERT's, but for `strip_accents`: llama.cpp strips every mark, and keeps of each character the
    first of its decomposition, which is the first jamo of a Hangul syllable.
    """
    yield hf.Replace(hf.Pattern(r"[\v\f\u0085]", is_regex=True), " ")  # clean_text drops them
    yield hf.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False
    )
    if vocab.strip_accents:
        for i in range(19):  # leading consonants, with 588 syllables each
            first = 0xAC00 + 588 * i
            pattern = hf.Pattern(f"[{chr(first)}-{chr(first + 587)}]", is_regex=True)
            yield hf.Replace(pattern, chr(0x1100 + i))
        yield from (hf.Normalize("NFD"), hf.StripAccents())
    if vocab.lowercase:
        yield hf.Replace(hf.Pattern("İ", is_regex=False), "i")  # which would become two characters
        yield hf.Lowercase()


_FAMILIES: Final[Mapping[Family, Callable[[Vocab, Sequence[str], str], Stages]]] = {
    Family.SPM: _spm,
    Family.UNIGRAM: _unigram,
    Family.BPE: _bpe,
    Family.WORDPIECE: _word_piece,
}
