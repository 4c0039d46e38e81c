"""The GGUF container: read it, write it, turn its blocks into numbers and numbers into blocks."""

from spm.gguf.integers import as_integers, has_integers
from spm.gguf.quantize import quantize
from spm.gguf.quants import dequantize
from spm.gguf.reader import GGUF, Tensor
from spm.gguf.types import MetadataValue, Quantized, TensorSource, TensorType, Typed, ValueType
from spm.gguf.values import StringArray
from spm.gguf.writer import write_gguf

__all__ = [
    "GGUF",
    "MetadataValue",
    "Quantized",
    "StringArray",
    "Tensor",
    "TensorSource",
    "TensorType",
    "Typed",
    "ValueType",
    "as_integers",
    "dequantize",
    "has_integers",
    "quantize",
    "write_gguf",
]
