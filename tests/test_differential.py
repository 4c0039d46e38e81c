"""tools.differential: no difference on models made here, and a difference where there is one."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from spm import Tokenizer
from spm.native import core
from spm.tokenizer import Batch
from tests.making import (
    BYTES,
    HEAD,
    field,
    model,
    normalizer_spec,
    piece,
    pieces,
    trained,
    trainer_spec,
)
from tools import differential

pytestmark = pytest.mark.filterwarnings("ignore::spm.errors.DoubleBOSWarning")

ISAS = [None] if core is None else [n for i, n in enumerate(core.ISAS) if core.supports(i)]

MODELS: dict[str, dict[str, Any]] = {
    "identity": {},
    "nmt_nfkc": {"rule": "nmt_nfkc"},
    "nfkc_cf without bytes": {"rule": "nfkc_cf", "byte_fallback": False},
    "every space": {"remove_extra_whitespaces": False, "split_by_whitespace": False},
    "no prefix": {"add_dummy_prefix": False},
    "suffix": {"treat_whitespace_as_suffix": True},
    "user-defined": {"user_defined_symbols": "the,  ,▁▁,quick br,日本", "rule": "nmt_nfkc"},
    "own names": {"bos_piece": "[B]", "unk_surface": "?", "control_symbols": "<mask>,[INST]"},
}


@pytest.mark.parametrize("name", MODELS)
def test_no_difference_to_sentencepiece(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"{name}.model"
    path.write_bytes(trained(**MODELS[name]))

    lines = [b"", "a line, naïve".encode()]
    found = differential.check(path, count=150, seed=1, lines=lines, isas=ISAS)

    assert found == 0, capsys.readouterr().out


def test_no_difference_on_a_model_of_every_type(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = [
        *pieces("▁ ▁▁ a b ab:-1 ba:-1 abab:2 é ▁a:-3 ▁ab"),
        *(piece(text, -2, 5) for text in ("aa", "aaa", "bb", "▁b")),
        *(piece(text, 0, 4) for text in ("<u>", "aba", "▁▁▁")),
        *(piece(text, 5, 3) for text in ("<c>", "bab")),
    ]
    path = tmp_path / "types.model"
    trainer = trainer_spec(extra=field(44, "▁u▁"))
    path.write_bytes(
        model([*HEAD, *BYTES, *extra], trainer=trainer, normalizer=normalizer_spec(remove=False))
    )

    found = differential.check(path, count=150, seed=2, lines=[], isas=ISAS)

    assert found == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    "name",
    ["tok512.model", "yi.model", "bpe_bytefallback_nfkc_50256.model", "internlm2.model",
     "mistral_v3_240323.model"],
)  # fmt: skip
def test_no_difference_on_real_models(
    shared: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = shared / "sentencepiece" / name

    assert differential.check(path, count=50, seed=3, lines=[]) == 0, capsys.readouterr().out


def test_a_difference_is_found_counted_and_cut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(trained())
    right = Tokenizer.encode

    def wrong(self: Tokenizer, text: bytes, **options: bool) -> list[int]:
        return [0] if b"q" in text else right(self, text, **options)

    monkeypatch.setattr(Tokenizer, "encode", wrong)
    found = differential.check(path, count=60, seed=1, lines=[b"a quick fox"])

    told = capsys.readouterr().out
    assert found >= 1
    assert "b'q'" in told
    assert f"{found} differences" in told


def test_a_difference_in_decoding_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(trained())
    monkeypatch.setattr(Tokenizer, "decode_bytes", lambda self, ids: b"never this")

    assert differential.check(path, count=5, seed=1, lines=[]) >= 5
    assert "decode [" in capsys.readouterr().out


WRONG: dict[str, Any] = {
    "encode_batch": lambda self, texts, **options: Batch(
        np.array([0], np.int32), np.array([0, 1] + [1] * (len(texts) - 1)), None
    ),
    "count": lambda self, text, **options: -1,
    "encode_offsets": lambda self, text, **options: ([], np.empty((0, 2), np.int64)),
    "truncate": lambda self, text, room, **options: b"never this",
    "stream_encoder": lambda self, **options: mock.Mock(push=lambda text: [], flush=list),
    "decode_bytes": lambda self, ids: b"never this",
}


@pytest.mark.parametrize("name", WRONG)
def test_every_way_is_compared(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(trained())
    monkeypatch.setattr(Tokenizer, name, WRONG[name])

    assert differential.check(path, count=5, seed=1, lines=[b"a line"]) >= 5
    assert f"m.model: {name.removesuffix('_bytes')}" in capsys.readouterr().out


@pytest.mark.skipif(core is None, reason="the compiled core is not built")
def test_every_instruction_set_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(trained())
    command = ["differential", "--count", "30", str(path), "--isa", "portable", "portable"]
    monkeypatch.setattr(sys, "argv", command)

    assert differential.main() == 0
    assert capsys.readouterr().out.count("m.model portable: 0 differences, 30 encodings") == 2


def test_the_same_seed_makes_the_same_texts() -> None:
    parts = [b"the", "▁quick".encode(), b"<s>"]

    def made(seed: int) -> list[bytes]:
        return list(differential.texts(random.Random(seed), parts, 50, [b"line"]))

    assert made(1) == made(1) != made(2)
    assert made(1)[-1] == b"line"
    assert len(made(1)) == 51


def test_every_maker_makes_bytes() -> None:
    rng = random.Random(1)
    for maker in differential.MAKERS:
        assert all(isinstance(maker(rng, [b"ab", b"c"]), bytes) for _ in range(50))


def test_the_smallest_wrong_text() -> None:
    assert differential.smallest(b"aaaaqaaaaaaza", lambda t: b"q" in t) == b"q"
    assert differential.smallest(b"abqcdzef", lambda t: b"q" in t and b"z" in t) == b"qz"
    assert differential.smallest(b"q", lambda t: True) == b"q"
