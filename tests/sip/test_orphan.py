"""Ending the calls of a dead worker from the journal, SIPp holding the other end."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import msgspec
import pytest

from dialer_core.ipc.messages import Dialog, LegAnswered
from dialer_core.sip.digest import Credentials
from dialer_core.sip.headers import SipText
from dialer_core.sip.orphan import build_cancel, build_request, end_orphan, next_hop
from tests.sip.harness import Worker, free_port, sipp
from tests.skips import requires_program

DIALOG = Dialog(
    call_id="c1",
    local_uri="sip:+52@a",
    local_tag="l",
    remote_uri="sip:b@c",
    remote_tag="r",
    remote_target="sip:b@10.0.0.9:5070;x=1",
    route_set=("<sip:10.0.0.1:5061;lr>", "<sip:10.0.0.2;lr>"),
    local_cseq=7,
    destination="10.0.0.3:5062",
)


@pytest.mark.unit
def test_the_bye_is_a_request_within_the_dialog() -> None:
    """Request-URI, routes, tags and Call-ID are the dialog's; the CSeq is above the INVITE's."""
    bye = SipText.parse(
        build_request("BYE", DIALOG.local_cseq + 1000, DIALOG, sent_by="10.0.0.5:9", branch="b").decode()
    )
    assert bye.start_line == "BYE sip:b@10.0.0.9:5070;x=1 SIP/2.0"
    assert bye.values("route") == list(DIALOG.route_set)
    assert (bye.first("from"), bye.first("to")) == ("<sip:+52@a>;tag=l", "<sip:b@c>;tag=r")
    assert bye.first("call-id") == "c1"
    assert bye.cseq > (7, "BYE")


@pytest.mark.unit
def test_the_cancel_is_for_the_invite() -> None:
    """Request-URI, Via, CSeq number and Call-ID are the INVITE's, and To has no tag (RFC 3261 section 9.1)."""
    pending = msgspec.structs.replace(
        DIALOG,
        remote_tag="",
        route_set=("<sip:10.0.0.1;lr>",),
        via="SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKx",
    )
    cancel = SipText.parse(build_cancel(pending).decode())
    assert cancel.start_line == "CANCEL sip:b@10.0.0.9:5070;x=1 SIP/2.0"
    assert cancel.values("via") == ["SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKx;rport"]
    assert (cancel.cseq, cancel.first("call-id")) == ((7, "CANCEL"), "c1")
    assert (cancel.first("to"), cancel.values("route")) == ("<sip:b@c>", ["<sip:10.0.0.1;lr>"])


@pytest.mark.unit
@pytest.mark.parametrize(
    ("changes", "hop"),
    [
        ({}, ("10.0.0.1", 5061, False)),
        ({"route_set": ()}, ("10.0.0.9", 5070, False)),
        ({"route_set": (), "remote_target": "sip:b@10.0.0.9;transport=TCP"}, ("10.0.0.9", 5060, True)),
        ({"route_set": ("<sip:proxy.example;lr>",)}, ("10.0.0.3", 5062, False)),
        ({"route_set": (), "remote_target": "tel:+52"}, ("10.0.0.3", 5062, False)),
    ],
)
def test_the_next_hop(changes: dict[str, object], hop: tuple[str, int, bool]) -> None:
    """The first route, else the remote target, else where the answer came from."""
    assert next_hop(msgspec.structs.replace(DIALOG, **changes)) == hop


@pytest.mark.sip
@requires_program("sipp")
async def test_a_dead_workers_call_is_ended(tmp_path: Path) -> None:
    """The worker is killed in mid-call; SIPp takes the BYE built from the journal for its dialog's own and is done."""
    with Worker() as worker, sipp("answer", tmp_path) as far:
        leg = worker.engine.place(far.port)
        dialog = worker.engine.expect(LegAnswered, leg).dialog
        assert worker.process is not None
        worker.process.send_signal(signal.SIGKILL)
        worker.process.wait()
        # SIPp answers to where the INVITE came from, not to the Via: the code cannot be seen here
        await end_orphan(dialog, limit_s=0.5)
        far.finish()


