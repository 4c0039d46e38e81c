"""Metadata and tensors to a GGUF file, version 3, little-endian; equal input gives equal bytes.

Tensors go to the file one at a time, straight from the arrays given. The file appears under its
name only when it is complete: it is written beside it, synced, and renamed.
"""

from __future__ import annotations

import os
import secrets
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from spm.errors import GGUFError, brief, one_line
from spm.gguf.header import U32, U64
from spm.gguf.types import (
    BLOCK_LAYOUTS,
    DEFAULT_ALIGNMENT,
    MAX_ALIGNMENT,
    MAX_ARRAY_DEPTH,
    MAX_DIMS,
    VALUE_DTYPES,
    MetadataValue,
    Quantized,
    TensorSource,
    TensorType,
    Typed,
    ValueType,
    align,
    is_alignment,
)
from spm.gguf.values import StringArray

VERSION: Final = 3
MAX_KEY_BYTES: Final = 65535  # the format's limit
MAX_NAME_BYTES: Final = 63  # ggml.h, GGML_MAX_NAME with its NUL: longer names are refused by ggml

ARRAY_TENSOR_TYPES: Final[dict[np.dtype[Any], TensorType]] = {
    np.dtype(np.float64): TensorType.F64,
    np.dtype(np.float32): TensorType.F32,
    np.dtype(np.float16): TensorType.F16,
    np.dtype(np.int8): TensorType.I8,
    np.dtype(np.int16): TensorType.I16,
    np.dtype(np.int32): TensorType.I32,
    np.dtype(np.int64): TensorType.I64,
}
VALUE_TYPES: Final = {dtype: kind for kind, dtype in VALUE_DTYPES.items()}


def write_gguf(
    path: str | os.PathLike[str],
    metadata: Mapping[str, MetadataValue | Typed],
    tensors: Mapping[str, TensorSource],
    *,
    alignment: int = DEFAULT_ALIGNMENT,
) -> None:
    """Write a GGUF file, whole or not at all.

    Values: bool is BOOL, str STRING, float FLOAT32, int UINT32 (INT32 when negative), numpy scalars
    and 1-D arrays what their dtype says, a sequence of str or bytes an array of STRING, another
    sequence an array of what its first element is; `Typed` says any other type. The key
    general.alignment is added when `alignment` is not 32. Tensors: a numpy array of floats or
    signed integers as it is, or `Quantized` blocks. Raises GGUFError for what the format cannot
    hold, and when the file cannot be written.
    """
    target = Path(path)
    if "general.alignment" not in metadata and alignment != DEFAULT_ALIGNMENT:
        metadata = {**metadata, "general.alignment": Typed(ValueType.UINT32, alignment)}
    try:
        check_alignment(metadata, alignment)
        blocks = {name: encode_tensor(name, source) for name, source in tensors.items()}
        head = encode_head(metadata, blocks, alignment)
    except GGUFError as error:
        raise GGUFError(f"{one_line(target)}: {error}") from None
    except RecursionError:
        raise GGUFError(f"{one_line(target)}: a value contains itself, expected none") from None
    try:
        write_whole(target, head, blocks, alignment)
    except (OSError, ValueError) as error:  # ValueError: no name, or a NUL in it
        reason = getattr(error, "strerror", None) or error
        raise GGUFError(f"{one_line(target)}: cannot be written: {reason}") from error


def check_alignment(metadata: Mapping[str, MetadataValue | Typed], alignment: int) -> None:
    """The alignment must be one, and the metadata must not say another."""
    if not is_alignment(alignment):
        raise GGUFError(
            f"alignment {brief(alignment)}, expected a power of two of at most {MAX_ALIGNMENT}"
        )
    said = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if isinstance(said, Typed):
        said = said.value
    if not isinstance(said, int) or said != alignment:
        raise GGUFError(f"key general.alignment is {brief(said)}, expected alignment={alignment}")


def write_whole(target: Path, head: bytes, blocks: Mapping[str, Quantized], alignment: int) -> None:
    """Write beside `target`, sync, rename over it; leave nothing behind when interrupted."""
    beside = target.with_name(f".spm-{secrets.token_hex(8)}.tmp")
    try:
        with open(beside, "xb") as file:
            write_parts(file, head, blocks, alignment)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:  # also KeyboardInterrupt
        with suppress(OSError):
            beside.unlink()
        raise


