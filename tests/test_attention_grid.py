import pytest
from hypothesis import given
from hypothesis import strategies as st

from focuslab.attention.grid import Grid
from focuslab.errors import InputError

sides = st.integers(1, 300)


@given(sides, sides, st.data())
def test_the_row_of_a_token_is_the_remainder(time, rows, data):
    grid = Grid(time, rows)
    token = data.draw(st.integers(0, grid.tokens - 1))
    t, f = divmod(token, rows)
    assert grid.token(t, f) == token
    assert Grid.of_tokens(grid.tokens, rows) == grid
    assert grid.chance * rows == pytest.approx(1)


@pytest.mark.parametrize("time, rows", [(0, 8), (5, 0), (-1, 2)])
def test_empty_grids_are_refused(time, rows):
    with pytest.raises(InputError, match="at least one"):
        Grid(time, rows)


@pytest.mark.parametrize("tokens, rows", [(9, 8), (8, 0), (0, 8)])
def test_uneven_rows_are_refused(tokens, rows):
    with pytest.raises(InputError, match=f"{tokens} tokens"):
        Grid.of_tokens(tokens, rows)


def test_positions_outside_say_the_grid():
    grid = Grid(5, 2)
    with pytest.raises(InputError, match="5 time steps x 2 mel rows"):
        grid.token(5, 0)
    with pytest.raises(InputError, match="t from 0 to 4, f from 0 to 1"):
        grid.token(0, 2)
