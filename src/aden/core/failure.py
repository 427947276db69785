"""How a failed call is named on spans and records."""


class ReportedFailure(Exception):  # noqa: N818 - it is what a provider says, and never raised
    """The provider's own word, in a well-formed answer, that it failed.

    Attributes:
        code: The provider's error code, such as ``server_error``.
    """

    def __init__(self, code: str, message: str = "") -> None:
        super().__init__(message)
        self.code = self._gen_ai_error_type = code  # the second is util-genai's own mark


def error_type(error: BaseException) -> str:
    """``error.type``: the provider's code where it gave one, else the class."""
    return error.code if isinstance(error, ReportedFailure) else type(error).__qualname__
