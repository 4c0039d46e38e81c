"""Streaming: when it ends, what it holds back, what it refuses."""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spm.data import embedded_model
from spm.errors import ModelError
from spm.llama import Choice, Llama, Sampling, generate, generate_batch, generate_ids
from spm.llama.showing import Showing, release
from spm.tokenizer import Tokenizer
from tools.small_llamas import CASES, IDS, write_case

GREEDY = Sampling(temperature=0)
EOG = 0


class Scripted:
    """A model that answers with `script`, whatever it is asked; notes what it is fed."""

    def __init__(self, script: Sequence[int], context: int = 1000) -> None:
        self.script, self.fed = list(script), []  # type: ignore[var-annotated]
        self.config = SimpleNamespace(max_seq_len=context)

    def new_cache(self) -> SimpleNamespace:
        return SimpleNamespace(length=0)

    def step(self, texts: Sequence[tuple[Sequence[int], SimpleNamespace]]) -> np.ndarray:
        [(ids, cache)] = texts
        cache.length += len(ids)
        self.fed.append(list(ids))
        return np.eye(256, dtype=np.float32)[[self.script.pop(0)]]


@dataclass
class Bytes:
    """A tokenizer whose ids are bytes, and whose text shows the first piece stripped of a space."""

    add_bos: bool = False
    asked: Any = None

    @property
    def vocab(self) -> SimpleNamespace:
        return SimpleNamespace(eog_ids=frozenset({EOG}), add_bos=self.add_bos)

    def encode(self, text: str, *, add_special: bool, parse_special: bool) -> list[int]:
        self.asked = (add_special, parse_special)
        return list(text.encode())

    def stream_decoder(self) -> BytesDecoder:
        return BytesDecoder()


class BytesDecoder:
    def __init__(self) -> None:
        self.first, self.held = True, b""

    def push(self, i: int) -> str:
        if self.first and i == ord(" "):
            self.first = False
            return ""
        self.first, self.held = False, self.held + bytes([i])
        try:
            text, self.held = self.held.decode(), b""
        except UnicodeDecodeError:
            return ""
        return text

    def flush(self) -> str:
        text, self.held = self.held.decode(errors="replace"), b""
        return text


def run(
    script: bytes, prompt: str = "?", context: int = 1000, **options: Any
) -> tuple[list[str], str]:
    """The pieces that come, and why they ended."""
    model: Any = Scripted([*script, EOG], context)
    tok: Any = Bytes()
    return drain(generate(model, tok, prompt, GREEDY, **options))


def drain(steps: Generator[Any, None, str]) -> tuple[list[Any], str]:
    pieces = []
    while True:
        try:
            pieces.append(next(steps))
        except StopIteration as end:
            return pieces, end.value


# How it ends


def test_it_ends_before_an_eog_id() -> None:
    assert run(b"ab") == (["a", "b"], "eog")


def test_it_ends_after_max_tokens() -> None:
    assert run(b"abc", max_tokens=2) == (["a", "b"], "length")
    assert run(b"abc", max_tokens=0) == ([], "length")


def test_it_ends_where_the_context_does() -> None:
    # 3 positions: two for the prompt, one for "a"; "b" is chosen but has no position to be fed to.
    assert run(b"abc", prompt="??", context=3) == (["a", "b"], "context")
    assert run(b"abc", prompt="???", context=3) == (["a"], "context")


def test_it_ends_before_a_stop_string() -> None:
    assert run(b"abcdef", stop=["cd"]) == (["a", "b"], "stop")
    assert run(b"abcdef", stop="cd") == (["a", "b"], "stop")


def test_an_eog_id_releases_what_was_held_back() -> None:
    assert run(b"abc", stop=["cd"]) == (["a", "b", "c"], "eog")


def test_a_character_is_never_split_and_never_lost() -> None:
    assert run("é".encode() + b"x") == (["é", "x"], "eog")
    assert run("é".encode()[:1]) == (["\N{REPLACEMENT CHARACTER}"], "eog")


