"""The command line as a person or a script uses it: a process, its two streams, its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from spm import gguf
from spm.data import embedded_model
from spm.gguf import write_gguf
from spm.llama import Llama
from spm.tokenizer import Tokenizer
from tools.small_llamas import CASES, write_case

VOCABS = Path(__file__).parents[1] / "golden" / "vocabs"
MODEL, GGUF = VOCABS / "identity.model", VOCABS / "identity.gguf"


unix = pytest.mark.skipif(os.name == "nt", reason="signals and terminals of Unix")


def ctrl_c_is_heard() -> None:
    """Undo what a shell does to what it runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def spm(*args: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "spm.cli", *map(str, args)]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=120)


def oracle() -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_file=str(MODEL))


def test_encode_prints_the_ids_on_one_line() -> None:
    result = spm("encode", MODEL, "Hello  wörld")

    assert (0, b"") == (result.returncode, result.stderr)
    assert oracle().Encode("Hello  wörld") == [int(word) for word in result.stdout.split()]


def test_encode_reads_standard_input_to_the_last_byte() -> None:
    text = b"one\ntwo \xff\xe2\x96\n"

    assert oracle().Encode(text) == [
        int(w) for w in spm("encode", MODEL, "-", stdin=text).stdout.split()
    ]


@pytest.mark.skipif(os.name == "nt", reason="arguments are not bytes there")
def test_arguments_that_are_no_utf8_are_the_bytes_that_were_typed() -> None:
    typed = os.fsdecode(b"a\xffb")

    assert oracle().Encode(b"a\xffb") == [
        int(word) for word in spm("encode", MODEL, typed).stdout.split()
    ]


def test_encode_json_says_whose_ids_they_are() -> None:
    answer = json.loads(spm("encode", "--json", MODEL, "a b").stdout)

    assert oracle().Encode("a b") == answer["ids"]
    assert oracle().Encode("a b", out_type=str) == answer["pieces"]
    assert "sentencepiece" == answer["dialect"]
    assert 3 == answer["bytes"][-1][1]


def test_the_dialect_can_be_chosen() -> None:
    assert "llama.cpp" == json.loads(spm("encode", "--json", GGUF, "a").stdout)["dialect"]
    assert b"tokenizer.ggml." in spm("encode", "--dialect", "sentencepiece", GGUF, "a").stderr


def test_pieces_are_listed_with_their_bytes() -> None:
    first = spm("encode", "--pieces", "--no-special", MODEL, "é").stdout.decode().splitlines()[0]

    assert str(oracle().Encode("é")[0]) == first.split()[0]


def test_decode_takes_ids_as_arguments_and_from_standard_input() -> None:
    ids = oracle().Encode("Hello wörld")
    expected = b"Hello w\xc3\xb6rld\n"

    assert expected == spm("decode", MODEL, *ids).stdout
    assert expected == spm("decode", MODEL, "-", stdin=str(ids).encode()).stdout


@pytest.mark.parametrize("bad", ["x", "1.5", "99999", "-1", "9" * 40])
def test_decode_refuses_what_is_no_id_in_one_line(bad: str) -> None:
    result = spm("decode", MODEL, "--", bad)

    assert 1 == result.returncode
    assert 1 == result.stderr.count(b"\n")
    assert b"expected" in result.stderr


def test_explain_ends_with_the_ids_of_encode() -> None:
    lines = spm("explain", MODEL, "zzz").stdout.decode().splitlines()

    assert lines[0].startswith("symbols  ▁|z|z|z")
    assert oracle().Encode("zzz") == [
        int(line.split()[1]) for line in lines if line.startswith("id")
    ]


def test_explain_json_is_readable_by_a_program() -> None:
    answer = json.loads(spm("explain", "--json", MODEL, "z").stdout)

    assert ["▁", "z"] == answer["parts"][0]["symbols"]


def test_inspect_shows_vocabulary_metadata_and_tensors() -> None:
    shown = spm("inspect", "--tensors", GGUF).stdout.decode()

    assert "fingerprint" in shown
    assert "tokenizer.ggml.model" in shown
    assert (
        json.loads(spm("inspect", "--json", GGUF).stdout)["vocabulary"]["pieces"]
        == oracle().vocab_size()
    )
    assert "tensors" not in spm("inspect", MODEL).stdout.decode()


