"""The doctor sees what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dialer_core.commands.doctor_checks import CHECKS
from dialer_core.commands.sip_options import ask_options
from tests.commands.test_cli import config, invoke
from tests.host.running import free_port

__all__ = ["config"]

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

OK = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


@contextlib.contextmanager
def sip_peer(
    *answers: bytes | None, kind: socket.SocketKind = socket.SOCK_DGRAM
) -> Iterator[tuple[int, list[bytes]]]:
    """A peer that gives each request its answer (None: silence); yields its port and what it was asked."""
    seen: list[bytes] = []
    listener = socket.socket(socket.AF_INET, kind)
    listener.bind(("127.0.0.1", 0))
    listener.settimeout(10)
    if kind is socket.SOCK_STREAM:
        listener.listen()

    def serve() -> None:
        with contextlib.suppress(OSError):
            if kind is socket.SOCK_STREAM:
                connection, _ = listener.accept()
                with connection:
                    seen.append(connection.recv(4096))
                    connection.sendall(answers[0] or b"")
                return
            for answer in answers:
                data, source = listener.recvfrom(4096)
                seen.append(data)
                for part in (answer or b"").split(b"|"):
                    if part:
                        listener.sendto(part, source)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.close()
        thread.join(10)


def _ask(port: int, *, transport: str = "udp", limit_s: float = 3.0) -> Any:
    return ask_options("127.0.0.1", port, transport=transport, bind="127.0.0.1", limit_s=limit_s)


def test_any_final_answer_means_that_the_trunk_is_there() -> None:
    """200, and 4xx from a trunk that does not like strangers; a provisional answer is waited over."""
    for final in (200, 403, 404, 501):
        with sip_peer(b"SIP/2.0 100 Trying\r\n\r\n|SIP/2.0 %d X\r\n\r\n" % final) as (port, seen):
            assert _ask(port).code == final
        assert seen[0].startswith(b"OPTIONS sip:127.0.0.1:")
        assert b"\r\nContent-Length: 0\r\n\r\n" in seen[0]


def test_a_lost_question_is_asked_again() -> None:
    """Over UDP the request goes out again by RFC 3261's timer, unchanged."""
    with sip_peer(None, OK) as (port, seen):
        assert _ask(port).code == 200
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_tcp_trunks_are_asked_over_tcp() -> None:
    """The transport is the trunk's, in the socket and in the Via."""
    with sip_peer(OK, kind=socket.SOCK_STREAM) as (port, seen):
        assert _ask(port, transport="tcp").code == 200
    assert b"SIP/2.0/TCP" in seen[0]


def test_silence_refusal_and_unknown_names_are_told_apart() -> None:
    """No answer, a closed port and a name that does not resolve each have their words."""
    with sip_peer(None, None, None) as (port, _):
        silent = _ask(port, limit_s=0.2)
    assert (silent.code, silent.error) == (0, "no answer within 0.2 s")
    assert "refused" in _ask(free_port()).error
    unknown = ask_options("no.such.host.invalid", 5060, transport="udp", bind="127.0.0.1")
    assert unknown.code == 0
    assert unknown.error


def _findings(config: Path) -> tuple[int, dict[str, Any]]:
    result = invoke("doctor", "--json", "--config", str(config))
    return result.exit_code, {finding["check"]: finding for finding in json.loads(result.stdout)}


def test_a_healthy_machine_with_a_trunk_that_answers_is_ready(config: Path) -> None:
    """Everything is looked at, nothing fails, status 0; the folder is as it was."""
    with sip_peer(OK) as (port, _):
        trunks = config / "trunks.toml"
        trunks.write_text(trunks.read_text().replace("port = 5060", f"port = {port}"))
        (config / "dialer.toml").write_text(
            (config / "dialer.toml")
            .read_text()
            .replace("# first_port = 15060", f"first_port = {free_port()}")
        )
        status, found = _findings(config)
    assert status == 0, found
    assert "calls a worker" in found["pjsua2"]["found"]
    assert "answered OPTIONS with 200" in found["trunk carrier"]["found"]
    assert found["database"]["grade"] == "warn"  # not made yet; `run` does
    assert found["plugin metrics"]["grade"] == "ok"
    assert not (config.parent / "state").exists()


