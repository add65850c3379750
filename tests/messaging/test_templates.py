"""Templates are checked when they are loaded, and say nothing that they should not."""

from pathlib import Path

import pytest

from dialer_core.errors import CommandRefusedError, ConfigError
from dialer_core.messaging import fields
from dialer_core.messaging.templates import Template, load_template, load_templates

pytestmark = pytest.mark.unit

GOOD = 'channel = "sms"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA para salir."\n'
KNOWN = {"first_name": "Ana", "balance": "$1.00 MXN", "name": "Ana P"}


def template(folder: Path, text: str) -> Template:
    """Load a template from a text."""
    file = folder / "reminder.toml"
    file.write_text(text, encoding="utf-8")
    return load_template(file)


def test_a_template_is_rendered_in_the_persons_language(tmp_path: Path) -> None:
    """The language asked for is spoken where the template knows it, else its first."""
    one = template(tmp_path, GOOD + 'en = "Hello {{ first_name }}. Reply STOP to opt out."\n')
    assert one.render(KNOWN, "en-US").text == "Hello Ana. Reply STOP to opt out."
    assert one.render(KNOWN, "es").text == "Hola Ana. Responda BAJA para salir."
    assert one.render(KNOWN, "pt").language == "es"


def test_a_missing_field_is_an_error_before_sending(tmp_path: Path) -> None:
    """What is not known is told by name, and nothing is rendered with a hole."""
    one = template(tmp_path, GOOD)
    for nothing in ({}, {"first_name": None}, {"first_name": ""}):
        with pytest.raises(CommandRefusedError, match="needs first_name"):
            one.render(nothing, "es")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace("first_name", "balance"), "'balance' reveals a debt"),
        (GOOD.replace("first_name", "folio") + '[given]\nfolio = "secret"\n', "'folio' reveals a debt"),
        (GOOD.replace("first_name", "firstname"), "'firstname' is no field"),
        (GOOD.replace("BAJA", "nada"), "does not say how to opt out"),
        (GOOD.replace("{{ first_name }}", "{{ first_name.__class__ }}"), "only fields, filters and if"),
        (GOOD.replace("{{ first_name }}", "{{ 'x' * 100000000 }}"), "only fields, filters and if"),
        (GOOD.replace("{{ first_name }}", "{{ first_name|center(100000000) }}"), "No filter named 'center'"),
        (GOOD.replace("{{ first_name }}", "{% for i in first_name %}a{% endfor %}"), "only fields, filters and if"),
        (GOOD.replace("{{ first_name }}", "{{ first_name"), "line 1 of the text"),
        (GOOD.replace("sms", "fax"), "channel"),
        (GOOD.replace("[text]", "colour = 1\n[text]"), "colour: unknown setting"),
        (GOOD.replace("sms", "email"), "an e-mail needs one"),
        (GOOD + '[given]\nname = "plain"\n', "given.name: is a field of every account"),
        (GOOD + '[provider]\nname = "x"\nparameters = ["nothing"]\n', "provider.parameters: 'nothing' is no field"),
        ("channel = ", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_template_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Each mistake is told with the file and what is wrong."""
    with pytest.raises(ConfigError, match=r"reminder\.toml") as caught:
        template(tmp_path, text)
    assert said in str(caught.value)


def test_what_a_field_holds_is_not_a_template(tmp_path: Path) -> None:
    """A debtor called like an expression is greeted by that name."""
    assert "{{ balance }}" in template(tmp_path, GOOD).render({"first_name": "{{ balance }}"}, "es").text


def test_the_providers_own_template_gets_its_parameters_in_order(tmp_path: Path) -> None:
    """Name, language code and values of a template that the provider approved."""
    one = template(
        tmp_path,
        GOOD.replace("sms", "whatsapp")
        + '[provider]\nname = "aviso_1"\nparameters = ["name", "first_name"]\nlanguage = {es = "es_MX"}\n',
    )
    assert one.render(KNOWN, "es").provider == {
        "name": "aviso_1",
        "language": "es_MX",
        "parameters": ["Ana P", "Ana"],
    }


def test_a_folder_of_templates_is_loaded_by_name(tmp_path: Path) -> None:
    """Each file is a template under its name; no folder is no template."""
    template(tmp_path, GOOD)
    assert list(load_templates(tmp_path)) == ["reminder"]
    assert load_templates(tmp_path / "none") == {}


def test_shipped_templates_are_good() -> None:
    """Every template that `dialer init` writes loads."""
    shipped = Path(__file__).parents[2] / "dialer_core" / "config_defaults" / "templates"
    assert {one.channel for one in load_templates(shipped).values()} >= {"sms", "whatsapp"}


@pytest.mark.parametrize(
    ("name", "first"),
    [("PEREZ LOPEZ, ANA MARIA", "Ana"), ("Ana Pérez", "Ana"), ("JOSÉ", "José"), ("", ""), ("McArthur", "McArthur"), (",", "")],
)  # fmt: skip
def test_first_names(name: str, first: str) -> None:
    """A person is greeted by their first name, however the bank writes it."""
    assert fields.first_name(name) == first


@pytest.mark.parametrize(
    ("minor", "currency", "said"),
    [(123_450, "MXN", "$1,234.50 MXN"), (-5, "USD", "$-0.05 USD"), (150_000, "CLP", "$1,500 CLP"), (None, "MXN", None), (1, None, None)],
)  # fmt: skip
def test_amounts(minor: int | None, currency: str | None, said: str | None) -> None:
    """Amounts are kept in hundredths of every currency and written as its people do: as they are spoken, no peso more or less."""
    assert fields.money(minor, currency) == said
