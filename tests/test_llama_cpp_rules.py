"""What llama.cpp makes of pieces by their spelling.

Every expected value was read from llama.cpp of llama-cpp-python 0.3.36, which had loaded the very
vocabulary that the test writes: `llama_vocab_is_eog` for every id, `llama_vocab_get_attr`,
`llama_vocab_eot`, `llama_vocab_fim_pre` and its sisters, `llama_vocab_get_text`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spm import Tokenizer
from spm.errors import VocabError
from spm.vocab import TokenType, Vocab
from spm.vocab.llama_cpp import name_rule
from tests.making import BYTES, FIRST, HEAD, Piece, piece, write_model, write_vocab

# llama_vocab_get_attr gives bits: UNKNOWN 1, UNUSED 2, NORMAL 4, CONTROL 8, USER_DEFINED 16, BYTE
# 32, RSTRIP 256. Where several are set the first of these is how the piece is treated.
BITS = [
    (8, TokenType.CONTROL), (1, TokenType.UNKNOWN), (16, TokenType.USER_DEFINED),
    (4, TokenType.NORMAL), (32, TokenType.BYTE), (2, TokenType.UNUSED),
]  # fmt: skip
RSTRIP = 256


def read(tmp_path: Path, extra: list[Piece], **keys: Any) -> Vocab:
    """Three special pieces, ids 0 to 2, and `extra` from id 3 on."""
    return Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", [*HEAD, *extra], **keys)).vocab


def types_of(attributes: list[int]) -> list[TokenType]:
    return [next(kind for bit, kind in BITS if attribute & bit) for attribute in attributes]


EOT = (
    "<|eot_id|> <|im_end|> <|end|> <end_of_turn> <|endoftext|> <|end_of_text|> <EOT> _<EOT> [EOT]"
    " <｜end▁of▁sentence｜> <end_of_utterance>"
)
EOG = "<|return|> <|call|> <|flush|> <|calls|> <|eom_id|> [EOS] <eos> <turn|> [e~["
FIM = {
    "fim_pre": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE>"
    " <|code_prefix|> <|prefix|>",
    "fim_suf": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF>"
    " <|code_suffix|> <|suffix|>",
    "fim_mid": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID>"
    " <|code_middle|> <|middle|>",
}
FIM_EOG = {
    "fim_pad": "<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]",
    "fim_rep": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "fim_sep": "<|file_sep|>",
}
FIM_CASES = [(role, text) for role, texts in FIM.items() for text in texts.split()]
FIM_EOG_CASES = [(role, text) for role, texts in FIM_EOG.items() for text in texts.split()]
ORDINARY = (
    "<|eot|> <END> <|END|> <|user|> <|unused|> <|pad|> <sep> <|fim_begin|> <|stop|> <|plamo:eos|>"
)


@pytest.mark.parametrize("text", EOT.split())
def test_a_piece_that_reads_like_eot_is_it(tmp_path: Path, text: str) -> None:
    vocab = read(tmp_path, [piece(text)])

    assert vocab.eog_ids == {2, 3}
    assert vocab.types[3] == TokenType.CONTROL
    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0, "eot": 3}


@pytest.mark.parametrize("text", EOG.split())
def test_a_piece_that_reads_like_an_end_ends_a_generation(tmp_path: Path, text: str) -> None:
    vocab = read(tmp_path, [piece(text)])

    assert vocab.eog_ids == {2, 3}
    assert vocab.types[3] == TokenType.CONTROL
    assert "eot" not in vocab.special_ids


@pytest.mark.parametrize(("role", "text"), FIM_CASES)
def test_a_piece_that_reads_like_fim_is_it_and_ends_nothing(
    tmp_path: Path, role: str, text: str
) -> None:
    vocab = read(tmp_path, [piece(text)])

    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0, role: 3}
    assert vocab.types[3] == TokenType.CONTROL
    assert vocab.eog_ids == {2}


@pytest.mark.parametrize(("role", "text"), FIM_EOG_CASES)
def test_three_fim_pieces_end_a_generation(tmp_path: Path, role: str, text: str) -> None:
    vocab = read(tmp_path, [piece(text)])

    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0, role: 3}
    assert vocab.types[3] == TokenType.CONTROL
    assert vocab.eog_ids == {2, 3}


def test_only_the_eom_piece_is_eom(tmp_path: Path) -> None:
    assert read(tmp_path, [piece("<|eom_id|>")]).special_ids["eom"] == 3


@pytest.mark.parametrize("text", ORDINARY.split())
def test_other_pieces_stay_what_they_are(tmp_path: Path, text: str) -> None:
    vocab = read(tmp_path, [piece(text)])

    assert vocab.types[3] == TokenType.NORMAL
    assert vocab.eog_ids == {2}
    assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0}


@pytest.mark.parametrize("text", ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"])
@pytest.mark.parametrize("kind", [1, 3, 5])
def test_harmony_s_markers_are_always_shown(tmp_path: Path, text: str, kind: int) -> None:
    vocab = read(tmp_path, [piece(text, 0, kind)])

    assert vocab.types[3] == TokenType.USER_DEFINED
    assert vocab.eog_ids == {2}


def u32(number: int) -> np.uint32:
    return np.uint32(number)


# name: extra pieces with their types, keys, EOG ids, attributes from id 0, other roles
COMBINED: dict[str, tuple[list[tuple[str, int]], dict[str, Any], set[int], list[int], Any]] = {
    "harmony": (
        [("<|return|>", 1), ("<|call|>", 1), ("<|end|>", 1)], {},
        {2, 3, 4}, [1, 8, 8, 12, 12, 16], {"eot": 5},
    ),
    "solar": (
        [("<|flush|>", 1), ("<|calls|>", 3), ("<|end|>", 3)], {},
        {2, 3, 4}, [1, 8, 8, 12, 8, 16], {"eot": 5},
    ),
    "two calls are not enough": (
        [("<|call|>", 1), ("<|calls|>", 1), ("<|end|>", 1)], {},
        {2, 3, 4, 5}, [1, 8, 8, 12, 12, 12], {"eot": 5},
    ),
    "return and flush are not enough": (
        [("<|return|>", 1), ("<|flush|>", 1), ("<|end|>", 1)], {},
        {2, 3, 4, 5}, [1, 8, 8, 12, 12, 12], {"eot": 5},
    ),
    "return alone is not enough": (
        [("<|return|>", 1), ("<|end|>", 1)], {},
        {2, 3, 4}, [1, 8, 8, 12, 12], {"eot": 4},
    ),
    "no end to lose": (
        [("<|call|>", 1), ("<|return|>", 1)], {}, {2, 3, 4}, [1, 8, 8, 12, 12], {},
    ),
    "gemma 4's </s> is text": ([("<|tool_response>", 1)], {}, {3}, [1, 8, 4, 12], {}),
    "plamo's end is one if a key says so": (
        [("<|plamo:eos|>", 1)], {"eos_token_id": u32(3)}, {3}, [1, 8, 4, 4], {"eos": 3},
    ),
    "eos by key keeps its type": (
        [("</x>", 1)], {"eos_token_id": u32(3)}, {2, 3}, [1, 8, 8, 4], {"eos": 3},
    ),
    "eot by key": ([("</x>", 1)], {"eot_token_id": u32(3)}, {2, 3}, [1, 8, 8, 4], {"eot": 3}),
    "eom by key": ([("</x>", 1)], {"eom_token_id": u32(3)}, {2, 3}, [1, 8, 8, 4], {"eom": 3}),
    "eot by key, before the spelling": (
        [("<|im_end|>", 1), ("</x>", 1)], {"eot_token_id": u32(4)},
        {2, 3, 4}, [1, 8, 8, 12, 4], {"eot": 4},
    ),
    "fim_pad by key, before the spelling": (
        [("<|fim_pad|>", 4), ("</x>", 1)], {"fim_pad_token_id": u32(4)},
        {2, 4}, [1, 8, 8, 16, 4], {"fim_pad": 4},
    ),
    "the old names of the fim keys": (
        [("a", 1), ("b", 1)],
        {"prefix_token_id": u32(3), "suffix_token_id": u32(4), "middle_token_id": u32(3)},
        {2}, [1, 8, 8, 4, 4], {"fim_pre": 3, "fim_suf": 4, "fim_mid": 3},
    ),
    "an old name goes before the new": (
        [("a", 1), ("b", 1)], {"fim_pre_token_id": u32(3), "prefix_token_id": u32(4)},
        {2}, [1, 8, 8, 4, 4], {"fim_pre": 4},
    ),
    "no id at all": (
        [("a", 1), ("b", 1)],
        {"bos_token_id": u32(2**32 - 1), "eos_token_id": u32(2**32 - 1)},
        {2}, [1, 8, 8, 4, 4], {},
    ),
    "a marker and an end": (
        [("<|channel|>", 3), ("<|end|>", 3)], {}, {2, 4}, [1, 8, 8, 16, 8], {"eot": 4},
    ),
    "phi-3": (
        [("<|endoftext|>", 3), ("<|user|>", 4), ("x", 1), ("<|end|>", 3)], {"name": "Phi-3 Mini"},
        {2, 3, 6}, [1, 8, 264, 8, 272, 4, 264], None,  # two pieces read like eot
    ),
    "phi3": (
        [("<|endoftext|>", 3), ("<|user|>", 4), ("x", 1), ("<|end|>", 3)], {"name": "my PHI3"},
        {2, 3, 6}, [1, 8, 264, 8, 272, 4, 264], None,
    ),
    "phi-4": (
        [("<|endoftext|>", 3), ("<|user|>", 4), ("x", 1)], {"name": "Phi-4"},
        {2, 3}, [1, 8, 8, 8, 16, 4], {"eot": 3},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", COMBINED)
def test_pieces_and_keys_together(tmp_path: Path, name: str) -> None:
    extra, keys, eog, attributes, roles = COMBINED[name]

    vocab = read(tmp_path, [piece(text, 0, kind) for text, kind in extra], **keys)

    assert vocab.eog_ids == eog
    assert list(vocab.types) == types_of(attributes)
    assert vocab.rstrip_ids == {i for i, bits in enumerate(attributes) if bits & RSTRIP}
    if roles is not None:
        assert vocab.special_ids == {"bos": 1, "eos": 2, "unk": 0, **roles}


@pytest.mark.parametrize("missing", ["</s>", "<unk>", "<s>", "<|endoftext|>"])
def test_a_phi_3_without_its_pieces_is_refused(tmp_path: Path, missing: str) -> None:
    # llama.cpp does not load these either: unordered_map::at
    entries = [*HEAD, piece("<|endoftext|>", 0, 3)]
    entries = [piece("x", 0, 3) if e.text == missing.encode() else e for e in entries]
    path = write_vocab(tmp_path / "v.gguf", entries, name="Phi-3")

    with pytest.raises(VocabError, match=r"general\.name says Phi-3, but piece") as error:
        Tokenizer.from_gguf(path)
    assert missing in str(error.value)


def test_a_hostile_name_cannot_write_its_own_lines(tmp_path: Path) -> None:
    path = write_vocab(tmp_path / "v.gguf", HEAD, name="phi-3\nall is well" + "!" * 100_000)

    with pytest.raises(VocabError) as error:
        Tokenizer.from_gguf(path)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1000


def test_pieces_end_at_nul_and_empty_ones_get_a_name(tmp_path: Path) -> None:
    vocab = read(tmp_path, [piece("a\0b"), piece(""), piece("\0z"), piece("b")])

    assert vocab.pieces[3:] == (b"a", b"[EMPTY_4]", b"[EMPTY_5]", b"b")
    assert vocab.piece_to_id[b"[EMPTY_5]"] == 5


def test_several_empty_pieces_get_different_names(tmp_path: Path) -> None:
    vocab = read(tmp_path, [piece(""), piece("\0z"), piece("", 0, 3)])

    assert vocab.pieces[3:] == (b"[EMPTY_3]", b"[EMPTY_4]", b"[EMPTY_5]")


def test_pieces_of_a_converted_model_end_at_nul_too(tmp_path: Path) -> None:
    path = write_model(tmp_path / "v.model", [*HEAD, *BYTES, piece("\0"), piece("a")])
    vocab = Tokenizer.from_sentencepiece(path, dialect="llama.cpp").vocab

    assert (f"[EMPTY_{FIRST}]".encode(), b"a") == vocab.pieces[FIRST:]
    assert FIRST == vocab.piece_to_id[f"[EMPTY_{FIRST}]".encode()]


def test_pieces_that_are_one_up_to_nul_are_refused(tmp_path: Path) -> None:
    # llama.cpp ends the process: GGML_ASSERT(id_to_token.size() == token_to_id.size())
    with pytest.raises(VocabError, match="piece 'a' stands 2 times"):
        read(tmp_path, [piece("a\0b"), piece("a\0c")])


# llama_tokenize of llama-cpp-python 0.3.36, parse_special on: "a  <mask> b" and "a  [MASK] b"
@pytest.mark.parametrize(
    ("keys", "mask", "bert_mask"),
    [
        ({}, [8, 5, 5, 3, 5, 5, 7], [8, 5, 5, 4, 5, 5, 7]),
        ({"pre": "jina-v2-de"}, [8, 3, 5, 5, 7], [8, 5, 5, 4, 5, 5, 7]),
        ({"pre": "xx-jina-v2-code-y"}, [8, 3, 5, 5, 7], [8, 5, 5, 4, 5, 5, 7]),
        ({"name": "My Modern-BERT x"}, [8, 5, 5, 3, 5, 5, 7], [8, 4, 5, 5, 7]),
    ],
)
def test_a_mask_swallows_the_spaces_before_it_in_some_families(
    tmp_path: Path, keys: dict[str, str], mask: list[int], bert_mask: list[int]
) -> None:
    entries = [*HEAD, piece("<mask>", 0, 3), piece("[MASK]", 0, 4), piece("▁", -1)]
    entries += [piece("a", -2), piece("b", -3), piece("▁a", -1.5)]
    tok = Tokenizer.from_gguf(write_vocab(tmp_path / "v.gguf", entries, **keys))

    def ids(text: str) -> list[int]:
        return tok.encode(text, add_special=False, parse_special=True)

    assert (mask, bert_mask) == (ids("a  <mask> b"), ids("a  [MASK] b"))


@pytest.mark.parametrize("architecture", ["nomic-bert-moe", "jina-bert-v3"])
def test_the_architecture_can_be_such_a_family(architecture: str) -> None:
    assert name_rule("", "", architecture) == "<mask>"  # one line of llama.cpp has both
