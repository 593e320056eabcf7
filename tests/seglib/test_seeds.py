from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from seglib.seeds import derive_seed


def test_seeds_are_the_same_on_every_machine() -> None:
    assert derive_seed(7, "trial", 3) == 3_754_536_021


@given(st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(0, 1000))
def test_seeds_of_different_purposes_differ(seed: int, one: int, other: int) -> None:
    assert 0 <= derive_seed(seed, "a", one) < 2**32
    assert (derive_seed(seed, "a", one) == derive_seed(seed, "a", other)) == (one == other)
    assert derive_seed(seed, "a", one) != derive_seed(seed, "b", one)
