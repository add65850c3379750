"""A whole conversation over real SIP and RTP: SIPp calls a customer and an agent, a relay joins them, the checks judge."""

import select
import signal
import socket
import threading
import time
from dataclasses import dataclass, field

import pytest

from dialer_core.sim import tone_plan
from dialer_core.sim.audio_check import ConversationCheck, check_conversation, strays
from dialer_core.sim.log_reader import (
    CallRecord,
    SimLogError,
    SimulationLog,
    hello_to_agent_ms,
    load_log,
    pair_calls,
)
from dialer_core.sim.run_check import Bridge, check_run
from tests.polling import wait_until
from tests.sim.callers import (
    ACK,
    AWAIT_BYE,
    HOST,
    INVITE,
    PROVISIONAL,
    SippCall,
    ended,
    response,
    simulator,
    sipp_call,
)
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]

CARRIER, SOFTPHONES = 21020, (21030, 21031)
STEPS = INVITE + PROVISIONAL + response(200) + ACK + AWAIT_BYE
CUSTOMERS = ("5270000000", "5270000001")  # short hellos; PCMU, and PCMA that both sides then speak
CODEC_STEPS = {
    # offered alone, so that a relay need not convert
    0: STEPS.replace("RTP/AVP 0 8 120", "RTP/AVP 0 120"),
    1: STEPS.replace("RTP/AVP 0 8 120", "RTP/AVP 8 120"),
}


@dataclass
class Relay:
    """Forwards datagrams between socket pairs while they are joined; the times of joining are noted.

    It begins to send to a far end only after that one sent first, forwards RTP as it is, and parts two when one of
    them was silent for 60 ms: who has hung up sends nothing.
    """

    sockets: dict[str, socket.socket] = field(default_factory=dict)
    far: dict[str, tuple[str, int]] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    joined_ns: dict[str, int] = field(default_factory=dict)
    last_s: dict[str, float] = field(default_factory=dict)

    def open(self, name: str, port: int) -> None:
        """A leg's RTP end."""
        sock = socket.socket(type=socket.SOCK_DGRAM)
        sock.bind((HOST, port))
        self.sockets[name] = sock

    def join(self, one: str, other: str) -> None:
        """Sound flows between the two from now on."""
        self.joined_ns[one] = self.joined_ns[other] = time.monotonic_ns()
        self.joined |= {one: other, other: one}

    def run(self, stop: threading.Event) -> None:
        """Forwards until told to stop."""
        names = {sock.fileno(): name for name, sock in self.sockets.items()}
        while not stop.is_set():
            for sock in select.select(self.sockets.values(), [], [], 0.05)[0]:
                data, source = sock.recvfrom(2048)
                name = names[sock.fileno()]
                self.far[name], self.last_s[name] = source, time.monotonic()
                to = self.joined.get(name)
                if to is None or to not in self.far:
                    continue
                if time.monotonic() - self.last_s[to] > 0.06:
                    self.joined.pop(to)
                    self.joined.pop(name)
                else:
                    self.sockets[to].sendto(data, self.far[to])
        for sock in self.sockets.values():
            sock.close()