def write_parts(
    file: BinaryIO, head: bytes, blocks: Mapping[str, Quantized], alignment: int
) -> None:
    """The head, then each tensor, each padded to the alignment."""
    file.write(head)
    for block in blocks.values():
        little = block.data.dtype.newbyteorder("<")
        data = np.ascontiguousarray(block.data, little).reshape(-1).view(np.uint8)
        file.write(data.data)
        file.write(bytes(align(data.nbytes, alignment) - data.nbytes))


def encode_head(
    metadata: Mapping[str, MetadataValue | Typed], blocks: Mapping[str, Quantized], alignment: int
) -> bytes:
    """Everything before the tensor data, padded."""
    out = bytearray(b"GGUF" + struct.pack("<IQQ", VERSION, len(blocks), len(metadata)))
    for key, value in metadata.items():
        out += encode_entry(key, value)
    offset = 0
    for name, block in blocks.items():
        out += encode_text(name) + U32.pack(len(block.shape))
        out += struct.pack(f"<{len(block.shape)}Q", *reversed(block.shape))
        out += struct.pack("<IQ", block.type, offset)
        offset += align(block.data.nbytes, alignment)
    if blocks:
        out += bytes(align(len(out), alignment) - len(out))
    return bytes(out)


def encode_entry(key: str, value: MetadataValue | Typed) -> bytes:
    """One key and its value."""
    if (
        not isinstance(key, str)
        or not key
        or not key.isascii()
        or not key.isprintable()
        or len(key) > MAX_KEY_BYTES
    ):
        raise GGUFError(f"key {brief(key)}, expected 1 to {MAX_KEY_BYTES} printable ASCII letters")
    try:
        typed = value if isinstance(value, Typed) else infer_type(value)
        return encode_text(key) + U32.pack(typed.type) + encode_value(typed)
    except GGUFError as error:
        raise GGUFError(f"key {key}: {error}") from None


def infer_type(value: MetadataValue) -> Typed:
    """A value with the type that it has by itself; see `write_gguf`."""
    if isinstance(value, (np.ndarray, np.generic)):
        return infer_numpy_type(value)
    if isinstance(value, bool):
        return Typed(ValueType.BOOL, value)
    if isinstance(value, int):
        return Typed(ValueType.INT32 if value < 0 else ValueType.UINT32, value)
    if isinstance(value, float):
        return Typed(ValueType.FLOAT32, value)
    if isinstance(value, (str, bytes)):
        return Typed(ValueType.STRING, value)
    if isinstance(value, StringArray):
        return Typed(ValueType.ARRAY, value, ValueType.STRING)
    if isinstance(value, Sequence) and len(value) > 0:
        return Typed(ValueType.ARRAY, value, infer_type(value[0]).type)
    raise GGUFError(f"found {brief(value)}, whose type is not plain: say it with Typed")


def infer_numpy_type(value: npt.NDArray[Any] | np.generic) -> Typed:
    """What a numpy scalar or 1-D array says of itself."""
    kind = VALUE_TYPES.get(value.dtype.newbyteorder("<"))
    if kind is None or value.ndim > 1:
        raise GGUFError(f"found {value.dtype} {value.shape}, expected numbers of shape () or (n,)")
    if isinstance(value, np.ndarray) and value.ndim:
        return Typed(ValueType.ARRAY, value, kind)
    return Typed(kind, value.item())


def encode_value(typed: Typed, depth: int = 0) -> bytes:
    """A value's bytes, without its type."""
    if not isinstance(typed.type, ValueType):
        raise GGUFError(f"type {brief(typed.type)}, expected a ValueType")
    if typed.type is ValueType.ARRAY:
        return encode_array(typed, depth)
    if typed.type is ValueType.STRING:
        if isinstance(typed.value, bytes):  # only the strings of arrays may be any bytes
            raise GGUFError(f"found {brief(typed.value)}, expected str")
        return encode_text(typed.value)
    return encode_numbers([typed.value], typed.type)


def encode_array(typed: Typed, depth: int) -> bytes:
    """An array's bytes: element type, count, elements."""
    values, element = typed.value, typed.element
    if isinstance(values, (str, bytes)) or not isinstance(values, (Sequence, np.ndarray)):
        raise GGUFError(f"found {brief(values)}, expected a sequence for an ARRAY")
    if not isinstance(element, ValueType):
        raise GGUFError(f"element type {brief(element)}, expected a ValueType for an ARRAY")
    if depth == MAX_ARRAY_DEPTH:
        raise GGUFError(f"expected arrays nested at most {MAX_ARRAY_DEPTH} deep")
    head = U32.pack(element) + U64.pack(len(values))
    if element is ValueType.STRING:
        return head + b"".join(map(encode_text, values))
    if element is ValueType.ARRAY:
        return head + b"".join(encode_value(nested_array(value), depth + 1) for value in values)
    return head + encode_numbers(values, element)


