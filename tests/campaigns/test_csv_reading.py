"""CSV as it comes: encodings, delimiters, quotes, and broken rows told one by one."""

from pathlib import Path

import pytest

from dialer_core.campaigns.csv_reading import MAX_LINE_CHARS, Record, inspect
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.errors import ImportFileError

pytestmark = pytest.mark.unit

TEXT = "nombre,teléfono\r\nJosé Peña,5512345678\r\nÑoño,5587654321\r\n"


def read(path: Path) -> list[Record]:
    """Return every record of a file."""
    return [record for record, _ in inspect(path).records()]


def cells(path: Path) -> list[list[str]]:
    """Return the cells of every record."""
    return [record.cells for record in read(path)]


@pytest.mark.parametrize(
    ("encoding", "found"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("cp1252", "cp1252"),
        ("latin-1", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("mac_roman", "mac_roman"),
        ("cp850", "cp850"),
    ],
)
def test_encodings(tmp_path: Path, encoding: str, found: str) -> None:
    """Accents survive every common encoding, with or without a byte-order mark."""
    path = tmp_path / "leads.csv"
    path.write_bytes(TEXT.encode(encoding))
    assert inspect(path).encoding == found
    rows = cells(path)
    assert [row[0].lstrip("\ufeff") for row in rows] == ["nombre", "José Peña", "Ñoño"]


NAMES = (
    "José Peña", "NÚÑEZ MUÑOZ, ÁNGELA", "Iñaki Agüero", "João Conceição", "ANDRÉS GARCÍA", "Lucía", "Peñón de los Baños, 3º B", "María José Ibáñez",
    "MÉNDEZ", "Raúl Ordóñez", "Ramón Güell", "Ángel Óscar Ávila", "FÉLIX ÑANDÚ", "São João", "Müller",
)  # fmt: skip


@pytest.mark.parametrize("encoding", ["cp1252", "mac_roman", "cp850", "utf-8"])
@pytest.mark.parametrize("name", NAMES)
def test_one_name_with_accents_is_enough(tmp_path: Path, encoding: str, name: str) -> None:
    """A thousand rows, accents in one of them: they are read as they were written."""
    path = tmp_path / "leads.csv"
    plain = "Ana;5512345678\n" * 1000
    path.write_bytes(f"nombre;telefono\n{plain}{name};5512345679\n".encode(encoding))
    assert cells(path)[-1] == [name, "5512345679"]


def test_what_is_assumed_is_said(tmp_path: Path) -> None:
    """A mark or UTF-8 is certain; anything else is told with what it rests on, and what the user says is not called an assumption."""
    path = tmp_path / "leads.csv"
    said = {}
    for encoding in ("utf-8", "utf-16", "utf-16-le", "cp1252", "cp850"):
        path.write_bytes(TEXT.encode(encoding))
        said[encoding] = inspect(path).assumed
    assert said == {
        "utf-8": "", "utf-16": "", "utf-16-le": "read as UTF-16-LE: every other byte is zero",
        "cp1252": "read as Windows-1252: 3 lines are not UTF-8, and their accents fit it best",
        "cp850": "read as DOS, code page 850: 3 lines are not UTF-8, and their accents fit it best",
    }  # fmt: skip
    assert MappingFile(encoding="cp850").applied(inspect(path)).assumed == ""


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('a,b,c\n1,"x\n\ny",2\n3,4,5\n', [["1", "x\n\ny", "2"], ["3", "4", "5"]]),
        ('a,b,c\r\n1,"x\ny",2\r\n3,4,5\r\n', [["1", "x\ny", "2"], ["3", "4", "5"]]),
        ('a,b,c\n1,"x\ny" ,2\n3,4,5\n', [["1", "x\ny", "2"], ["3", "4", "5"]]),
        ('a,b,c\n1,"x\ny",2,,\n3,4,5\n', [["1", "x\ny", "2", "", ""], ["3", "4", "5"]]),
        ('a,b,c\n1,"x\ny"\n3,4,5\n', [["1", "x\ny"], ["3", "4", "5"]]),
        (f'a,b,c\n1,"{"x" * 9}{chr(10) * 150}y",2\n3,4,5\n', [["1", "x" * 9 + "\n" * 150 + "y", "2"], ["3", "4", "5"]]),
    ],
    ids=["blank line", "other line end", "blank behind the quote", "empty columns", "short row", "150 lines"],
)  # fmt: skip
def test_line_breaks_in_a_quoted_cell_are_part_of_it(
    tmp_path: Path, text: str, rows: list[list[str]]
) -> None:
    """One row stays one row, also where it is told for its width, or is untidy behind its quote."""
    path = tmp_path / "leads.csv"
    path.write_text(text, encoding="utf-8", newline="")
    assert cells(path)[1:] == rows
    assert [record.problem for record in read(path)] == ["", "", ""]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^", "~"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_and_line_ends(tmp_path: Path, delimiter: str, end: str) -> None:
    """Six delimiters and three line ends, with a comma of an amount among them."""
    path = tmp_path / "leads.csv"
    lines = [["cuenta", "telefono", "saldo"], ["A1", "5512345678", "1.5"], ["A2", "5587654321", "2.25"]]
    path.write_text(end.join(delimiter.join(line) for line in lines) + end, encoding="utf-8", newline="")
    assert inspect(path).delimiter == delimiter
    assert cells(path) == lines


