"""A live answer's race between an agent and the abandonment message, decided by the media plane alone (I4)."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import (
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    FallbackStarted,
    LegsBridged,
    Play,
    PromptFinished,
    Unbridge,
)
from dialer_core.vocabulary import LegId, LegKind
from tests.media.harness import PCMU, SILENCE, Plane, assert_one_stream

pytestmark = pytest.mark.sip


def test_no_agent_in_time_means_the_message(plane: Plane) -> None:
    """When the wait is over the message begins, within 40 ms of the deadline, and its end is told."""
    customer = plane.leg(LegKind.CUSTOMER)
    customer.far.wait_for(3)
    plane.engine.send(Await(leg_id=customer.leg_id, agent_wait_s=0.3, fallback_prompt="connect"))
    started = plane.engine.wait(FallbackStarted, leg_id=customer.leg_id)
    finished = plane.engine.wait(PromptFinished, leg_id=customer.leg_id)
    assert (finished.play_id, finished.cut) == ("fallback", False)
    assert finished.at_ns - started.at_ns > 60_000_000
    sound = [p for p in customer.far.packets if p.payload != SILENCE[PCMU]]
    assert len(sound) == 5
    assert sound[0].at_ns > started.at_ns
    assert plane.engine.dump()[customer.leg_id].fallback_ns


def test_the_bridge_comes_first(plane: Plane) -> None:
    """A bridge before the deadline ends the wait: the message never plays, not even after the agent has left again."""
    customer, agent = plane.pair()
    plane.engine.send(Await(leg_id=customer.leg_id, agent_wait_s=0.4, fallback_prompt="connect"))
    plane.bridge(customer, agent)
    customer.far.wait_for(30)
    plane.engine.send(Unbridge(leg_id=customer.leg_id))
    customer.far.wait_for(10)
    assert not plane.engine.all(FallbackStarted)
    assert all(p.payload == SILENCE[PCMU] for p in customer.far.packets)


def test_the_message_comes_first(plane: Plane) -> None:
    """Once the message has begun no bridge is made, during it and after it."""
    customer, agent = plane.pair()
    agent.far.speak()
    plane.engine.send(Await(leg_id=customer.leg_id, agent_wait_s=0.05, fallback_prompt="connect"))
    plane.engine.wait(FallbackStarted)
    plane.engine.send(Bridge(leg_id=customer.leg_id, agent_leg_id=agent.leg_id))
    plane.engine.wait(BridgeRefused, reason="fallback")
    plane.engine.wait(PromptFinished, play_id="fallback", cut=False)
    plane.engine.send(
        Bridge(leg_id=customer.leg_id, agent_leg_id=agent.leg_id),
        Await(leg_id=customer.leg_id, agent_wait_s=0.01),
    )
    customer.far.wait_for(10)
    assert [e.reason for e in plane.engine.all(BridgeRefused)] == ["fallback", "fallback"]
    assert len(plane.engine.all(FallbackStarted)) == 1
    assert not plane.engine.all(LegsBridged)
    assert all(p.payload[0] != 2 for p in customer.far.packets)


@pytest.mark.parametrize("lost_by", ["unbridge", "await", "close"])
def test_a_customer_who_lost_their_agent_waits_again(plane: Plane, lost_by: str) -> None:
    """Whichever of the engine's commands comes first, a customer without an agent hears silence and then the message."""
    customer, agent = plane.pair()
    agent.far.speak()
    plane.bridge(customer, agent)
    customer.far.wait_for(5)
    await_ = Await(leg_id=customer.leg_id, agent_wait_s=0.1, fallback_prompt="connect")
    parting = {
        "unbridge": (Unbridge(leg_id=customer.leg_id), await_),
        "await": (await_, Unbridge(leg_id=customer.leg_id)),
        "close": (CloseLeg(leg_id=agent.leg_id), await_),
    }
    plane.engine.send(*parting[lost_by])
    started = plane.engine.wait(FallbackStarted)
    plane.engine.wait(PromptFinished)
    assert not any(p.payload[0] == 2 for p in customer.far.since(started.at_ns))
    assert_one_stream(customer.far.packets[:])


@pytest.mark.parametrize("prompt", ["", "no-such-prompt"])
def test_without_a_message_the_end_is_told_at_once(plane: Plane, prompt: str) -> None:
    """A fallback without a playable prompt is told with its end, so that nobody waits for a message that never ends."""
    customer = plane.leg(LegKind.CUSTOMER)
    plane.engine.send(Await(leg_id=customer.leg_id, agent_wait_s=0.02, fallback_prompt=prompt))
    plane.engine.wait(FallbackStarted)
    plane.engine.wait(PromptFinished, play_id="fallback", cut=False)


def test_a_bridge_needs_two_free_open_legs(plane: Plane) -> None:
    """A leg that is not open is `gone`, one that is bridged elsewhere `busy`; the same bridge again is confirmed again."""
    customer, agent = plane.pair()
    other = plane.leg(LegKind.CUSTOMER)
    plane.engine.send(Bridge(leg_id=customer.leg_id, agent_leg_id=LegId("nobody")))
    plane.engine.wait(BridgeRefused, reason="gone")
    plane.bridge(customer, agent)
    plane.engine.send(Bridge(leg_id=other.leg_id, agent_leg_id=agent.leg_id))
    plane.engine.wait(BridgeRefused, reason="busy", leg_id=other.leg_id)
    plane.bridge(customer, agent)
    assert plane.engine.dump()[customer.leg_id].bridged_to == agent.leg_id


def test_playing_is_cut_by_the_next_prompt_and_by_the_bridge(plane: Plane) -> None:
    """A prompt that is replaced or ended by a bridge is told as cut; a bridged leg is played nothing."""
    customer, agent = plane.pair()
    leg_id = customer.leg_id
    plane.engine.send(Play(leg_id=leg_id, prompts=("abandonment-es",), play_id="1"))
    plane.engine.send(Play(leg_id=leg_id, prompts=("abandonment-en", "connect"), play_id="2"))
    plane.engine.wait(PromptFinished, play_id="1", cut=True)
    plane.bridge(customer, agent)
    plane.engine.wait(PromptFinished, play_id="2", cut=True)
    plane.engine.send(Play(leg_id=leg_id, prompts=("connect",), play_id="3"))
    plane.engine.wait(PromptFinished, play_id="3", cut=True)
    plane.engine.send(Unbridge(leg_id=leg_id), Play(leg_id=leg_id, prompts=("nothing",), play_id="4"))
    plane.engine.wait(PromptFinished, play_id="4", cut=True)