@dataclass(frozen=True)
class Run:
    """A finished run of two bridged pairs."""

    log: SimulationLog
    pairs: tuple[tuple[CallRecord, CallRecord, int], ...]
    """Customer, agent, time of the bridge."""

    def check(self, customer: CallRecord, agent: CallRecord, bridged_ns: int) -> ConversationCheck:
        """The judgement of one pair."""
        assert agent.tone_hz is not None
        assert customer.over_ns is not None
        return check_conversation(
            self.log.recording_of(customer.call_id),
            self.log.recording_of(agent.call_id),
            customer_hz=customer.tone_hz,
            agent_hz=agent.tone_hz,
            tones_hz=self.log.tones_hz,
            intervals=[(bridged_ns, customer.over_ns)],
            spoke_ns=customer.spoke_ns,
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two customers and two agents, each pair joined 0.4 s after the customer's hello."""
    folder = tmp_path_factory.mktemp("conversation")
    log = folder / "sim.jsonl"
    relay, stop = Relay(), threading.Event()
    legs: dict[str, SippCall] = {}
    with simulator(
        folder, "--carrier-port", str(CARRIER), "--softphone-ports", ",".join(map(str, SOFTPHONES)),
        "--rtp-ports", "21600-21699", "--talk-s", "2-2.5",
    ) as process, ended(legs, {}):  # fmt: skip
        for index in (0, 1):
            for name, port in ((f"agent{index}", 21350 + 4 * index), (f"customer{index}", 21352 + 4 * index)):
                relay.open(name, port)
        thread = threading.Thread(target=relay.run, args=(stop,))
        thread.start()
        for index, number in enumerate(CUSTOMERS):
            legs[f"agent{index}"] = sipp_call(
                folder,
                CODEC_STEPS[index],
                to_port=SOFTPHONES[index],
                number="agent",
                rtp_port=21350 + 4 * index,
            )
            legs[f"customer{index}"] = sipp_call(
                folder, CODEC_STEPS[index], to_port=CARRIER, number=number, rtp_port=21352 + 4 * index
            )
        for index in (0, 1):
            call_id = legs[f"customer{index}"].call_id

            def hello_is_over(call_id: str = call_id) -> bool:
                record = load_log(log).calls.get(call_id)
                ended_ns = record.hello_ended_ns if record else None
                return ended_ns is not None and time.monotonic_ns() - ended_ns > 400_000_000

            wait_until(hello_is_over, 15, "the customer's hello")
            relay.join(f"customer{index}", f"agent{index}")
        for index in (0, 1):
            assert legs[f"customer{index}"].result() == 0, legs[f"customer{index}"].complaint()
        process.send_signal(signal.SIGTERM)  # the agents' legs end with it
        assert process.wait(10) == 0
        for index in (0, 1):
            assert legs[f"agent{index}"].result() == 0, legs[f"agent{index}"].complaint()
        stop.set()
        thread.join()
    finished = load_log(log)
    return Run(
        finished,
        tuple(
            (
                finished.calls[legs[f"customer{index}"].call_id],
                finished.calls[legs[f"agent{index}"].call_id],
                relay.joined_ns[f"customer{index}"],
            )
            for index in (0, 1)
        ),
    )


def test_a_bridged_pair_passes(run: Run) -> None:
    """Both directions of both real conversations are right, with room to spare."""
    for customer, agent, bridged_ns in run.pairs:
        check = run.check(customer, agent, bridged_ns)
        assert check.ok, check
        assert check.at_customer.measured
        assert check.at_agent.measured
        assert min(check.at_customer.margin_db, check.at_agent.margin_db) > 30


def test_the_wrong_partner_fails(run: Run) -> None:
    """The same recordings, judged as if the pairs were crossed, fail in margin and leak."""
    (customer, agent, bridged_ns), (_, other_agent, _) = run.pairs
    crossed = run.check(customer, other_agent, bridged_ns)
    assert not crossed.at_customer.margin_ok
    assert not crossed.at_agent.margin_ok
    assert run.check(customer, agent, bridged_ns).ok


def test_a_bridge_said_too_late_is_a_leak(run: Run) -> None:
    """If the bridge is said to have begun a second later than it did, the sound before it is a leak."""
    customer, agent, bridged_ns = run.pairs[0]
    assert not run.check(customer, agent, bridged_ns + 1_000_000_000).at_customer.leak_ok


def test_the_log_alone_tells_who_heard_whom(run: Run) -> None:
    """The agents' tones in the log pair each customer with the agent they were joined to, at that time."""
    pairs = {pair.customer.call_id: pair for pair in pair_calls(run.log)}
    for customer, agent, bridged_ns in run.pairs:
        pair = pairs[customer.call_id]
        assert pair.agent.call_id == agent.call_id
        assert 0 <= (pair.heard_ns - bridged_ns) / 1e6 < 250


def test_the_wait_for_the_agent_is_measured(run: Run) -> None:
    """From the end of the hello to the agent's first audible sample is the 0.4 s that the relay let pass."""
    for customer, _, bridged_ns in run.pairs:
        waited_ms = hello_to_agent_ms(customer)
        assert waited_ms is not None
        assert customer.hello_ended_ns is not None
        assert waited_ms == pytest.approx((bridged_ns - customer.hello_ended_ns) / 1e6, abs=150)


def test_a_run_is_judged_from_the_dialers_list_of_bridges(run: Run) -> None:
    """Call-IDs and times of the bridges are all that is needed; a bridge left out makes its sound a stray."""
    bridges = [Bridge(c.call_id, a.call_id, bridged_ns) for c, a, bridged_ns in run.pairs]
    whole = check_run(run.log, bridges)
    assert whole.ok
    assert len(whole.bridges) == 2
    assert all(check.hello_to_agent_ms for check in whole.bridges)
    part = check_run(run.log, bridges[:1])
    assert not part.ok
    assert [call_id for call_id, _ in part.strays] == [run.pairs[1][1].call_id]
    with pytest.raises(SimLogError, match="nobody"):
        check_run(run.log, [Bridge("nobody", run.pairs[0][1].call_id, 0)])


def test_no_agent_hears_a_stranger(run: Run) -> None:
    """Over the whole recordings of the agents, no tone is heard outside its own bridge."""
    for customer, agent, bridged_ns in run.pairs:
        assert customer.tone_hz is not None
        assert customer.over_ns is not None
        allowed = {customer.tone_hz: [(bridged_ns, customer.over_ns)]}
        recording = run.log.recording_of(agent.call_id)
        assert strays(recording, tones_hz=tone_plan.ALL_TONES_HZ, allowed=allowed) == ()
        found = strays(recording, tones_hz=tone_plan.ALL_TONES_HZ, allowed={})
        assert [stray.hz for stray in found] == [customer.tone_hz]
