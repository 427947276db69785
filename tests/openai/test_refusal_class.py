"""The refusal as an exception: caught as both of its kinds, copied, sent between processes."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import openai
import pytest

from aden.errors import RefusalDetails, RequestCancelledError
from aden.instrumentation.livekit.refusal import refusal_class as livekit_refusal
from aden.instrumentation.openai.refusal import refusal_class as openai_refusal

DETAILS = RefusalDetails(
    message="budget 'all' is exhausted",
    reason="exhausted",
    budget_id="all",
    scope="customer=acme",
    limit_usd=1.0,
    spent_usd=0.99,
    retry_after_ms=1200,
)
KINDS: dict[str, Any] = {
    "plain": lambda: RequestCancelledError,
    "openai": openai_refusal,
    "livekit": livekit_refusal,
}
READ = """
import pickle, sys
error = pickle.load(sys.stdin.buffer)
print([base.__name__ for base in type(error).__mro__[:3]], error.details, str(error))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_survives_copy_and_pickle(kind: str) -> None:
    """Type, message and every field come out as they went in."""
    error = KINDS[kind]()(DETAILS)
    for again in (copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301
        assert type(again) is type(error)
        assert again.details == DETAILS
        assert str(again) == str(error) == DETAILS.message
        assert getattr(again, "status_code", 402) == 402


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_is_read_by_a_process_that_has_not_met_one(kind: str) -> None:
    """A worker pool hands it to its parent, which has imported nothing yet."""
    sent = pickle.dumps(KINDS[kind]()(DETAILS))
    done = subprocess.run(
        [sys.executable, "-c", READ], input=sent, capture_output=True, check=True, timeout=60
    )
    said = done.stdout.decode()
    assert type(KINDS[kind]()(DETAILS)).__name__ in said
    assert repr(DETAILS) in said


def test_the_openai_refusal_is_an_answer_of_the_provider_to_those_who_expect_one() -> None:
    """``except openai.APIStatusError`` finds what it looks for."""
    error: Any = openai_refusal()(DETAILS)
    assert isinstance(error, openai.APIStatusError)
    assert (error.status_code, error.code, error.type) == (402, "exhausted", "aden_refusal")
    assert error.response.status_code == 402
    assert error.message == str(error) == DETAILS.message
    assert error.request.url.host == "aden.invalid"


def test_a_refusal_can_be_named() -> None:
    """The lazily made class is importable by the name that logs and spans show."""
    from aden.instrumentation.openai.refusal import OpenAIRequestCancelledError

    assert OpenAIRequestCancelledError is openai_refusal()
    assert OpenAIRequestCancelledError.__qualname__ == "OpenAIRequestCancelledError"


def test_the_body_of_a_refusal_says_what_the_sdks_errors_say() -> None:
    """Frameworks above the SDK show that, and nothing else, of an error."""
    error = openai_refusal()(DETAILS)
    assert isinstance(error, openai.APIStatusError)
    assert error.body == {
        "message": "budget 'all' is exhausted",
        "type": "aden_refusal",
        "code": "exhausted",
        "param": None,
        "aden": True,
    }
