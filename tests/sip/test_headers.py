"""Reading SIP messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.sip.headers import SipText, is_header, q850_cause, retry_after_s, split_list, tag_of, uri_of

pytestmark = pytest.mark.unit

BYE = (
    'BYE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP x\r\nf: "A, \\"B\\" <c>" <sip:a@b;x=1>;tag=one\r\n'
    'To: sip:c@d;tag=two\r\ni: id@x\r\nCSEQ : 17   bye\r\nReason: SIP;cause=200\r\n ;text="a"\r\n'
    'Reason: Q.850 ;cause=31 ;text="x, y"\r\nRetry-After: 120 (busy);duration=3\r\n\r\nbody'
)


def test_a_message_with_compact_and_folded_headers() -> None:
    """Compact names, odd case, blanks, folding and a body come out in one form."""
    message = SipText.parse(BYE)
    assert message.start_line == "BYE sip:a@b SIP/2.0"
    assert message.status == 0
    assert message.cseq == (17, "BYE")
    assert message.first("call-id") == "id@x"
    assert uri_of(message.first("from")) == "sip:a@b;x=1"
    assert tag_of(message.first("from")) == "one"
    assert (uri_of(message.first("to")), tag_of(message.first("to"))) == ("sip:c@d", "two")
    assert message.values("reason")[0] == 'SIP;cause=200 ;text="a"'
    assert message.body == "body"
    assert retry_after_s(message) == 120


def test_the_q850_cause_is_that_of_the_q850_reason() -> None:
    """Causes of other protocols and causes out of range do not count."""
    assert q850_cause(SipText.parse(BYE)) == 31
    for value in ("SIP;cause=200", "Q.850;cause=0", "Q.850;cause=1000", "Q.850", 'Q.850;text="cause=3"'):
        assert q850_cause(SipText.parse(f"SIP/2.0 486 X\r\nReason: {value}\r\n\r\n")) == 0
    both = SipText.parse("SIP/2.0 486 X\r\nReason: SIP;cause=486, q.850;cause=17\r\n\r\n")
    assert q850_cause(both) == 17


def test_a_tag_inside_the_uri_is_no_tag() -> None:
    """Only a parameter of the header counts, not one of the URI or text in the display name."""
    assert tag_of("<sip:a@b;tag=uri>") == ""
    assert tag_of('"x;tag=name" <sip:a@b>;TAG=real;other=1') == "real"


def test_a_route_set_is_split_at_its_own_commas_only() -> None:
    """Commas in quotes and brackets stay."""
    value = '<sip:a,b@x;lr>, "C, D" <sip:c@y;lr>,<sip:z>'
    assert list(split_list(value)) == ["<sip:a,b@x;lr>", '"C, D" <sip:c@y;lr>', "<sip:z>"]


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("P-Asserted-Identity", "<sip:+52@x>", True),
        ("X-Lead", "ñandú", True),
        ("X Lead", "a", False),
        ("X-Lead:", "a", False),
        ("", "a", False),
        ("X-Lead", "a\r\nVia: b", False),
        ("X-Lead", "a\x00", False),
    ],
)
def test_headers_that_may_be_sent(name: str, value: str, good: bool) -> None:  # noqa: FBT001
    """Names are tokens; values are one line."""
    assert is_header(name, value) is good


@given(st.text())
def test_nothing_breaks_the_reader(text: str) -> None:
    """Any text at all is read without an exception."""
    message = SipText.parse(text)
    assert message.status >= 0
    assert message.cseq[0] >= 0
    assert q850_cause(message) in range(128)
    assert retry_after_s(message) >= 0
    assert isinstance(uri_of(text) + tag_of(text) + message.phrase, str)
    assert len(list(split_list(text))) >= 1
