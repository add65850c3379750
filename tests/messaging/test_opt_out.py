"""Who asks to be left alone is understood, and who does not is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.messaging import opt_out

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        "BAJA", "baja.", " Baja por favor ", "STOP", "stop!", "Please STOP", "ALTO", "Alto, gracias", "Cancelar", "no me escriban más",
        "Ya no me manden mensajes", "quiero darme de baja", "don't text me", "UNSUBSCRIBE", "¡BAJA!", "no más mensajes por favor",
    ],
)  # fmt: skip
def test_an_opt_out_is_understood(text: str) -> None:
    """One of the words alone, with courtesy and marks, or a short sentence with a phrase."""
    assert opt_out.is_opt_out(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "1", "sí", "¿Cuánto debo?", "la tasa baja este mes?", "el edificio es muy alto", "no puedo pagar hoy", "stop by the office tomorrow",
        "quiero que me den de baja el cargo que me cobraron de más en la factura de febrero y de marzo",
    ],
)  # fmt: skip
def test_other_answers_are_none(text: str) -> None:
    """A word in another sense, or a long text, is for a person to read."""
    assert not opt_out.is_opt_out(text)


@pytest.mark.parametrize(
    ("subject", "text", "asked"),
    [
        ("Re: Su convenio", "BAJA\n\nAna López\nContadora, tel. 55 1234 5678, una firma que ocupa más de sesenta letras", True),
        ("", "\n Baja, por favor. \nGracias", True),
        ("BAJA", "", True),
        ("Re: Su convenio", "Hola, buenas tardes\nBAJA de tasa, es lo que pido para poder pagar el convenio que me mandaron", False),
        ("Re: Alto", "Pago el viernes\nAlto", False),
    ],
)  # fmt: skip
def test_a_word_alone_on_the_first_line_is_enough(subject: str, text: str, asked: bool) -> None:  # noqa: FBT001 - as parametrised
    """A signature below it, or what a mail program adds, takes nothing back."""
    assert opt_out.asked_in(subject, text) is asked


@given(st.text(max_size=300))
def test_any_text_can_be_asked_about(text: str) -> None:
    """No text breaks it, and what is one stays one with spaces and marks around it."""
    assert (
        opt_out.is_opt_out(f" ..{text}!! ")
        or not opt_out.is_opt_out(text)
        or len(opt_out.normalised(text)) > 0
    )


def test_a_message_says_how() -> None:
    """A word to answer with, in capitals."""
    assert opt_out.offers("Responda BAJA para no recibir más")
    assert opt_out.offers("Reply STOP to opt out")
    assert not opt_out.offers("Su tasa baja")
