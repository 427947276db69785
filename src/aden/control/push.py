"""What an Aden server pushes over Socket.IO, where the extra ``control`` is installed.

A push can change the policy and raise alerts, nothing else: commands are named in the log and
ignored.
"""

import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from aden.control.server import Server

logger = logging.getLogger("aden.control")

NAMESPACE = "/v1/control/ws"
CONNECT_S = 5.0
MAX_WAIT_S = 60.0
MAX_ALERTS = 100
"""Alerts that may wait; a server that raises more at once is not heard."""
MAX_TEXT = 1_000
_LEVELS = ("info", "warning", "critical")
_silent = logging.getLogger("aden.control.socketio")
_silent.setLevel(logging.CRITICAL + 1)  # else the library adds a handler to a logger of its own


@dataclass(frozen=True, slots=True)
class Pushed:
    """A message that says something to this process."""

    kind: str
    """``policy | budget_policy | alert``."""
    body: object = None
    level: str = "warning"
    text: str = ""


class Pushes:
    """What was pushed and not looked at yet: the latest policy, alerts. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._policy: Pushed | None = None
        self._budgets: Pushed | None = None
        self._alerts: deque[Pushed] = deque()
        self._said: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._policy or self._budgets or self._alerts)

    def message(self, message: object) -> bool:
        """Take a message in; whether it is one to act on."""
        if not isinstance(message, dict):
            self._say("malformed", "a pushed message is no object")
            return False
        kind = message.get("type")
        with self._lock:
            if kind == "policy":
                self._policy, self._budgets = Pushed("policy", message.get("policy")), None
                return True
            if kind == "budget_policy":
                self._budgets = Pushed("budget_policy", message.get("budgets"))
                return True
            if kind == "alert" and len(self._alerts) < MAX_ALERTS:
                self._alerts.append(_alert(message.get("alert")))
                return True
        self._note(kind, message)
        return False

    def taken(self) -> Iterator[Pushed]:
        """Everything that waits, the policy before its budgets; it waits no longer."""
        with self._lock:
            found = [each for each in (self._policy, self._budgets, *self._alerts) if each]
            self._policy = self._budgets = None
            self._alerts.clear()
        yield from found

    def _note(self, kind: object, message: dict[str, object]) -> None:
        if kind == "command":
            command = message.get("command")
            action = command.get("action") if isinstance(command, dict) else None
            self._say(f"command {action!r:.80}", "the Aden server's commands are ignored")
        elif kind == "error":
            self._say(f"error {message.get('error')!r:.200}", "the Aden server pushed an error")
        elif kind == "alert":
            self._say("alerts", f"the Aden server raises more than {MAX_ALERTS} alerts at once")
        else:
            self._say(f"type {kind!r:.80}", "the Aden server pushed something unknown")

    def _say(self, what: str, why: str) -> None:
        """Once each; and not without end, since the words come from outside."""
        with self._lock:
            if what in self._said or len(self._said) >= MAX_ALERTS:
                return
            self._said.add(what)
        logger.warning("aden: %s: %s", why, what)


class Push:
    """A connection that the server pushes over, made again whenever it ends."""

    def __init__(
        self, server: Server, instance_id: str, pushes: Pushes, wake: Callable[[], object]
    ) -> None:
        self._server = server
        self._instance_id = instance_id
        self._pushes = pushes
        self._wake = wake
        self._closed = threading.Event()
        self._client: Any = None
        self.connected = False

    @classmethod
    def open(
        cls, server: Server, instance_id: str, pushes: Pushes, wake: Callable[[], object]
    ) -> "Push | None":
        """Connect in the background; None where the extra is not installed."""
        try:
            import socketio  # noqa: F401
        except ImportError:
            return None
        push = cls(server, instance_id, pushes, wake)
        with contextlib.suppress(RuntimeError):  # the interpreter ends
            threading.Thread(target=push._run, name="aden-push", daemon=True).start()
        return push

    def close(self) -> None:
        """Hang up for good."""
        self._closed.set()
        client = self._client
        if client is not None:
            with contextlib.suppress(Exception):
                client.disconnect()

    def _run(self) -> None:
        failures, said = 0, False
        while not self._closed.is_set():
            try:
                self._connect()
                failures, said = 0, False
                self._client.wait()
            except Exception as error:
                failures += 1
                if not said:  # polling goes on, so this is no reason for a warning
                    said = True
                    why = self._server.masked(f"{type(error).__name__}: {error}")
                    logger.info("aden: %s cannot push: %s", self._server.url, why)
            finally:
                self.connected = False
            wait = min(MAX_WAIT_S, 2.0 ** min(failures, 10))
            self._closed.wait(wait * random.uniform(0.5, 1.0))  # noqa: S311

    def _connect(self) -> None:
        import socketio

        options: dict[str, Any] = {"redirect_limit": 0}  # the key would go along
        if self._server.scheme == "http":  # to this machine: no proxy is to see the key
            options["http_no_proxy"] = ["*"]
        client = self._client = socketio.Client(
            reconnection=False,
            logger=_silent,
            engineio_logger=_silent,
            handle_sigint=False,
            request_timeout=CONNECT_S,
            websocket_extra_options=options,
        )
        client.on("message", self._heard, namespace=NAMESPACE)
        client.connect(
            self._server.url,
            headers=self._server.headers(self._instance_id),
            auth={"token": self._server.key},
            transports=["websocket"],  # the other transport's client follows redirects
            namespaces=[NAMESPACE],
            socketio_path=f"{self._server.path}/socket.io".lstrip("/"),
            wait_timeout=CONNECT_S,
        )
        self.connected = True

    def _heard(self, message: object = None) -> None:
        if self._pushes.message(message):
            self._wake()


def _alert(alert: object) -> Pushed:
    fields = alert if isinstance(alert, dict) else {}
    level, text = fields.get("level"), fields.get("message")
    if level not in _LEVELS:
        level = "warning"
    if not isinstance(text, str) or not text:
        text = "the Aden server raised an alert"
    return Pushed("alert", level=level, text=text[:MAX_TEXT])
