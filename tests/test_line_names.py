"""Numbers that name one line."""

import pytest

from dialer_core import line_names
from dialer_core.verify import slow_gate


@pytest.mark.unit
@pytest.mark.parametrize(
    ("e164", "forms"),
    [
        ("+5491123456789", ("+5491123456789", "+541123456789")),
        ("+541123456789", ("+541123456789", "+5491123456789")),
        ("+525512345678", ("+525512345678",)),
        ("+54800123456", ("+54800123456",)),
    ],
)
def test_a_line_of_argentina_has_two_names(e164: str, forms: tuple[str, ...]) -> None:
    """With and without the 9 of mobiles it is one line; nobody else's number has another form."""
    assert line_names.same_line(e164) == forms
    assert line_names.line_of(forms[0]) == line_names.line_of(forms[-1])
    assert set(slow_gate.names_of(e164)) == set(forms)
