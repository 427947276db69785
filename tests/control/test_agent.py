"""The agent fetches the policy, and whatever a server does, the last good one stays."""

import json
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from control_kit import KEY, agent_for, budget, document, until

from aden.budgets.policy import Policy
from aden.control.agent import ControlAgent
from aden.control.kept_policy import PolicyDrawer
from aden.control.server import Server
from aden.errors import ConfigurationError
from aden.testing import ControlServer
from aden.testing.control_contract import Reply
from aden.testing.control_server import DROP, HANG

Start = Callable[..., ControlAgent]
POLICY = "/v1/control/policy"
EVENTS = "/v1/control/events"
CIRCLE = document(
    degradations=[
        {"from_model": "a", "to_model": "b", "trigger": "always"},
        {"from_model": "b", "to_model": "a", "trigger": "always"},
    ]
)


def limit(agent: ControlAgent) -> int:
    """The limit of the first budget in force, in whole dollars."""
    return agent.policy().budgets[0].limit.amount // 1_000_000_000


def test_the_policy_is_fetched_with_key_and_instance(
    control: ControlServer, started: Start
) -> None:
    """As the contract has it; the server would refuse anything else."""
    agent = started(control)
    assert limit(agent) == 100
    method, path, headers = control.requests[0]
    assert (method, path) == ("GET", POLICY)
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["x-sdk-instance-id"] == agent.instance_id
    assert "x-policy-id" not in headers
    state = agent.state
    assert (state.source, state.policy_name, state.budgets) == ("server", "Default Policy", 1)
    assert state.version
    assert state.last_error is None
    assert state.age_s is not None
    assert state.age_s < 5
    assert control.books.refused == []


def test_a_policy_other_than_the_teams_default_is_named(
    control: ControlServer, started: Start
) -> None:
    """`X-Policy-ID`."""
    control.books.policies["voice"] = {"id": "voice", **document(budget(7))}
    agent = started(control, policy_id="voice")
    assert limit(agent) == 7
    assert agent.state.policy_id == "voice"


def test_a_change_is_seen_at_the_next_look_and_an_unchanged_policy_stays_the_object(
    control: ControlServer, started: Start
) -> None:
    """What requests have worked out for a policy is kept as long as its rules are the same."""
    changes: list[Policy] = []
    agent = started(control, accept=changes.append)
    first = agent.policy()
    control.books.spend("b1", "3")  # figures are no rules
    asked = control.asked(POLICY)
    until(lambda: control.asked(POLICY) >= asked + 2)
    assert agent.policy() is first
    control.books.policies["default"].update(document(budget(5)))
    until(lambda: limit(agent) == 5)
    assert [policy.budgets[0].limit.amount for policy in changes] == [100 * 10**9, 5 * 10**9]


def test_an_unchanged_document_is_not_sent_again(control: ControlServer, started: Start) -> None:
    """`If-None-Match` with the server's ETag."""
    agent = started(control)
    before = agent.state.age_s
    until(lambda: control.asked(POLICY) >= 3)
    sent = [headers.get("if-none-match") for _, path, headers in control.requests if path == POLICY]
    assert sent[0] is None
    assert sent[1] is not None
    assert sent[1:] == sent[1:2] * len(sent[1:])
    assert before is not None
    assert agent.state.last_error is None


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(401, b"no"), "check ADEN_API_KEY"),
        (Reply(403, b"no"), "check ADEN_API_KEY"),
        (Reply(404, b"no"), ""),
        (Reply(302, b"", {"Location": "http://127.0.0.1:1/"}), "redirects are not followed"),
        (Reply(429, b"", {"Retry-After": "0"}), "429"),
        (Reply(500, b"oops"), "answered 500"),
        (Reply(200, b"<html>"), "a JSON document"),
        (Reply(200, b"[]"), "policy="),
        (Reply(200, b"[" * 100_000), "a JSON document"),
        (Reply(200, b'{"budgets": [{"id": "b1", "limit": NaN}]}'), "a JSON document"),
        (Reply(200, b'{"budgets": [{"id": "b1", "limit": -1}]}'), "policy.budgets[0]"),
        (Reply(200, b'{"budgets": [{"id": "b1", "limit": 1, "spent": "x"}]}'), "spent"),
        (Reply(200, b" " * 8_000_002), "more than 8000000 bytes"),
        (Reply(200, json.dumps(CIRCLE).encode()), "a chain of models that ends"),
        (Reply(200, b"\xff\xfe"), "a JSON document"),
        (DROP, "RemoteDisconnected"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_whatever_a_server_answers_the_last_good_policy_stays(
    control: ControlServer,
    started: Start,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
    said: str,
) -> None:
    """The state says why, a line in the log as well, and neither has the key."""
    agent = started(control)
    good = agent.policy()
    control.always(POLICY, reply)
    asked = control.asked(POLICY)
    with caplog.at_level(logging.DEBUG):
        until(lambda: control.asked(POLICY) >= asked + 2)
        if said:
            until(lambda: agent.state.last_error is not None)
            assert said in str(agent.state.last_error)
            assert said in caplog.text
    assert agent.policy() is good
    control.always(POLICY, None)
    until(lambda: agent.state.last_error is None)
    assert KEY not in caplog.text
    assert KEY not in repr(agent.state)


def test_a_server_that_lives_in_the_last_year_that_there_is_has_no_clock(
    control: ControlServer, started: Start
) -> None:
    """Its months have no end; its policy counts all the same."""
    agent = started(control)
    ten = json.dumps(document(budget(limit=10))).encode()
    control.always(POLICY, Reply(200, ten, {"Date": "Fri, 31 Dec 9999 23:59:59 GMT"}))
    until(lambda: agent.policy().budgets[0].limit.amount == 10 * 10**9)
    assert agent.state.skew_s < 60


def test_a_server_that_never_answers_holds_up_nothing(
    control: ControlServer, started: Start
) -> None:
    """The policy is read in no time meanwhile, and the agent ends at once."""
    agent = started(control)
    control.always(POLICY, HANG)
    asked = control.asked(POLICY)
    until(lambda: control.asked(POLICY) > asked)
    begun = time.perf_counter()
    assert limit(agent) == 100
    agent.stop()
    assert time.perf_counter() - begun < 3


def test_before_the_first_answer_the_policy_of_the_disk_holds(
    control: ControlServer, started: Start, state: Path
) -> None:
    """It is of this server, key and policy only; nobody else may read it; it has no key."""
    started(control).stop()
    (kept,) = state.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert KEY not in kept.read_text() + kept.name
    control.always(POLICY, HANG)
    again = agent_for(control)
    assert limit(again) == 100
    assert again.state.source == "disk"
    for other in (agent_for(control, key="other"), agent_for(control, policy_id="voice")):
        assert other.policy().missing is not None
        other.stop()
    again.stop()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "at": "now", "body": "{}"}',
        '{"format": 1, "at": 1.0, "body": "no json"}',
        '{"format": 1, "at": 1.0, "body": "{\\"budgets\\": 5}"}',
        '{"format": 1, "body": "{}", "at": ' + "9" * 400 + "}",
        "[" * 100_000,
        "\x00" * 20_000_000,
    ],
    ids=lambda text: text[:20],
)
def test_a_broken_file_counts_for_nothing(control: ControlServer, text: str) -> None:
    """It is as if none were there."""
    path = PolicyDrawer(Server.at(control.url, KEY)).path
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert agent_for(control).policies.current.policy.missing is not None