def test_a_missing_file_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    for verb in ("encode", "explain", "inspect"):
        result = spm(verb, tmp_path / "none.gguf", *(["x"] if verb != "inspect" else []))

        assert 1 == result.returncode
        assert 1 == result.stderr.count(b"\n")
        assert b"none.gguf" in result.stderr


def test_a_command_line_that_is_not_understood_is_exit_code_2() -> None:
    assert 2 == spm("encode").returncode
    assert 2 == spm("sing").returncode


def test_generate_without_a_model_runs_the_embedded_one() -> None:
    result = spm(
        "generate", "--show-ids", "--temperature", 0, "--max-tokens", 12, "Once upon a time"
    )
    first, text, *_, last = result.stdout.decode().split("\n")[:-1]

    assert (0, b"") == (result.returncode, result.stderr)  # no progress in a pipe
    assert first.startswith("prompt ids: 1 ")
    assert text
    assert 12 == len(last.removeprefix("answer ids: ").split())


def test_show_logits_lists_every_id_with_its_runners_up() -> None:
    args = ("generate", "--show-logits", "--backend", "numpy", "--temperature", 2)
    args += ("--max-tokens", 9, "The cat")
    answer = json.loads(spm(*args, "--json").stdout)
    text, head, *rows = spm(*args).stdout.decode().splitlines()

    model = Llama.from_gguf(embedded_model(), "numpy")
    logits = model.forward(answer["prompt_ids"] + answer["ids"])[len(answer["prompt_ids"]) - 1 :]
    vocab = Tokenizer.from_gguf(embedded_model()).vocab
    assert "The cat" + answer["text"] == text
    assert ["id", "piece", "prob.", "logit", "runners-up"] == head.split()
    assert answer["ids"] == [int(row.split()[0]) for row in rows]
    for i, choice, row, z in zip(answer["ids"], answer["choices"], rows, logits.astype(float)):
        shares = np.exp(z - np.logaddexp.reduce(z))
        others = [j for j in np.argsort(-z) if j != i][:3]
        assert (i, others) == (choice["id"], [other["id"] for other in choice["runners_up"]])
        for told in (choice, *choice["runners_up"]):
            assert vocab.pieces[told["id"]].decode() == told["piece"]
            assert told["logit"] == pytest.approx(z[told["id"]], abs=1e-3)
            assert told["probability"] == pytest.approx(shares[told["id"]], abs=1e-3)
            assert f"'{told['piece']}'" in row
        assert f"{choice['logit']:.3f}" in row
        assert f"{choice['probability']:.1%}" in row


def test_a_full_context_is_said_and_a_shift_goes_on() -> None:
    # Whatever was seen once is liked beyond measure, so that no EOG ends the text.
    endless = ("--temperature", 0, "--presence-penalty=-1e6", "--max-tokens", 520, "Tom")
    full = spm("generate", "--json", *endless)
    shifted = spm("generate", "--json", "--shift", *endless)

    answer = json.loads(full.stdout)
    assert (0, "context") == (full.returncode, answer["finish"])
    assert 513 == len(answer["prompt_ids"] + answer["ids"])
    assert (
        "spm generate: warning: the context's 512 positions are full: --shift goes on\n"
        == full.stderr.decode()
    )
    answer = json.loads(shifted.stdout)
    assert (0, b"", "length") == (shifted.returncode, shifted.stderr, answer["finish"])
    assert 520 == len(answer["ids"])


def test_generate_names_what_is_wrong_with_its_back_end() -> None:
    assert b"backend 'cuda': unknown" in spm("generate", "--backend", "cuda", "x").stderr
    assert b"threads: found 0, expected 1 to 256" in spm("generate", "--threads", 0, "x").stderr