def test_each_fault_is_found_with_advice(config: Path) -> None:
    """A dead trunk, a port in use, a missing secret and a campaign that may not be dialed: status 1, and what to do for each."""
    trunks = config / "trunks.toml"
    trunks.write_text(
        trunks.read_text()
        .replace("port = 5060", f"port = {free_port()}")
        .replace('# user = "account-1"', 'user = "u"\npassword_env = "NO_SUCH_SECRET"\nsrtp = "required"')
    )
    campaign = config / "campaigns" / "cobranza.toml"
    campaign.write_text(campaign.read_text().replace('"mx"', '"nowhere"'))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (config / "dialer.toml").write_text(f"[http]\nport = {taken.getsockname()[1]}\n")
        result = invoke("doctor", "--config", str(config))
        refused = invoke("run", "--config", str(config))
    assert result.exit_code == 1
    for told in (
        "fail trunk carrier",
        "NO_SUCH_SECRET is not set",
        "srtp = required, and its keys travel in the clear by udp",
        "Connection refused",
        "fail API port",
        "set http.port in dialer.toml",
        "'nowhere' is not in compliance/; known are: ar, br, cl, co, demo, es, mx, pe, uk, uk-strict, us-federal, us-fl",
    ):
        assert told in result.stdout
    assert refused.exit_code == 2  # the configuration comes first
    assert "Traceback" not in refused.stderr


def test_run_refuses_a_port_in_use(config: Path) -> None:
    """Nothing is started where the API's port is taken: one line, status 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (config / "dialer.toml").write_text(f"[http]\nport = {taken.getsockname()[1]}\n")
        refused = invoke("run", "--config", str(config))
    assert refused.exit_code == 1
    assert "Address already in use; set http.port in dialer.toml" in refused.stderr
    assert not (config.parent / "state").exists()


def test_every_check_says_what_it_looks_at() -> None:
    """Each check has a docstring and a name of its own."""
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS)
    assert all(check.__doc__ for check in CHECKS)


def test_settings_and_secrets_of_plugins_are_looked_at(config: Path) -> None:
    """Each enabled plugin says what is wrong with its settings, before it is started; those that are right are in order."""
    file = config / "dialer.toml"
    names = '["metrics", "email", "whatsapp", "crm", "contact_strategy", "prioritization"]'
    file.write_text(file.read_text().replace("[plugins]\n", f"[plugins]\nenabled = {names}\n"))
    (config / "plugins").mkdir(exist_ok=True)
    (config / "plugins" / "email.toml").write_text('sender = "a@example.mx"\nserver = "mail"\n')
    (config / "plugins" / "crm.toml").write_text(
        '[connections.ours]\nkind = "rest"\nurl = "https://crm.example.mx"\n'
        '[connections.ours.auth]\nscheme = "bearer"\nsecret_file = "crm.key"\n'
    )
    (config / "plugins" / "contact_strategy.toml").write_text(
        '[strategies.soon]\ncampaign = "cobranza"\nsteps = [{ do = "message", template = "recordatorio" }]\n'
    )
    _, found = _findings(config)
    assert found["plugin metrics"]["grade"] == found["plugin prioritization"]["grade"] == "ok"
    wrong = {name: found[f"plugin {name}"] for name in ("email", "whatsapp", "crm", "contact_strategy")}
    assert {one["grade"] for one in wrong.values()} == {"warn"}
    assert "email.toml: server: unknown setting" in wrong["email"]["found"]
    assert "whatsapp.toml: cannot be read" in wrong["whatsapp"]["found"]
    assert "its page in docs/" in wrong["whatsapp"]["found"]
    assert "connections.ours.auth.secret_file" in wrong["crm"]["found"]
    assert (
        "strategies.soon.steps: there is no templates/recordatorio.toml" in wrong["contact_strategy"]["found"]
    )
    assert not (config.parent / "state").exists()