def _answer(request: bytes) -> bytes:
    wanted = (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
    kept = [line for line in request.split(b"\r\n") if line.split(b":")[0] in wanted]
    return b"\r\n".join([b"SIP/2.0 481 Gone", *kept, b"Content-Length: 0", b"", b""])


@pytest.mark.sip
async def test_the_answer_is_told_by_udp() -> None:
    """Of all that comes, only a final answer to our own request counts; until it comes, the BYE is repeated."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", free_port()))
        far.setblocking(False)
        target = f"sip:b@127.0.0.1:{far.getsockname()[1]}"
        ending = asyncio.create_task(
            end_orphan(msgspec.structs.replace(DIALOG, route_set=(), remote_target=target))
        )
        first, source = await loop.sock_recvfrom(far, 2000)
        await loop.sock_sendto(far, b"SIP/2.0 200 OK\r\nVia: other\r\n\r\n", source)
        await loop.sock_sendto(far, _answer(first).replace(b"481 Gone", b"100 Trying"), source)
        second, _ = await loop.sock_recvfrom(far, 2000)
        assert second == first
        await loop.sock_sendto(far, _answer(second), source)
        assert await ending == 481


@pytest.mark.sip
async def test_an_answer_that_was_never_acknowledged_gets_its_ack_first() -> None:
    """What a dead worker still owed goes out once, with the INVITE's CSeq; then the BYE."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", free_port()))
        far.setblocking(False)
        target = f"sip:b@127.0.0.1:{far.getsockname()[1]}"
        dialog = msgspec.structs.replace(DIALOG, route_set=(), remote_target=target, acknowledged=False)
        ending = asyncio.create_task(end_orphan(dialog))
        ack, _ = await loop.sock_recvfrom(far, 2000)
        bye, source = await loop.sock_recvfrom(far, 2000)
        assert SipText.parse(ack.decode()).cseq == (7, "ACK")
        assert SipText.parse(bye.decode()).cseq[1] == "BYE"
        await loop.sock_sendto(far, _answer(bye), source)
        assert await ending == 481


@pytest.mark.sip
@pytest.mark.parametrize(("credentials", "told"), [(Credentials("acc", "secret"), 481), (None, 401)])
async def test_a_challenged_bye_is_sent_again_with_the_proof(
    credentials: Credentials | None, told: int
) -> None:
    """401: once more, in a new transaction, with a higher CSeq and the digest; without a password the 401 is the answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", free_port()))
        far.setblocking(False)
        target = f"sip:b@127.0.0.1:{far.getsockname()[1]}"
        dialog = msgspec.structs.replace(DIALOG, route_set=(), remote_target=target)
        ending = asyncio.create_task(end_orphan(dialog, credentials))
        first, source = await loop.sock_recvfrom(far, 2000)
        challenge = b'401 Prove it\r\nWWW-Authenticate: Digest realm="r", nonce="n", qop="auth"'
        await loop.sock_sendto(far, _answer(first).replace(b"481 Gone", challenge), source)
        if credentials is not None:
            second, source = await loop.sock_recvfrom(far, 2000)
            before, after = SipText.parse(first.decode()), SipText.parse(second.decode())
            assert after.cseq == (before.cseq[0] + 1, "BYE")
            assert after.first("via") != before.first("via")
            assert (after.first("call-id"), after.first("to")) == (
                before.first("call-id"),
                before.first("to"),
            )
            assert f'username="acc", realm="r", nonce="n", uri="{target}"' in after.first("authorization")
            await loop.sock_sendto(far, _answer(second), source)
        assert await ending == told


@pytest.mark.sip
async def test_the_answer_is_told_by_tcp() -> None:
    """A dialog that ran over TCP gets its BYE over a new connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_answer(await reader.readuntil(b"\r\n\r\n")))
        await writer.drain()
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        target = f"sip:b@127.0.0.1:{port};transport=tcp"
        assert await end_orphan(msgspec.structs.replace(DIALOG, route_set=(), remote_target=target)) == 481


@pytest.mark.sip
@pytest.mark.parametrize("parameter", ["", ";transport=tcp"])
async def test_a_far_end_that_is_gone_is_given_up(parameter: str) -> None:
    """Nobody there: 0, within the limit."""
    target = f"sip:b@127.0.0.1:{free_port()}{parameter}"
    assert (
        await end_orphan(msgspec.structs.replace(DIALOG, route_set=(), remote_target=target), limit_s=0.8)
        == 0
    )
