"""Salesforce, by a server of its published shapes: tokens, SOQL in pages, upserts of collections, errors in lists."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.jwk import RSAKey

from dialer_core.store.database import Database
from plugins.crm.connector import AwayError, LoginError, MappingError
from plugins.crm.salesforce import soql
from tests.plugins.crm.far_end import Salesforce, serving
from tests.plugins.crm.floor import Floor, toml

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

MAPPING = """
begin = "start"
most_tries = 2

[connections.crm]
kind = "salesforce"
login_url = "<url>"
client_id = "the-app"
client_secret_env = "SF_SECRET"
timeout_s = 5

[accounts.cartera]
connection = "crm"
campaign = "spring"
source = "Deuda__c"
where = "Saldo__c > 0"
key = "Id"
modified = "SystemModstamp"

[accounts.cartera.fields]
external_id = "Numero__c"
name = "Name"
phone = "Telefono__c"
balance = "Saldo__c"

[out.promesas]
connection = "crm"
what = "promise"
target = "Promesa__c"
key = "Marcador__c"
fields.Monto__c = "{amount}"
fields.Fecha__c = "{last_due}"
fields."Deuda__r.Numero__c" = "{account}"
"""


@pytest.fixture
async def crm(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Salesforce]:
    """An organisation with five debts."""
    monkeypatch.setenv("SF_SECRET", "right")
    far_end = Salesforce()
    far_end.records = [
        {
            "Id": f"a0{n}",
            "SystemModstamp": f"2026-03-01T10:00:0{n}.000+0000",
            "Name": f"Ana {n}",
            "Saldo__c": 1500.5,
        }
        | {"Telefono__c": f"55123450{n}0", "Numero__c": f"D-{n}"}
        for n in range(5)
    ]
    async with serving(far_end):
        yield far_end


@pytest.fixture
def floor(database: Database, tmp_path: Path, crm: Salesforce) -> Floor:
    """The plugin, mapped onto it."""
    return Floor(database, tmp_path, toml(MAPPING, url=crm.url))


async def test_debts_come_in_by_locators(floor: Floor, crm: Salesforce) -> None:
    """A query in pages; then what is newer, a minute of it anew; a token that has ended in between is asked for again, once."""
    crm.trouble = [
        None,
        None,
        (401, [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}], {}),
    ]
    first = await floor.pull()
    assert (first.new, crm.tokens) == (5, 2)
    second = await floor.pull()
    assert (second.new, second.updated, second.unchanged) == (0, 0, 5)
    queries = [target for _, target, _, _ in crm.asked if "query?" in target]
    assert "SystemModstamp" in queries[-1]
    assert "2026-03-01T09%3A59%3A04Z" in queries[-1]


def test_the_query_is_what_the_mapping_says(tmp_path: Path, database: Database) -> None:
    """Names, condition, moment and order stand in it, and nothing else."""
    its = Floor(database, tmp_path, toml(MAPPING, url="http://127.0.0.1:9")).its.accounts["cartera"]
    text = soql(its, "2026-03-01T10:00:00+00:00")
    assert text == (
        "SELECT Id, Name, Numero__c, Saldo__c, SystemModstamp, Telefono__c FROM Deuda__c "
        "WHERE (Saldo__c > 0) AND (SystemModstamp >= 2026-03-01T10:00:00Z) ORDER BY SystemModstamp"
    )


async def test_half_a_query_goes_on_or_begins_anew(floor: Floor, crm: Salesforce) -> None:
    """A page that breaks off is asked for again at its locator; a locator that is known no more begins the query anew."""
    crm.trouble = [None, None, "half"]
    with pytest.raises(AwayError, match="broke off"):
        await floor.pull()
    crm.asked.clear()
    crm.trouble = [
        None,
        (400, [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}], {}),
    ]
    rest = await floor.pull()
    asked = [
        target.partition("?")[0].rpartition("/")[2] for _, target, _, _ in crm.asked if "query" in target
    ]
    assert asked[:3] == ["01gD0000002HU6KIAW-2", "query", "01gD0000002HU6KIAW-2"]
    assert rest.read == 5
    assert len(await floor.engine.accounts.find([f"D-{n}" for n in range(5)])) == 5


async def test_promises_are_upserted_together(floor: Floor, crm: Salesforce) -> None:
    """By our external id in one request; one that Salesforce refuses is a dead letter in its words, one that is locked is told again."""
    await floor.pull()
    ids = [floor.promise(await floor.account(f"D-{n}"), 1_000 * (n + 1)) for n in range(3)]
    locked = iter(
        [
            {
                "success": False,
                "errors": [
                    {"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain lock", "fields": []}
                ],
            }
        ]
    )

    def refuse(one: dict[str, object]) -> object:
        if one["Monto__c"] == 20:
            return (
                200,
                {
                    "success": False,
                    "errors": [
                        {
                            "statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
                            "message": "too small",
                            "fields": [],
                        }
                    ],
                },
                {},
            )
        return (200, told, {}) if one["Monto__c"] == 30 and (told := next(locked, None)) else None

    crm.refuse = refuse  # type: ignore[assignment]
    done = await floor.push(patience=None)
    assert (done.written, done.dead) == (2, 1)
    told = crm.told[f"Promesa__c/{ids[0]}"]
    assert told == {
        "attributes": {"type": "Promesa__c"}, "Marcador__c": ids[0], "Monto__c": 10.0, "Fecha__c": "2026-03-11", "Deuda__r": {"Numero__c": "D-0"},
    }  # fmt: skip
    (letter,) = (await floor.kept("dead/")).values()
    assert letter["reason"] == "FIELD_CUSTOM_VALIDATION_EXCEPTION: too small"
    patches = [body for method, _, _, body in crm.asked if method == "PATCH"]
    assert [len(body["records"]) for body in patches] == [3, 1]
    assert not patches[0]["allOrNone"]


async def test_limits_and_log_ins(floor: Floor, crm: Salesforce, monkeypatch: pytest.MonkeyPatch) -> None:
    """The day's limit is waited out, a wrong secret and a wrong field are told in Salesforce's words."""
    crm.trouble = [
        None,
        (403, [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}], {}),
    ]
    with pytest.raises(AwayError, match="REQUEST_LIMIT_EXCEEDED") as stopped:
        await floor.pull()
    assert not isinstance(stopped.value, LoginError)
    floor.file.write_text(floor.file.read_text().replace('"Saldo__c"', '"Sueldo__c"'))
    with pytest.raises(MappingError, match="No such column 'Sueldo__c'"):
        await floor.pull()
    monkeypatch.setenv("SF_SECRET", "wrong")
    async with floor.connection() as connector:
        with pytest.raises(LoginError, match="invalid client credentials"):
            await connector.check()


async def test_the_flow_of_signed_claims(floor: Floor, crm: Salesforce) -> None:
    """With `jwt` the log-in is an assertion signed by our key, for the user and the server it names."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (floor.engine.config_directory / "sf.pem").write_bytes(pem)
    text = floor.file.read_text().replace(
        'client_secret_env = "SF_SECRET"',
        'flow = "jwt"\nuser = "dialer@example.org"\nprivate_key_file = "sf.pem"',
    )
    floor.file.write_text(text)
    async with floor.connection() as connector:
        await connector.check()
        assert await connector.fields_of("Deuda__c") == crm.fields
    (assertion,) = crm.grants[0]["assertion"]
    claims = jwt.decode(assertion, RSAKey.import_key(pem), algorithms=["RS256"]).claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("the-app", "dialer@example.org", crm.url)