def test_text_that_only_the_end_completes_can_still_stop() -> None:
    broken = "é".encode()[:1]

    assert run(b"a" + broken, stop=["\N{REPLACEMENT CHARACTER}"]) == (["a"], "stop")


def test_nothing_follows_a_stop_string_not_even_half_a_character() -> None:
    class Piece:
        """One id that spells a stop string and the first byte of something."""

        def push(self, i: int) -> str:
            return "a stop"

        def flush(self) -> str:
            return "\N{REPLACEMENT CHARACTER}"

    decoder: Any = Piece()
    showing = Showing(decoder, ["stop"])

    assert ("a ", True, "") == (showing.push(0), showing.stopped, showing.flush())


def test_the_first_space_after_the_prompt_is_kept() -> None:
    assert run(b" b", prompt="a") == ([" ", "b"], "eog")


def test_ids_can_be_watched_as_they_are_chosen() -> None:
    seen: list[Choice] = []

    pieces, _ = run("é!".encode(), on_choice=seen.append)

    assert pieces == ["é", "!"]
    assert [(0, i) for i in "é!".encode()] == [choice[:2] for choice in seen]
    assert [1.0] * 3 == [float(choice.logits[choice.id]) for choice in seen]


# Stop strings


@pytest.mark.parametrize(
    ("text", "stops", "expected"),
    [
        ("abc", [], ("abc", "", False)),
        ("abc", ["x"], ("abc", "", False)),
        ("abc", ["cd"], ("ab", "c", False)),
        ("abc", ["bcd", "cd"], ("a", "bc", False)),
        ("aab", ["ab"], ("a", "", True)),
        ("abab", ["ababc"], ("", "abab", False)),
        ("ababd", ["abd"], ("ab", "", True)),
        ("abcd", ["abcd", "bc"], ("a", "", True)),
        ("abc", ["abc", "bc"], ("", "", True)),
        ("", ["a"], ("", "", False)),
    ],
)
def test_release(text: str, stops: list[str], expected: tuple[str, str, bool]) -> None:
    assert release(text, stops) == expected


