"""The command line as a person or a script uses it: a process, its two streams, its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sentencepiece

from spm.gguf import write_gguf

VOCABS = Path(__file__).parents[1] / "golden" / "vocabs"
MODEL, GGUF = VOCABS / "identity.model", VOCABS / "identity.gguf"


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
    result = spm("generate", "--ids", "--temperature", 0, "--max-tokens", 12, "Once upon a time")
    first, text, *_, last = result.stdout.decode().split("\n")[:-1]

    assert (0, b"") == (result.returncode, result.stderr)  # no progress in a pipe
    assert first.startswith("prompt ids: 1 ")
    assert text
    assert 12 == len(last.removeprefix("answer ids: ").split())


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


def test_convert_knows_a_format_by_the_ending_alone(tmp_path: Path) -> None:
    result = spm("convert", MODEL, tmp_path / "copy.bin")

    assert (1, b"") == (result.returncode, result.stdout)
    assert b"copy.bin: the name ends with '.bin', expected .gguf or .model\n" in result.stderr