@unix
def test_a_terminal_hears_which_back_end_runs_and_how_fast() -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "spm.cli", "generate", "--max-tokens", "3", "x"]
    subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, timeout=120, check=True)
    heard = os.read(ours, 65536).decode()

    first, last = (
        line.rpartition("\r")[2] for line in heard.replace("\r\n", "\n").split("\n")[:-1]
    )
    assert f"[{Llama.from_gguf(embedded_model()).ops.describe()}]" == first.rstrip()
    assert last.startswith("[3 ids, ")
    assert last.endswith(" a second, stopped by --max-tokens]")
    assert "loading: 3.1 of 3.1 MB" in heard


@unix
def test_ctrl_c_ends_with_what_was_generated() -> None:
    endless = ["--temperature=0", "--presence-penalty=-1e6", "--max-tokens=99999999", "--shift"]
    command = [sys.executable, "-m", "spm.cli", "generate", "--show-ids", *endless, "Tom"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=ctrl_c_is_heard
    )
    assert process.stdout is not None
    first = process.stdout.read(40)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)

    assert (130, b"") == (process.returncode, errors)
    ids, text, last = (first + rest).decode().split("\n")[:-1]
    assert "prompt ids: 1 " == ids[:14]
    assert text.startswith("Tom Tom")
    assert len(text) < 4 * len(last.removeprefix("answer ids: ").split()) + 8


@unix
def test_ctrl_c_leaves_a_whole_json_object() -> None:
    program = """if True:
        import signal, sys
        from spm.cli import main
        from spm.llama import Llama
        step, steps = Llama.step, []
        def stopped(self, texts):
            steps.append(texts)
            if len(steps) == 5:
                signal.raise_signal(signal.SIGINT)
            return step(self, texts)
        Llama.step = stopped
        sys.exit(main(["generate", "--json", "--temperature=0", "Once upon a time"]))
    """
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, preexec_fn=ctrl_c_is_heard, timeout=60
    )

    answer = json.loads(result.stdout)
    assert (130, b"") == (result.returncode, result.stderr)
    assert ("interrupted", 4) == (answer["finish"], len(answer["ids"]))
    assert ", there was a" == answer["text"]


def test_generate_gives_the_same_text_for_the_same_seed() -> None:
    args = ("generate", "--json", "--seed", 7, "--max-tokens", 16, "The cat")
    first, second = (json.loads(spm(*args).stdout) for _ in range(2))

    assert first["ids"] == second["ids"]
    assert first["text"] == second["text"]


@pytest.mark.parametrize(
    "option", [("--temperature", "-1"), ("--top-p", "2"), ("--max-tokens", "-5"), ("--stop", "")]
)
def test_generate_refuses_values_out_of_range_in_one_line(option: tuple[str, str]) -> None:
    result = spm("generate", *option, "x")

    assert 1 == result.returncode
    assert 1 == result.stderr.count(b"\n")


@pytest.mark.skipif(os.name == "nt", reason="no SIGPIPE there")
def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -m spm.cli inspect --tensors {GGUF} | head -1"

    assert b"" == subprocess.run(command, shell=True, capture_output=True, timeout=60).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_line_and_exit_code_1() -> None:
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "spm.cli", "encode", str(MODEL), "hello"]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, timeout=60)

    assert 1 == result.returncode
    assert 1 == result.stderr.count(b"\n")


def test_every_error_is_one_line_whatever_the_name() -> None:
    for args in (["inspect", "a\nb"], ["encode", "x" * 3000, "t"], ["sing\nsong"], ["encode"]):
        stderr = spm(*args).stderr

        assert 1 == stderr.count(b"\n")
        assert len(stderr) < 400


def test_a_folder_and_a_text_are_not_models(tmp_path: Path) -> None:
    text = tmp_path / "notes.md"
    text.write_text("# notes")

    assert b"not a regular file" in spm("encode", tmp_path, "x").stderr
    assert 1 == spm("inspect", text).returncode


def test_a_second_bos_is_a_warning_of_one_line() -> None:
    result = spm("encode", "--parse-special", GGUF, "<s>a")

    assert 0 == result.returncode
    assert result.stderr.startswith(b"spm encode: warning: ")
    assert 1 == result.stderr.count(b"\n")


