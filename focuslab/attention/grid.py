"""The grid of tokens: which token is which time step and mel row."""

from dataclasses import dataclass

from focuslab.errors import InputError


@dataclass(frozen=True)
class Grid:
    """T time steps x F mel rows, flattened by diffusers with the mel row running fastest.

    Token `n = t * mel_rows + f`, so tokens of one mel row are those with equal `n % mel_rows`. (Eq. 5 of the
    LiteFocus paper writes the modulus as `N_t`; with the paper's own flattening it is the number of mel rows.)
    """

    time: int
    mel_rows: int

    def __post_init__(self):
        if self.time < 1 or self.mel_rows < 1:
            raise InputError(f"a grid needs at least one time step and one mel row, not {self.time} x {self.mel_rows}")

    @classmethod
    def of_tokens(cls, tokens: int, mel_rows: int) -> "Grid":
        """The grid of `tokens` tokens in `mel_rows` rows. Raises `InputError` unless the rows are of equal length."""
        if mel_rows < 1 or tokens < 1 or tokens % mel_rows:
            raise InputError(f"{tokens} tokens cannot be laid out in {mel_rows} mel rows of equal length")
        return cls(tokens // mel_rows, mel_rows)

    @property
    def tokens(self) -> int:
        return self.time * self.mel_rows

    @property
    def chance(self) -> float:
        """Same-frequency mass of uniform attention, 1/F."""
        return 1 / self.mel_rows

    def token(self, t: int, f: int) -> int:
        if not (0 <= t < self.time and 0 <= f < self.mel_rows):
            raise InputError(
                f"token {t}:{f} is outside the grid of {self.time} time steps x {self.mel_rows} mel rows "
                f"(t from 0 to {self.time - 1}, f from 0 to {self.mel_rows - 1})"
            )
        return t * self.mel_rows + f
