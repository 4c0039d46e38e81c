"""llama.cpp as the oracle of spm.llama: ids -> logits, logits -> what a sampler leaves, and blocks.

Needs `llama_cpp` (llama-cpp-python 0.3.36). Everything that could blur the logits is switched off:
keys and values are cached as float32, no flash attention, one thread, all ids in one batch.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from spm.gguf.types import BLOCK_LAYOUTS, TensorType
from tools.oracles import LlamaCppOracle

NAME = f"llama.cpp of llama-cpp-python {llama_cpp.__version__}"
OPTIONS = {
    "type_k": "F32",
    "type_v": "F32",
    "flash_attn": False,
    "n_ubatch": 512,
    "n_threads": 1,
    "n_gpu_layers": 0,
}

_ggml = ctypes.CDLL(str(Path(os.environ["LLAMA_CPP_LIB_PATH"]) / "libggml-base.so"))
_ggml.ggml_get_name.restype = ctypes.c_char_p
_ggml.ggml_is_contiguous.restype = ctypes.c_bool
_ggml.ggml_get_name.argtypes = _ggml.ggml_is_contiguous.argtypes = [ctypes.c_void_p]
_ggml.ggml_backend_tensor_get.argtypes = [ctypes.c_void_p] * 2 + [ctypes.c_size_t] * 2
_ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
_ggml.ggml_quantize_chunk.argtypes = [
    ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p,
]  # fmt: skip


class _Tensor(ctypes.Structure):
    """The head of ggml.h's `struct ggml_tensor`."""

    _fields_ = [
        ("type", ctypes.c_int),
        ("buffer", ctypes.c_void_p),
        ("ne", ctypes.c_int64 * 4),
    ]


class LlamaCppModel(LlamaCppOracle):
    """One open model, its vocabulary and its weights."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, vocab_only=False)
        self.vocab_size = llama_cpp.llama_vocab_n_tokens(self.vocab)

    def prompt_ids(self, text: str) -> list[int]:
        """The text's ids, with BOS or EOS where the file asks for them."""
        return self.encode(text.encode(), parse_special=False, add_special=True)

    def pieces(self, ids: Sequence[int]) -> str:
        """The pieces' texts, one after the other: what a program that streams them prints."""
        text, buffer = b"", ctypes.create_string_buffer(256)
        for token in ids:
            n = llama_cpp.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, False)
            text += buffer.raw[:n]
        return text.decode()

    def logits(self, ids: Sequence[int], as_it_comes: bool = False) -> npt.NDArray[np.float32]:
        """Teacher-forced: ids (T,) -> (T, V), all in one batch.

        `as_it_comes` leaves llama.cpp's own defaults: halves for keys and values, flash attention
        where it can, every core.
        """
        context = self._new_context(len(ids), as_it_comes=as_it_comes)
        logits = self._decode(context, ids, 0)
        llama_cpp.llama_free(context)
        return logits

    def stages(self, ids: Sequence[int]) -> list[tuple[str, npt.NDArray[np.float32]]]:
        """Every contiguous float32 node of the graph as it is computed: (name, values).

        A node is seen again under its name when it is reshaped. Attention weights are padded to the
        cache's size, which is cut off here.
        """
        seen = []

        def look(node: int, ask: bool, data: int) -> bool:
            tensor = ctypes.cast(node, ctypes.POINTER(_Tensor)).contents
            if not ask and tensor.type == 0 and _ggml.ggml_is_contiguous(node):
                values = np.empty(tuple(tensor.ne)[::-1], np.float32)
                _ggml.ggml_backend_tensor_get(node, values.ctypes.data, 0, values.nbytes)
                seen.append((_ggml.ggml_get_name(node).decode(), values.squeeze()))
            return True

        callback = llama_cpp.ggml_backend_sched_eval_callback(look)
        context = self._new_context(len(ids), callback)
        self._decode(context, ids, 0)
        llama_cpp.llama_free(context)
        softmax = "kq_soft_max"
        return [(n, v[..., : len(ids)] if n.startswith(softmax) else v) for n, v in seen]

    def greedy(self, ids: Sequence[int], n: int) -> tuple[list[int], npt.NDArray[np.float32]]:
        """The n likeliest ids after `ids`, one by one, and the logits of each step (n, V)."""
        context = self._new_context(len(ids) + n)
        rows: list[npt.NDArray[np.float32]] = []
        chosen: list[int] = []
        new = list(ids)
        for _ in range(n):
            start = 0 if not chosen else len(ids) + len(chosen) - 1
            rows.append(self._decode(context, new, start)[-1])
            chosen.append(int(rows[-1].argmax()))
            new = chosen[-1:]
        llama_cpp.llama_free(context)
        return chosen, np.stack(rows)

    def _new_context(self, n: int, look: Any = None, as_it_comes: bool = False) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = n
        params.n_batch = params.n_ubatch = OPTIONS["n_ubatch"]
        if as_it_comes:
            params.n_threads = params.n_threads_batch = os.cpu_count() or 1
            return llama_cpp.llama_init_from_model(self.model, params)
        params.n_threads = params.n_threads_batch = OPTIONS["n_threads"]
        params.type_k = params.type_v = llama_cpp.GGML_TYPE_F32
        params.flash_attn_type = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
        if look is not None:
            params.cb_eval = look
        return llama_cpp.llama_init_from_model(self.model, params)

    def _decode(self, context: Any, ids: Sequence[int], start: int) -> npt.NDArray[np.float32]:
        batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i], batch.pos[i] = token, start + i
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
            batch.logits[i] = True
        if llama_cpp.llama_decode(context, batch):
            raise SystemExit("llama_decode failed")
        flat = llama_cpp.llama_get_logits(context)
        logits: npt.NDArray[np.float32] = np.ctypeslib.as_array(flat, (len(ids), self.vocab_size))
        logits = logits.copy()
        llama_cpp.llama_batch_free(batch)
        return logits


def apply_sampler(
    sampler: Any, logits: Sequence[float], recent: Sequence[int] = ()
) -> list[tuple[int, float]]:
    """What one of llama.cpp's samplers leaves of `logits` after `recent`: (id, logit), by id."""
    for token in recent:
        llama_cpp.llama_sampler_accept(sampler, token)
    data = (llama_cpp.llama_token_data * len(logits))()
    for i, logit in enumerate(logits):
        data[i].id, data[i].logit = i, logit
    array = llama_cpp.llama_token_data_array(data, len(logits), -1, False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    llama_cpp.llama_sampler_free(sampler)
    return sorted((array.data[i].id, array.data[i].logit) for i in range(array.size))


def quantize(kind: TensorType, values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Rows (n, m) as the blocks that ggml makes of them, no weight more important than another."""
    n, m = values.shape
    layout = BLOCK_LAYOUTS[kind]
    source, importance = np.ascontiguousarray(values), np.ones(m, np.float32)
    blocks = np.empty((n, m // layout.values * layout.nbytes), np.uint8)
    pointers = [array.ctypes.data for array in (source, blocks, importance)]
    size = _ggml.ggml_quantize_chunk(kind, *pointers[:2], 0, n, m, pointers[2])
    if size != blocks.nbytes:
        raise SystemExit(f"{kind.name}: ggml wrote {size} bytes, expected {blocks.nbytes}")
    return blocks