@given(
    st.lists(st.text("ab", max_size=5), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_a_stop_string_never_leaks_however_the_text_arrives(
    pieces: list[str], stops: list[str]
) -> None:
    text, shown, held, stopped = "".join(pieces), "", "", False
    for piece in pieces:
        ready, held, stopped = release(held + piece, stops)
        shown += ready
        if stopped:
            break

    # The text up to the first place where a stop string is complete, less that string.
    ends = [n for n in range(len(text) + 1) if any(text[:n].endswith(stop) for stop in stops)]
    assert stopped == bool(ends)
    if not ends:
        assert text == shown + held
    else:
        longest = max(len(stop) for stop in stops if text[: ends[0]].endswith(stop))
        assert text[: ends[0] - longest] == shown


# Several prompts


class Remembering:
    """A model whose answer depends on every id that it has read, and on nothing else."""

    def __init__(self, context: int) -> None:
        self.config = SimpleNamespace(max_seq_len=context)
        self.steps: list[int] = []  # how many texts each took

    def new_cache(self) -> SimpleNamespace:
        return SimpleNamespace(length=0, ids=[])

    def step(self, texts: Sequence[tuple[Sequence[int], SimpleNamespace]]) -> np.ndarray:
        self.steps.append(len(texts))
        rows = []
        for ids, cache in texts:
            cache.ids += ids
            cache.length = len(cache.ids)
            assert cache.length <= self.config.max_seq_len
            rows.append(logits_after(cache.ids))
        return np.stack(rows)


def logits_after(ids: Sequence[int]) -> np.ndarray:
    """Any logits, with a preference for EOG and three letters so that texts end and stop."""
    logits = np.random.RandomState(zlib.crc32(bytes(ids))).normal(0, 3, 256)
    logits[[EOG, *b"abc"]] += 7
    return logits.astype(np.float32)


def alone(prompt: str, context: int, *args: Any, **options: Any) -> tuple[str, str]:
    model: Any = Remembering(context)
    tok: Any = Bytes()
    pieces, finish = drain(generate(model, tok, prompt, *args, **options))
    return "".join(pieces), finish


def together(model: Any, tok: Any, prompts: Sequence[str], *args: Any, **options: Any) -> list[Any]:
    """(text, finish) of each prompt."""
    parts, finishes = drain(generate_batch(model, tok, prompts, *args, **options))
    assert all(part for _, part in parts)
    texts = ["".join(part for at, part in parts if at == i) for i in range(len(prompts))]
    return list(zip(texts, finishes))


@given(
    st.lists(st.text("abé ", min_size=1, max_size=6), max_size=5),
    st.builds(Sampling, temperature=st.sampled_from([0.0, 1.5]), seed=st.integers(0, 9)),
    st.integers(0, 40),
    st.lists(st.text("abc", min_size=1, max_size=3), max_size=2),
    st.integers(12, 30),
    st.booleans(),
)
def test_a_batch_gives_every_prompt_the_text_that_it_gets_alone(
    prompts: list[str],
    sampling: Sampling,
    max_tokens: int,
    stop: list[str],
    context: int,
    shift: bool,
) -> None:
    options: dict[str, Any] = {"max_tokens": max_tokens, "stop": stop, "shift": shift}

    expected = [alone(prompt, context, sampling, **options) for prompt in prompts]

    assert expected == together(Remembering(context), Bytes(), prompts, sampling, **options)


def test_each_prompt_may_have_a_sampling_of_its_own() -> None:
    own = [Sampling(temperature=2, seed=seed) for seed in (1, 2, 1)]

    texts = together(Remembering(99), Bytes(), ["?"] * 3, own, max_tokens=20)

    assert [alone("?", 99, one, max_tokens=20) for one in own] == texts
    assert texts[0] == texts[2] != texts[1]


def test_a_text_that_ends_leaves_the_batch_and_its_text_does_not_wait() -> None:
    class Counting(Remembering):
        """Says `b` as often as the prompt has letters, then EOG."""

        def step(self, texts: Any) -> np.ndarray:
            super().step(texts)
            said = [cache.ids.count(ord("b")) >= cache.ids.count(ord("a")) for _, cache in texts]
            return np.eye(256, dtype=np.float32)[[EOG if end else ord("b") for end in said]]

    model: Any = Counting(99)
    tok: Any = Bytes()
    parts, finishes = drain(generate_batch(model, tok, ["aaa", "a", "aa"], GREEDY, stop=["bbbb"]))

    assert [4 - 1, 3, 2, 1] == model.steps
    assert [(1, "b"), (2, "bb"), (0, "bbb")] == parts  # "b" waits only until EOG
    assert ["eog"] * 3 == finishes


def test_choices_name_their_text() -> None:
    seen: list[Choice] = []

    texts = together(
        Remembering(99), Bytes(), ["a", "b"], GREEDY, max_tokens=5, on_choice=seen.append
    )

    for index, (text, _) in enumerate(texts):
        ids = [choice.id for choice in seen if choice.text == index]
        assert text == bytes(ids).decode(errors="replace")
    for choice in seen:
        assert choice.id == choice.logits.argmax()


def test_no_prompts_are_no_texts() -> None:
    assert [] == together(Remembering(9), Bytes(), [], GREEDY)


@pytest.mark.parametrize(
    ("prompts", "sampling", "error", "message"),
    [
        ("ab", GREEDY, TypeError, "prompts is str, expected several texts"),
        (["a", "b" * 10], GREEDY, ModelError, "prompt 1: found 10 ids, expected 1 to 9"),
        (["a"], 0.8, TypeError, "sampling is float, expected Sampling"),
        (["a"], ["greedy"], TypeError, "sampling is str, expected Sampling"),
        (["a", "b"], [GREEDY], ModelError, "found 1, expected one, or one for each of 2 prompts"),
    ],
)
def test_a_bad_batch_is_named(
    prompts: Any, sampling: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        together(Remembering(9), Bytes(), prompts, sampling)


def test_a_real_model_says_in_a_batch_what_it_says_alone() -> None:
    model, tok = Llama.from_gguf(embedded_model(), "numpy"), Tokenizer.from_gguf(embedded_model())
    prompts = ["Once upon a time", "The cat", 'Tom said: "No', "", "One day, a big dog"]

    def choices(*some: str) -> list[list[Choice]]:
        seen: list[Choice] = []
        together(model, tok, some, GREEDY, max_tokens=40, on_choice=seen.append)
        return [[choice for choice in seen if choice.text == i] for i in range(len(some))]

    compared = 0
    for in_batch, [by_itself] in zip(choices(*prompts), map(choices, prompts)):
        for one, other in zip(in_batch, by_itself):
            second, first = np.sort(other.logits)[-2:]
            if first - second < 1e-3:  # two ids that rounding might exchange
                break
            assert other.id == one.id
            np.testing.assert_allclose(other.logits, one.logits, atol=1e-4, rtol=0)
            compared += 1
    assert compared > 120


# Where the context ends


def test_a_shift_reads_the_newer_half_again() -> None:
    model: Any = Scripted([*b"cdefghijk", EOG], context=6)
    tok: Any = Bytes()

    pieces, finish = drain(generate(model, tok, "ab", GREEDY, shift=True))

    assert ("cdefghijk", "eog") == ("".join(pieces), finish)
    # Six positions hold "abcdef"; "g" has none, so half of six is read: "efg".
    expected = [b"ab", b"c", b"d", b"e", b"f", b"efg", b"h", b"i", b"j", b"ijk"]
    assert [list(ids) for ids in expected] == model.fed


def test_a_shift_keeps_bos_in_front_where_the_vocabulary_adds_one() -> None:
    model: Any = Scripted([*b"cdefgh", EOG], context=6)
    tok: Any = Bytes(add_bos=True)

    list(generate(model, tok, "^b", GREEDY, shift=True))

    assert [b"^b", b"c", b"d", b"e", b"f", b"^fg", b"h"] == [bytes(ids) for ids in model.fed]


def test_a_shifted_text_has_the_logits_of_the_kept_ids() -> None:
    model, tok = Llama.from_gguf(embedded_model(), "numpy"), Tokenizer.from_gguf(embedded_model())
    context, seen, prompt = model.config.max_seq_len, [], tok.encode("Tom")
    endless = Sampling(temperature=0, presence_penalty=-1e6)

    text = generate(
        model, tok, "Tom", endless, max_tokens=context + 30, shift=True, on_choice=seen.append
    )
    list(text)

    ids = [*prompt, *(choice.id for choice in seen)]
    newest = ids[: context + 1][1 - context // 2 :]
    read = [ids[0], *newest, *ids[context + 1 : -1]]
    logits = [choice.logits for choice in seen][context + 1 - len(prompt) :]
    assert len(logits) > 20
    expected = model.forward(read)[context // 2 - 1 :]
    np.testing.assert_allclose(expected, logits, atol=1e-4, rtol=0)


def test_without_room_for_a_shift_there_is_an_error() -> None:
    message = "context: found 3, expected at least 4 positions to shift in"
    with pytest.raises(ModelError, match=message):
        run(b"abc", context=3, shift=True)
    assert ("abcdefg", "eog") == ("".join(run(b"abcdefg", context=4, shift=True)[0]), "eog")


# What reaches the tokenizer and the model


def test_control_pieces_in_a_prompt_are_plain_text_unless_asked() -> None:
    tok: Any = Bytes()
    for options, asked in (({}, (True, False)), ({"parse_special": True}, (True, True))):
        model: Any = Scripted([EOG])
        list(generate(model, tok, "x", GREEDY, **options))
        assert tok.asked == asked


def test_each_id_is_fed_once() -> None:
    model: Any = Scripted([7, 8, 9])

    ids = list(generate_ids(model, [1, 2, 3, 4, 5], GREEDY, max_tokens=3))

    assert ids == [7, 8, 9]
    assert model.fed == [[1, 2, 3, 4, 5], [7], [8]]


def test_penalties_see_the_prompt_and_what_was_said(tmp_path: Path) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["plain"]))
    never_again = Sampling(temperature=0, presence_penalty=1e6, penalty_last_n=100)

    ids = list(generate_ids(model, IDS[:5], never_again, max_tokens=20))

    assert len(set(ids)) == 20
    assert not set(ids) & set(IDS[:5])


def test_a_seed_decides_the_ids(tmp_path: Path) -> None:
    model = Llama.from_gguf(write_case(tmp_path / "m.gguf", CASES["plain"]))

    def ids(seed: int) -> list[int]:
        return list(generate_ids(model, [1], Sampling(temperature=2.0, seed=seed), max_tokens=30))

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ""}, "prompt: found 0 ids, expected 1 to 9"),
        ({"prompt": "x" * 10}, "prompt: found 10 ids, expected 1 to 9"),
        ({"prompt": "x" * 10, "shift": True}, "prompt: found 10 ids, expected 1 to 9"),
        ({"max_tokens": -1}, "max_tokens: found -1, expected an integer from 0"),
        ({"max_tokens": 1.5}, "max_tokens: found 1.5, expected"),
        ({"max_tokens": True}, "max_tokens: found True, expected"),
        ({"stop": ["a", ""]}, "stop: found '', expected strings of a character or more"),
        ({"stop": [b"a"]}, "stop: found b'a', expected strings of a character or more"),
        ({"stop": 3}, "stop: found 3, expected a string or several"),
    ],
)
def test_a_bad_argument_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        run(b"abc", context=9, **options)


