"""What holds for the requests that are made inside a block, or by a function."""

import contextlib
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import wraps
from typing import Any, Generic, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Block(Generic[T]):
    """``with`` it, a context variable has another value; a function that it decorates runs so."""

    def __init__(self, variable: ContextVar[T], inner: Callable[[T], T]) -> None:
        self._variable = variable
        self._inner = inner  # the value inside, made of the one outside
        self._token: Token[T] | None = None

    def __enter__(self) -> T:
        if self._token is not None:
            msg = "a block is entered once: make another one"
            raise RuntimeError(msg)
        value = self._inner(self._variable.get())
        self._token = self._variable.set(value)
        return value

    def __exit__(self, *_raised: object) -> None:
        # Generators are closed in other contexts, such as FastAPI's dependencies: nothing to undo.
        with contextlib.suppress(ValueError):
            if self._token is not None:
                self._variable.reset(self._token)

    def __call__(self, function: F) -> F:
        """Decorate a function, sync or async: each call of it is a block of its own."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            msg = f"{function.__qualname__} is a generator: put the with block inside of it"
            raise TypeError(msg)

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            with Block(self._variable, self._inner):
                return function(*args, **kwargs)

        @wraps(function)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            with Block(self._variable, self._inner):
                return await function(*args, **kwargs)

        return acall if inspect.iscoroutinefunction(function) else call  # type: ignore[return-value]