@pytest.mark.skipif(os.name == "nt", reason="a shell that closes streams")
@pytest.mark.parametrize("closed", [">&-", "<&-"])
def test_closed_streams_are_an_error_of_one_line(closed: str) -> None:
    command = f"{sys.executable} -m spm.cli encode {GGUF} - {closed}"
    result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, timeout=60)

    assert 1 == result.returncode
    assert b"closed" in result.stderr
    assert 1 == result.stderr.count(b"\n")


def test_inspect_shows_no_control_characters_and_clips_names(tmp_path: Path) -> None:
    path = tmp_path / "v.gguf"
    write_gguf(path, {"a" * 10_000: "\x1b[2J\r", "b": float("nan")}, {})

    shown = spm("inspect", path).stdout.decode()

    assert len(shown) < 2000
    assert "\x1b" not in shown
    assert "nan" == json.loads(spm("inspect", "--json", path).stdout)["metadata"]["b"]


def test_convert_writes_a_file_that_sentencepiece_opens(tmp_path: Path) -> None:
    result = spm("convert", MODEL, tmp_path / "copy.model")

    assert (0, b"") == (result.returncode, result.stderr)
    copy = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "copy.model"))
    assert oracle().Encode("Hello  wörld") == copy.Encode("Hello  wörld")


@pytest.fixture
def tokenizer_json(tmp_path: Path) -> Path:
    """A model of two words behind a normalizer; the name of the file says nothing."""
    token = {"id": 2, "content": "<s>", "special": True, "normalized": True}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip"), False)
    stages = {
        "added_tokens": [{**token, **flags}, {**flags, **token, "id": 3, "content": "A"}],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
    }
    stages["added_tokens"][1]["special"] = False
    path = tmp_path / "words"
    path.write_text(" \n" + json.dumps(stages, indent=1))
    return path


def test_every_verb_reads_a_tokenizer_json(tokenizer_json: Path, tmp_path: Path) -> None:
    encoded = json.loads(spm("encode", "--json", tokenizer_json, "b  B").stdout)
    assert ([1, 1], "huggingface") == (encoded["ids"], encoded["dialect"])
    assert b"[UNK] b\n" != spm("decode", tokenizer_json, "1").stdout
    chosen = spm("encode", "--dialect", "huggingface", tokenizer_json, "b")
    assert (0, b"1\n") == (chosen.returncode, chosen.stdout)
    refused = spm("encode", "--dialect", "llama.cpp", tokenizer_json, "b").stderr
    assert refused.endswith(b"is 'llama.cpp', expected 'huggingface' for a tokenizer.json\n")
    assert 0 == spm("convert", tokenizer_json, tmp_path / "copy.json").returncode
    copied = json.loads((tmp_path / "copy.json").read_text())
    assert {"type": "WhitespaceSplit"} == copied["pre_tokenizer"]


def test_inspect_shows_the_steps_of_a_tokenizer_json(tokenizer_json: Path) -> None:
    report = json.loads(spm("inspect", "--json", tokenizer_json).stdout)

    assert "WORD" == report["vocabulary"]["family"]
    assert ["Lowercase()"] == report["pipeline"]["normalizer"]
    assert ["2, of which 1 are special"] == report["pipeline"]["added tokens"]
    assert ["offered"] == [told for told in report["dialects"].values() if ": " not in told]
    shown = spm("inspect", tokenizer_json).stdout.decode()
    assert "pre_tokenizer   WhitespaceSplit()" in shown
    for line in (
        "there is no decoder: pieces are put together with spaces between them",
        "1 added tokens come of any text, since they are not special, such as 'A' (id 3)",
        "1 special tokens are looked for in the normalised text, such as '<s>' (id 2)",
    ):
        assert line in shown


def test_convert_writes_a_tokenizer_json(tmp_path: Path) -> None:
    result = spm("convert", MODEL, tmp_path / "copy.json")

    assert (0, b"") == (result.returncode, result.stderr)
    ids = [
        int(word) for word in spm("encode", tmp_path / "copy.json", "Hello  wörld").stdout.split()
    ]
    assert oracle().Encode("Hello  wörld") == ids


