"""The codebooks of IQ1, IQ2 and IQ3, against gguf-py's copies of them."""

from __future__ import annotations

import gguf
import numpy as np
import pytest

from spm.gguf import codebooks
from spm.gguf.codebooks import Codebook, rows
from spm.gguf.iquants import EVEN_SIGNS

BOOKS = {
    "IQ1_S": codebooks.IQ1,
    "IQ2_XXS": codebooks.IQ2_XXS,
    "IQ2_XS": codebooks.IQ2_XS,
    "IQ2_S": codebooks.IQ2_S,
    "IQ3_XXS": codebooks.IQ3_XXS,
    "IQ3_S": codebooks.IQ3_S,
}


@pytest.mark.parametrize("name", BOOKS)
def test_rows_and_their_order_are_those_of_gguf_py(name: str) -> None:
    theirs = getattr(gguf.quants, name)
    theirs.init_grid()

    actual = rows(BOOKS[name])

    assert np.int8 == actual.dtype
    assert theirs.grid_shape == actual.shape
    assert np.array_equal(theirs.grid.reshape(actual.shape), actual)


def test_signs_are_those_of_gguf_py() -> None:
    assert gguf.quants.IQ2_XXS.ksigns == EVEN_SIGNS.tobytes()


def test_rows_are_kept_and_cannot_be_written() -> None:
    table = rows(codebooks.IQ3_S)

    with pytest.raises(ValueError, match="read-only"):
        table[0, 0] = 0
    assert table is rows(Codebook(*codebooks.IQ3_S))