def test_a_server_without_a_control_plane_is_only_a_telemetry_endpoint(
    control: ControlServer, started: Start
) -> None:
    """404 to the policy: there is none to wait for, and nobody to send events to."""
    control.always(POLICY, Reply(404))
    agent = started(control)
    until(lambda: agent.state.absent)
    assert agent.policy().missing is None
    assert agent.policy().budgets == ()
    time.sleep(0.3)
    assert control.asked(EVENTS) == 0
    control.always(POLICY, None)
    until(lambda: not agent.state.absent)
    until(lambda: limit(agent) == 100)


def test_a_policy_that_does_not_exist_is_no_reason_to_let_everything_through(
    control: ControlServer, started: Start
) -> None:
    """404 to a policy that was asked for by name."""
    agent = started(control, policy_id="nonsense")
    assert agent.policy().missing is not None
    assert "ADEN_POLICY_ID" in str(agent.state.last_error)


def test_a_key_is_not_sent_to_where_a_server_redirects_to(
    control: ControlServer, started: Start
) -> None:
    """Neither by GET nor by POST."""
    with ControlServer(document()) as elsewhere:
        for path in (POLICY, EVENTS):
            where = {"Location": f"{elsewhere.url}{path}"}
            control.always(path, Reply(307, b"", where))
        agent = started(control)
        until(lambda: agent.state.last_error is not None)
        time.sleep(0.3)
        assert elsewhere.requests == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_an_agent_of_its_own(control: ControlServer, started: Start) -> None:
    """With its own instance and an empty outbox, and it begins when the child first asks."""
    agent = started(control)
    seen = {headers["x-sdk-instance-id"] for _, _, headers in control.requests}
    child = os.fork()
    if child == 0:
        good = agent.policy().budgets and agent.wait(20) and len(agent.outbox) == 0
        os._exit(0 if good else 1)
    assert os.waitpid(child, 0)[1] == 0
    seen |= {headers["x-sdk-instance-id"] for _, _, headers in control.requests}
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("wss://aden.example.com/", "https://aden.example.com"),
        ("ws://127.0.0.1:8/base/", "http://127.0.0.1:8/base"),
        ("https://[::1]:9", "https://[::1]:9"),
        ("https://user:secret@host/a b?x=1#y", "https://host/a%20b"),
    ],
)
def test_urls_are_read_as_people_write_them(given: str, url: str) -> None:
    """And shown without what is secret."""
    server = Server.at(given, KEY)
    assert server.url == url
    assert KEY not in repr(server)


@pytest.mark.parametrize("policy_id", ["", "a b", "ä", "x\ny", "x" * 201])
def test_a_policy_id_that_is_no_header_is_refused(policy_id: str) -> None:
    """Where it is given, not at the first request."""
    with pytest.raises(ConfigurationError, match="policy_id"):
        Server.at("https://aden.example.com", KEY, policy_id)
