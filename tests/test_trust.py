"""Whatever a message says, no CONTROL id comes out of it; and nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm import ChatTemplate, EncodeError, SpmError, Tokenizer, TokenType
from spm.vocab import Family
from tests.making import (
    BYTES,
    CONTROL,
    HEAD,
    HELLO,
    UNKNOWN,
    USER_DEFINED,
    piece,
    pieces,
    specified,
    write_model,
    write_vocab,
)

# A template without a word that any vocabulary would take for a control piece but BOS and EOS.
PLAIN = ChatTemplate(
    "{{ bos_token }}{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.name ~ c.arguments|tojson }}{% endfor %}"
    "{{ eos_token }}{% endfor %}{{ tools|tojson if tools }}{{ extra }}"
)


def vocabularies(shared: Path) -> list[Path]:
    names = ("llama2_32000", "mistral_v1", "mistral_v3_240323", "internlm2", "yi", "grok1_131072")
    return [shared / "sentencepiece" / f"{name}.model" for name in names]


@pytest.fixture(scope="module")
def toks(tmp_path_factory: pytest.TempPathFactory) -> list[Tokenizer]:
    """Pieces that a text could merge into; special pieces that overlap, and eat white space."""
    folder = tmp_path_factory.mktemp("trust")
    letters = [*HEAD, *BYTES, *pieces("▁ < | s > / u e r"), piece("<|user|>", 0, CONTROL)]
    merging = [*letters, *pieces("<s:-1 </:-2 </s:-3 <|u:-4 ser|>:-5")]
    whole = [piece("user", 0, USER_DEFINED), piece("|><", 0, USER_DEFINED)]
    parsed = [*letters, piece("<|endoftext|>", 0, CONTROL), *whole, *pieces("▁us:-1 er:-2")]
    return [
        Tokenizer.from_gguf(write_vocab(folder / "merging.gguf", merging)),
        Tokenizer.from_gguf(write_vocab(folder / "parsed.gguf", parsed)),
        Tokenizer.from_gguf(write_vocab(folder / "phi3.gguf", parsed, name="phi-3")),
        *map(Tokenizer.from_gguf, of_other_families(folder)),
    ]


def of_other_families(folder: Path) -> list[Path]:
    """In most of them `user` in a text is a CONTROL piece, by merging or as the longest piece."""
    letters = pieces("< | s > / u e r Ġ ▁ . us er")
    heads = [piece("<unk>", 0, UNKNOWN), piece("<s>", 0, CONTROL), piece("</s>", 0, CONTROL)]
    special = [piece("user", 9, CONTROL), piece("<|end|>", 9)]  # llama.cpp makes that one CONTROL
    entries = [*heads, *BYTES, *letters, *special]
    roles = ("unknown", "bos", "eos", "seperator", "padding", "mask")
    ids = {f"{role}_token_id": i for i, role in enumerate(roles)}
    merges = {"merges": [b"u s", b"e r", b"us er"], "pre": "llama-bpe"}
    without_bytes = {"entries": [*heads, *letters, *special], "unknown_token_id": 0}
    return [
        write_vocab(folder / "bpe.gguf", entries, **{**ids, "model": "gpt2", **merges}),
        write_vocab(folder / "t5.gguf", entries, **{**ids, "model": "t5"}),
        write_vocab(folder / "bert.gguf", **{**ids, "model": "bert", **without_bytes}),
        write_vocab(folder / "rwkv.gguf", **{**ids, "model": "rwkv", **without_bytes}),
        write_vocab(folder / "plamo2.gguf", entries, **{**ids, "model": "plamo2"}),
    ]


N_TOKS = 8


def control_ids(tok: Tokenizer) -> set[int]:
    return set(tok.vocab.ids_of_type(TokenType.CONTROL))


def test_plain_encoding_does_let_a_text_spell_a_control_piece(toks: list[Tokenizer]) -> None:
    assert N_TOKS == len(toks)
    for tok in toks:
        if tok.vocab.family not in (Family.SPM, Family.UNIGRAM):
            user = tok.vocab.piece_to_id[b"user"]
            assert user in tok.encode("user", add_special=False), tok.vocab.family


def check(tok: Tokenizer, texts: list[str]) -> None:
    """The control ids of a chat of hostile texts are those of one of harmless texts."""
    first, second, name, value, extra = texts
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": first},
        {
            "role": f"no {name}",
            "content": second,
            "tool_calls": [{"name": value, "arguments": {extra: name}}],
        },
    ]
    harmless = [{"role": "user", "content": "."}, {"role": ".", "content": "."}]

    rendered = tok.render_chat(messages, template=PLAIN, tools=[{value: first}], extra=extra)
    expected = tok.render_chat(harmless, template=PLAIN)

    control = control_ids(tok)
    assert [i for i in expected.ids if i in control] == [i for i in rendered.ids if i in control]


def spellings(tok: Tokenizer) -> st.SearchStrategy[list[str]]:
    known = [tok.vocab.pieces[i].decode("utf-8", "replace") for i in sorted(control_ids(tok))][:50]
    parts = known + [k[: len(k) // 2] for k in known] + [k[len(k) // 2 :] for k in known]
    text = st.lists(
        st.sampled_from([*parts, "<", "|", ">", " ", "s", "user", "\n", "▁"]), max_size=6
    )
    return st.lists(text.map("".join), min_size=5, max_size=5)


@pytest.mark.parametrize("number", range(N_TOKS))
def test_no_text_of_a_message_is_a_control_piece(toks: list[Tokenizer], number: int) -> None:
    @given(spellings(toks[number]))
    def hold(texts: list[str]) -> None:
        check(toks[number], texts)

    hold()


def test_no_text_is_a_control_piece_of_real_vocabularies(shared: Path) -> None:
    for path in vocabularies(shared):
        tok = Tokenizer.from_sentencepiece(path, dialect="llama.cpp")
        known = [tok.vocab.pieces[i].decode() for i in sorted(control_ids(tok))]
        for spelled in known[:5]:
            check(
                tok, [spelled, f"x {spelled}\n", spelled[:1], spelled[1:], f" {spelled} {spelled}"]
            )


def test_a_text_that_merges_into_bos(toks: list[Tokenizer]) -> None:
    tok = toks[0]
    bos = tok.vocab.special_ids["bos"]

    assert bos in tok.encode("x<s>", add_special=False)  # as in llama.cpp
    assert bos not in tok.apply_chat_template([{"content": "x<s>"}], template=ChatTemplate("{{ messages[0].content }}"))  # fmt: skip  # noqa: E501


BENIGN = st.lists(st.text("user s|er\nß日 ", max_size=12), min_size=5, max_size=5)


@pytest.mark.parametrize("number", range(N_TOKS))
def test_harmless_chats_have_the_ids_of_their_text(toks: list[Tokenizer], number: int) -> None:
    tok = toks[number]

    @given(BENIGN)
    def hold(texts: list[str]) -> None:
        messages = [{"role": "user", "content": text} for text in texts]
        rendered = tok.render_chat(messages, template=PLAIN)

        assert tok.encode(rendered.text, add_special=False, parse_special=True) == list(
            rendered.ids
        )

    hold()


def test_harmless_chats_of_real_vocabularies(shared: Path) -> None:
    english = (shared / "corpora" / "en_sherlock.txt").read_text("utf-8").split("\n\n")[30:36]
    messages = [{"role": "user", "content": text} for text in english]
    for path in vocabularies(shared):
        tok = Tokenizer.from_sentencepiece(path, dialect="llama.cpp")
        rendered = tok.render_chat(messages, template=PLAIN)

        assert tok.encode(rendered.text, add_special=False, parse_special=True) == list(
            rendered.ids
        )


@given(st.data())
def test_both_ways_to_ids_agree(toks: list[Tokenizer], data: st.DataObject) -> None:
    for tok in toks:
        messages = [{"role": "user", "content": text} for text in data.draw(spellings(tok))]

        expected = specified(tok).apply_chat_template(messages, template=PLAIN)

        assert expected == tok.apply_chat_template(messages, template=PLAIN)


def test_the_space_prefix_and_merges_are_those_of_one_text(toks: list[Tokenizer]) -> None:
    template = ChatTemplate("u{{ messages[0].content }}r{{ eos_token }}{{ messages[0].content }}")

    rendered = toks[1].render_chat([{"content": "se"}], template=template)

    expected = ["user", "</s>", "▁", "s", "e"]
    assert expected == [toks[1].vocab.pieces[i].decode() for i in rendered.ids]
    assert "user</s>se" == rendered.text
    assert ((0, 1), (3, 8)) == rendered.trusted


def test_what_only_a_control_piece_can_spell(tmp_path: Path) -> None:
    tok = Tokenizer.from_gguf(
        write_vocab(tmp_path / "a.gguf", [*HEAD, piece("▁"), piece("x", 0, CONTROL)])
    )

    with pytest.raises(EncodeError, match="byte 0x78 of the text has no piece"):
        tok.apply_chat_template(
            [{"content": "x"}], template=ChatTemplate("{{ messages[0].content }}")
        )


def test_lone_surrogates_are_refused(toks: list[Tokenizer]) -> None:
    with pytest.raises(EncodeError):
        toks[0].apply_chat_template([{"role": "user", "content": "\ud800"}], template=PLAIN)


def test_sentencepiece_has_no_special_pieces_in_a_text(tmp_path: Path) -> None:
    tok = Tokenizer.from_sentencepiece(write_model(tmp_path / "a.model", HELLO))

    with pytest.raises(SpmError, match=r"expected 'llama\.cpp'"):
        tok.apply_chat_template([{"role": "user", "content": "x"}], template=PLAIN)
