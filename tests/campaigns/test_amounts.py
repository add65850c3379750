"""What an amount is worth depends on its file: the user's word first, then what the file's own amounts speak for, then a guess that is told."""

from pathlib import Path

import pytest

from dialer_core.campaigns import amounts
from dialer_core.campaigns.amounts import PLAIN, AmountStyle, cents, guess
from dialer_core.campaigns.leads_import import understood
from dialer_core.campaigns.mapping_file import MappingFile, load_mapping
from dialer_core.errors import ImportFileError

pytestmark = pytest.mark.unit

COMMA = AmountStyle(decimal=",")
DECLARED_COMMA = amounts.declared(",", None)


@pytest.mark.parametrize(
    ("cells", "decimal", "unsure"),
    [
        (["450.000", "12.500", "1.200.300"], ",", ""),
        (["450.000", "12,50"], ",", ""),
        (["450.000", "12.5"], ".", ""),
        (["450.000", "980.000", "0"], ",", "450.000"),
        (["$ 450.000"], ",", "$ 450.000"),
        (["450,000", "12"], ".", ""),
        (["1.234,50", "3.000", "12.5", "1.000,00"], ",", ""),
        (["0.125"], ".", ""),
        (["12", ""], ".", ""),
        ([], ".", ""),
    ],
)
def test_a_files_amounts_speak_for_its_style(cells: list[str], decimal: str, unsure: str) -> None:
    """Cells that can mean one thing only decide; where none does, a lone point before three digits divides thousands, and that is told."""
    assert guess(cells) == AmountStyle(decimal=decimal, unsure=unsure)
    assert bool(guess(cells).words()) == bool(unsure)


def test_an_unsure_guess_says_what_to_write() -> None:
    """The line names the cell, what it is taken for, and how to say otherwise."""
    assert guess(["450.000"]).words() == (
        'Amounts such as 450.000 are taken for 450,000; if that sign stands before decimals, say decimal = "." under [numbers] of a mapping file'
    )


@pytest.mark.parametrize(
    ("text", "style", "value"),
    [
        ("450.000", PLAIN, 45_000),
        ("450.000", COMMA, 45_000_000),
        ("450,000", COMMA, 45_000),
        ("450,000", PLAIN, 45_000_000),
        ("1,234.50", COMMA, 123_450),  # a cell that speaks for itself
        ("1.234,50", PLAIN, 123_450),
        ("1'234.50", PLAIN, 123_450),
        ("COP 1.234.567", COMMA, 123_456_700),
        ("-12,5", PLAIN, -1_250),
        ("450.000", DECLARED_COMMA, 45_000_000),
        ("450000,5", DECLARED_COMMA, 45_000_050),
        ("1234.50", amounts.declared(".", ""), 123_450),
        ("1 234,50", amounts.declared(",", " "), 123_450),
    ],
)
def test_amounts_in_their_files_style(text: str, style: AmountStyle, value: int) -> None:
    """The same digits are another amount in another file; a cell that can mean one thing only means that, unless the user has said how all are."""
    assert cents(text, style) == value


@pytest.mark.parametrize("text", ["1E+999999999", "-1E999999999999", "9" * 16, "inf", "nan"])
def test_an_amount_of_no_sensible_size(text: str) -> None:
    """It is the cell's fault, told as such: one that is too large to be calculated with ends no import."""
    with pytest.raises(ValueError, match="not a number"):
        cents(text)


@pytest.mark.parametrize("text", ["1,234.50", "12.34,5", "45.00", "mucho", "1,2,3", ""])
def test_a_declared_style_is_kept(text: str) -> None:
    """What is written otherwise than the user said is wrong, and is not guessed at."""
    with pytest.raises(ValueError):
        cents(text, DECLARED_COMMA)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[numbers]\ndecimal = ";"', 'write "." or ","'),
        ('[numbers]\ndecimal = ","\nthousands = ","', "not the decimal sign"),
        ('[numbers]\ncents = ","', "numbers"),
        ('[file]\nencoding = "base64"', "'base64' is not known"),
        ('[file]\nencoding = "rot13"', "'rot13' is not known"),
    ],
)
def test_mapping_files_that_say_nonsense(tmp_path: Path, toml: str, told: str) -> None:
    """A style or an encoding that there is not is refused in a line, with what would be right."""
    (tmp_path / "m.toml").write_text(toml)
    with pytest.raises(ImportFileError, match=told):
        load_mapping(tmp_path / "m.toml")


def test_a_mapping_file_comes_before_the_guess(tmp_path: Path) -> None:
    """Of a file that could be read either way the user's word decides, in reading too."""
    (tmp_path / "leads.csv").write_text("telefono,saldo\n5512345678,450.000\n")
    (tmp_path / "m.toml").write_text('[numbers]\ndecimal = "."\n')
    assert understood(tmp_path / "leads.csv", MappingFile()).amounts.unsure == "450.000"
    said = understood(tmp_path / "leads.csv", load_mapping(tmp_path / "m.toml"))
    row, _ = said.read(2, ["5512345678", "450.000"])
    assert (said.amounts.words(), row.account["balance_minor"]) == ("", 45_000)
