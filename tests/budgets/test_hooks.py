"""What the answers of ``before_request`` mean."""

import pytest

from aden import BeforeRequestResult
from aden.budgets.hooks import InvalidHookResult, read_result


@pytest.mark.parametrize(
    ("answer", "action", "model", "delay_ms"),
    [
        (BeforeRequestResult.proceed(), "allow", None, 0),
        (BeforeRequestResult.cancel("no"), "block", None, 0),
        (BeforeRequestResult.throttle(delay_ms=250), "throttle", None, 250),
        (BeforeRequestResult.degrade("gpt-4o-mini", "late"), "degrade", "gpt-4o-mini", 0),
        (BeforeRequestResult.alert("look", "critical"), "alert", None, 0),
    ],
)
def test_each_answer_is_a_decision(
    answer: BeforeRequestResult, action: str, model: str | None, delay_ms: int
) -> None:
    """Whoever answers is its source."""
    decision = read_result(answer)
    assert (decision.action, decision.model, decision.delay_ms) == (action, model, delay_ms)
    assert decision.source in (None, "hook")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        "cancel",
        BeforeRequestResult("explode"),  # type: ignore[arg-type]
        BeforeRequestResult.throttle(delay_ms=-1),
        BeforeRequestResult.throttle(delay_ms=60_001),
        BeforeRequestResult.throttle(delay_ms=float("nan")),  # type: ignore[arg-type]
        BeforeRequestResult.throttle(delay_ms="1s"),  # type: ignore[arg-type]
        BeforeRequestResult.degrade(""),
        BeforeRequestResult.degrade(None),  # type: ignore[arg-type]
        BeforeRequestResult.alert("look", level="loud"),
    ],
)
def test_what_is_no_answer_is_refused(answer: object) -> None:
    """The meter then refuses the request, or goes on without the hook."""
    with pytest.raises(InvalidHookResult):
        read_result(answer)