def test_amounts_with_commas_do_not_make_the_comma_the_delimiter(tmp_path: Path) -> None:
    """A semicolon file full of decimal commas is read by semicolons."""
    path = tmp_path / "leads.csv"
    path.write_text("cuenta;saldo;telefono\nA;1,50;5512345678\nB;2,50;5512345679\n", encoding="utf-8")
    assert inspect(path).delimiter == ";"


def test_a_separator_line_of_excel(tmp_path: Path) -> None:
    """`sep=;` on the first line is obeyed and is no record."""
    path = tmp_path / "leads.csv"
    path.write_text("sep=;\ncuenta;telefono\nA,B;5512345678\n", encoding="utf-8")
    assert cells(path) == [["cuenta", "telefono"], ["A,B", "5512345678"]]


def test_quotes(tmp_path: Path) -> None:
    """Delimiters, doubled quotes and line ends inside quotes belong to the cell; line numbers stay true."""
    path = tmp_path / "leads.csv"
    path.write_text('a,b\n"x, y","say ""hola"""\n"two\nlines",z\nlast,row\n', encoding="utf-8")
    records = read(path)
    assert [record.cells for record in records] == [
        ["a", "b"],
        ["x, y", 'say "hola"'],
        ["two\nlines", "z"],
        ["last", "row"],
    ]
    assert [record.line for record in records] == [1, 2, 3, 5]


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    """The rows after a lost quote are read as if it had not been; the row itself is told."""
    path = tmp_path / "leads.csv"
    path.write_text('a,b\n1,"open\n2,x\n3,y\n4,"also open\n5,z\n', encoding="utf-8")
    records = read(path)
    assert [record.cells for record in records if not record.problem] == [
        ["a", "b"],
        ["2", "x"],
        ["3", "y"],
        ["5", "z"],
    ]
    assert [(record.line, record.raw) for record in records if record.problem] == [
        (2, '1,"open'),
        (5, '4,"also open'),
    ]


def test_an_inch_sign_is_not_a_quote(tmp_path: Path) -> None:
    """A quote inside an unquoted cell is a character like any other."""
    path = tmp_path / "leads.csv"
    path.write_text('a,b\npantalla 5" nueva,x\n', encoding="utf-8")
    assert cells(path)[1] == ['pantalla 5" nueva', "x"]


def test_broken_bytes_are_told_by_row(tmp_path: Path) -> None:
    """In a UTF-8 file, a row with bytes of another encoding is told; the others are read."""
    path = tmp_path / "leads.csv"
    path.write_bytes(
        "nombre,tel\nPeña,1\nNúñez,2\n".encode() + "Muñoz,3\n".encode("cp1252") + "Ibáñez,4\n".encode()
    )
    records = read(path)
    assert [record.cells[0] for record in records if not record.problem] == [
        "nombre",
        "Peña",
        "Núñez",
        "Ibáñez",
    ]
    [broken] = [record for record in records if record.problem]
    assert broken.line == 4
    assert "encoding" in broken.problem


def test_control_characters_are_told(tmp_path: Path) -> None:
    """A row with a control character is told, not stored."""
    path = tmp_path / "leads.csv"
    path.write_text("a,b\nx\x07,y\nz,w\n", encoding="utf-8")
    assert [record.problem for record in read(path)] == ["", "a control character", ""]


def test_blank_lines_and_a_cut_end(tmp_path: Path) -> None:
    """Blank lines are nothing; a last line without an end is a row like any other."""
    path = tmp_path / "leads.csv"
    path.write_text("a,b\n\n  \n1,2\n3", encoding="utf-8")
    assert [(record.line, record.cells) for record in read(path)] == [
        (1, ["a", "b"]),
        (4, ["1", "2"]),
        (5, ["3"]),
    ]


def test_an_endless_line_is_cut(tmp_path: Path) -> None:
    """A line of megabytes is one broken row, and reading goes on after it."""
    path = tmp_path / "leads.csv"
    path.write_text("a,b\n" + "x" * (3 * MAX_LINE_CHARS) + "\n1,2\n", encoding="utf-8")
    records = read(path)
    assert records[1].problem.startswith("a line of more than")
    assert len(records[1].raw) <= 200
    assert records[2].cells == ["1", "2"]
    assert records[2].line == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b" \n \n", "is empty"),
        (b"PK\x03\x04rest", "workbook"),
        (b"\xd0\xcf\x11\xe0rest", "old Excel"),
        (b"\x1f\x8brest", "compressed"),
        (b"%PDF-1.7", "PDF"),
        (b"\x00\x01\x02\x03binary\x00\x00stuff", "not text"),
    ],
)
def test_what_is_no_csv_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    """Workbooks, archives and empty files are refused with what to do instead."""
    path = tmp_path / "leads.csv"
    path.write_bytes(content)
    with pytest.raises(ImportFileError, match=reason):
        inspect(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a folder are told in one line."""
    with pytest.raises(ImportFileError, match="cannot be read"):
        inspect(tmp_path / "missing.csv")
    with pytest.raises(ImportFileError, match="cannot be read"):
        inspect(tmp_path)