def test_convert_knows_a_format_by_the_ending_alone(tmp_path: Path) -> None:
    result = spm("convert", MODEL, tmp_path / "copy.bin")

    assert (1, b"") == (result.returncode, result.stdout)
    assert (
        b"copy.bin: the name ends with '.bin', expected .gguf or .model or .json\n" in result.stderr
    )


def test_template_prints_a_chat_as_the_model_reads_it(tmp_path: Path) -> None:
    model, messages = tmp_path / "a.gguf", tmp_path / "messages.json"
    template = "{{ bos_token }}[{{ messages[0].content }}]{{ 'x' if add_generation_prompt }}"
    with gguf.GGUF.open(GGUF) as given:
        write_gguf(model, {**given.metadata, "tokenizer.chat_template": template}, {})
    messages.write_text('[{"role": "user", "content": "<s>\\n"}]')

    assert b"<s>[<s>\n]x" == spm("template", model, messages).stdout
    assert b"<s>[<s>\n]" == spm("template", model, "--no-prompt", messages).stdout
    answer = json.loads(spm("template", "--json", model, "-", stdin=messages.read_bytes()).stdout)
    assert [[0, 4], [8, 10]] == answer["trusted"]
    assert answer["ids"] == [
        int(i) for i in spm("template", "--ids", model, messages).stdout.split()
    ]
    assert 1 == answer["ids"].count(answer["ids"][0])


@pytest.mark.parametrize(
    ("messages", "said"),
    [("{}", "found dict, expected a JSON list"), ("[", "expected JSON"), (None, "No such file")],
)
def test_template_refuses_what_are_no_messages(
    tmp_path: Path, messages: str | None, said: str
) -> None:
    path = tmp_path / "messages.json"
    if messages is not None:
        path.write_text(messages)

    result = spm("template", GGUF, path)

    assert 1 == result.returncode
    assert said in result.stderr.decode()
    assert 1 == result.stderr.count(b"\n")


def test_bench_prints_a_table_and_names_who_is_missing() -> None:
    result = spm("bench", "--generate", "--turns", 1)
    shown = result.stdout.decode()

    assert (0, b"") == (result.returncode, result.stderr)
    about, table, _ = shown.split("\n\n")
    names = ["machine", "system", "Python", "NumPy", "spm", "model", "threads"]
    assert names == [line.split()[0] for line in about.splitlines()]
    head, *rows = table.splitlines()
    assert re.split("  +", head.strip()) == [
        *("load", "prefill 128", "prefill 512", "decode at 0", "decode at 512", "peak memory")
    ]
    assert ["numpy", "native", "mlx"] == [row.split()[0] for row in rows]
    for row in rows:
        assert re.match(r"\w+ +([\d,.]+ s( +[\d,.]+){3} +- +[\d,.]+ MB  |missing: )\w", row), row


def test_bench_json_has_every_figure(tmp_path: Path) -> None:
    args = ("--generate", "--json", "--turns", 1, "--threads", 1, "--backend", "numpy")
    answer = json.loads(spm("bench", *args, write_case(tmp_path / "m.gguf", CASES["tied"])).stdout)

    assert ("1", 1, 32) == (answer["threads"], answer["turns"], answer["new_ids"])
    [(name, figures)] = answer["backends"].items()
    assert "numpy" == name
    assert {"description", "load_seconds", "prefill", "decode", "peak_bytes"} == set(figures)
    assert figures["prefill"]["128"] > 0
    assert figures["prefill"]["512"] is None  # the context is 160


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "the following arguments are required: --generate"),
        (["--generate", "--turns", "0"], 1, "turns: found 0, expected at least 1"),
        (["--generate", "--threads", "-1"], 1, "threads: found -1, expected 1 to 256"),
        (["--generate", "--backend", "cuda"], 1, "backend 'cuda': unknown"),
        (["--generate", "none.gguf"], 1, "none.gguf: "),
        (["--generate", GGUF], 1, "identity.gguf: llama."),
    ],
)
def test_bench_says_what_is_wrong_in_one_line(args: list[object], code: int, said: str) -> None:
    result = spm("bench", *args)

    assert code == result.returncode
    assert said in result.stderr.decode()
    assert 1 == result.stderr.count(b"\n")
