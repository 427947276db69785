"""The refusal as the openai SDK's callers expect an answer: a 402 that is not retried."""

import functools

from aden.errors import RefusalDetails, RequestCancelledError


@functools.cache
def refusal_class() -> type[RequestCancelledError]:
    """Make `OpenAIRequestCancelledError`; only called where openai is imported already."""
    import httpx2
    import openai

    class OpenAIRequestCancelledError(RequestCancelledError, openai.APIStatusError):
        """A refusal out of the openai SDK: an ``openai.APIStatusError`` with status 402."""

        __qualname__ = "OpenAIRequestCancelledError"  # as spans and logs name it

        def __init__(self, details: RefusalDetails | str) -> None:
            RequestCancelledError.__init__(self, details)
            request = httpx2.Request("POST", "https://aden.invalid/refused-before-it-was-sent")
            body = {"code": self.reason, "type": "aden_refusal", "aden": True}
            openai.APIStatusError.__init__(
                self, str(self), response=httpx2.Response(402, request=request), body=body
            )

        def __reduce__(self) -> tuple[object, tuple[RefusalDetails]]:  # type: ignore[override]
            return remake, (self.details,)

    return OpenAIRequestCancelledError


def __getattr__(name: str) -> type[RequestCancelledError]:
    if name == "OpenAIRequestCancelledError":
        return refusal_class()
    raise AttributeError(f"module {__name__} has no attribute {name}")


def remake(details: RefusalDetails) -> RequestCancelledError:
    """Unpickle a refusal."""
    return refusal_class()(details)