def nested_array(value: MetadataValue | Typed) -> Typed:
    """An element of an array of arrays."""
    typed = value if isinstance(value, Typed) else infer_type(value)
    if typed.type is not ValueType.ARRAY:
        raise GGUFError(f"found {brief(value)}, expected an array inside an array of arrays")
    return typed


def encode_text(text: object) -> bytes:
    """A string's length and bytes."""
    if isinstance(text, str):
        try:
            text = text.encode()
        except UnicodeEncodeError:
            raise GGUFError(f"found {brief(text)}, which UTF-8 cannot hold") from None
    if not isinstance(text, bytes):
        raise GGUFError(f"found {brief(text)}, expected str or bytes for a STRING")
    return U64.pack(len(text)) + text


def encode_numbers(values: Sequence[Any] | npt.NDArray[Any], kind: ValueType) -> bytes:
    """Numbers as `kind`: each of its sort and in its range; only floats are rounded."""
    dtype = VALUE_DTYPES[kind]
    with suppress(ValueError):  # numpy's, for lists inside the list
        given = np.asarray(values) if len(values) else np.empty(0, dtype)
        if given.ndim == 1 and fits(given, dtype):
            return given.astype(dtype).tobytes()
    raise GGUFError(f"found {brief(values)}, expected {kind.name}")


def fits(given: npt.NDArray[Any], dtype: np.dtype[Any]) -> bool:
    """Whether numbers can be stored so: bools as bools, integers in range, any number as float."""
    if dtype.kind == "b" or given.dtype.kind == "b":
        return given.dtype.kind == dtype.kind
    if dtype.kind == "f":
        return given.dtype.kind in "fiu" and bool(
            np.all(~np.isfinite(given) | (np.abs(given.astype("f8")) <= np.finfo(dtype).max))
        )
    if given.dtype.kind not in "iu":
        return False
    limits = np.iinfo(dtype)
    return limits.min <= int(given.min(initial=0)) and int(given.max(initial=0)) <= limits.max


def encode_tensor(name: str, source: TensorSource) -> Quantized:
    """A tensor as blocks (an array as it is), checked."""
    if not 0 < len(encode_text(name)) - U64.size <= MAX_NAME_BYTES:
        raise GGUFError(f"tensor name {brief(name)}, expected 1 to {MAX_NAME_BYTES} bytes")
    try:
        block = source if isinstance(source, Quantized) else array_blocks(source)
        check_blocks(block)
    except GGUFError as error:
        raise GGUFError(f"tensor {one_line(name)}: {error}") from None
    return block


def array_blocks(array: npt.NDArray[Any]) -> Quantized:
    """A numpy array as a tensor of the type of its dtype."""
    if not isinstance(array, np.ndarray):
        raise GGUFError(f"found {brief(array)}, expected a numpy array or Quantized")
    kind = ARRAY_TENSOR_TYPES.get(array.dtype.newbyteorder("="))
    if kind is None:
        raise GGUFError(f"dtype {array.dtype}, expected a float or a signed integer")
    return Quantized(kind, array.shape, array)


def check_blocks(block: Quantized) -> None:
    """The shape must be one that the format holds, the data as long as the shape says."""
    if not isinstance(block.type, TensorType) or not isinstance(block.data, np.ndarray):
        raise GGUFError(f"found {brief(block)}, expected a TensorType and a numpy array")
    layout, shape = BLOCK_LAYOUTS[block.type], block.shape
    if not 1 <= len(shape) <= MAX_DIMS or min(shape) < 1 or shape[-1] % layout.values:
        raise GGUFError(
            f"shape {list(shape)}, expected 1 to {MAX_DIMS} dimensions, none 0, "
            f"the last a multiple of {layout.values} for {block.type.name}"
        )
    expected = prod(shape) // layout.values * layout.nbytes
    if block.data.nbytes != expected:
        raise GGUFError(f"{block.data.nbytes} bytes of data, expected {expected}")
    if layout.values > 1 and block.data.dtype != np.uint8:
        raise GGUFError(f"blocks of dtype {block.data.dtype}, expected uint8")