# With a real model


def test_a_story_is_told_as_llama_cpp_tells_it(shared: Path) -> None:
    golden = Path(__file__).parent.parent / "golden/llama/stories260K.jsonl"
    header, *lines = map(json.loads, golden.read_text("utf-8").splitlines())
    path = shared / "gguf" / header["model"]
    model, tok = Llama.from_gguf(path), Tokenizer.from_gguf(path)

    pieces = list(generate(model, tok, header["prompt"], GREEDY, max_tokens=len(lines)))
    one_stop = generate(model, tok, header["prompt"], GREEDY, max_tokens=99, stop=["red ball"])

    assert header["text"] == "".join(pieces)
    assert len(pieces) > 150
    assert header["text"].split("red ball")[0] == "".join(one_stop)


def test_the_end_to_end_script_tells_the_same_story(
    shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from tools.generate import main

    golden = Path(__file__).parent.parent / "golden/llama/stories260K.jsonl"
    header = json.loads(golden.read_text("utf-8").splitlines()[0])
    model = str(shared / "gguf" / header["model"])
    monkeypatch.setattr(sys, "argv", ["generate.py", model, header["prompt"], "--temperature=0"])

    main()

    shown = capsys.readouterr()
    assert header["prompt"] + header["text"] + "\n" == shown.out
    assert str(header["prompt_ids"]) in shown.err


def test_a_stop_string_far_longer_than_the_text_costs_no_more_than_the_text() -> None:
    text = "a" * 3000

    assert ("", text, False) == release(text, ["a" * 1_000_000])
    assert (text, "", False) == release(text, ["b" * 1_000_000])
    assert ("a" * 2998 + "b", "aab", False) == release("a" * 2998 + "baab", ["aabaac"])


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=6), max_size=3))
def test_what_waits_is_the_longest_end_that_a_stop_string_begins_with(
    text: str, stops: list[str]
) -> None:
    shown, held, stopped = release(text, stops)

    ends = [n for s in stops for n in range(1, len(s)) if text.endswith(s[:n])]
    assert stopped or (max(ends, default=0), text) == (len(held), shown + held)
