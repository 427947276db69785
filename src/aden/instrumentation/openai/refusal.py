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

        status_code = 402
        request_id = None
        param = None
        type = "aden_refusal"

        def __init__(self, details: RefusalDetails | str) -> None:
            # Not APIStatusError.__init__: a response to nothing costs more than the refusal.
            RequestCancelledError.__init__(self, details)
            self.message = self.details.message
            self.code = self.details.reason
            said = {"message": self.message, "type": self.type, "code": self.code}
            self.body = {**said, "param": self.param, "aden": True}

        @functools.cached_property
        def response(self) -> httpx2.Response:  # type: ignore[override]  # made where it is read
            """An answer with status 402 that no server gave."""
            request = httpx2.Request("POST", "https://aden.invalid/refused-before-it-was-sent")
            return httpx2.Response(self.status_code, request=request)

        @property
        def request(self) -> httpx2.Request:  # type: ignore[override]  # as above
            """What would have been answered so."""
            return self.response.request

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
