"""The control agent: one background thread that speaks with an Aden server.

It fetches the policy, posts what happened, and is never in the path of a request: requests read
one attribute, and put finished calls into a queue.
"""

import contextlib
import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable

from aden.budgets.policy import Policy
from aden.control.duty import Duty
from aden.control.events import Event, Origin, events_of, heartbeat
from aden.control.exchange import Exchange, NotNowError
from aden.control.fetching import Fetcher
from aden.control.outbox import Outbox
from aden.control.push import Push, Pushes
from aden.control.sending import Sender
from aden.control.server import Server
from aden.control.server_policy import ServerPolicy
from aden.control.state import ControlState
from aden.core.forks import see_through_forks
from aden.core.record import CallRecord
from aden.errors import ConfigurationError

logger = logging.getLogger("aden.control")

POLL_EVERY_S = 30.0
POST_EVERY_S = 2.0
BEAT_EVERY_S = 10.0
PUSH_EVERY_S = 0.5
"""Servers push the policy after each call of anybody; of several the last one counts."""
MAX_BACKOFF_S = 60.0
STOP_S = 1.0


class ControlAgent:
    """One process's way to an Aden server.

    Args:
        server: Where it is.
        policy: Holds the policy.
        agent_name: Names this process to the server where a call has no agent of its own.
        version: Of this package.
        poll_every_s: Seconds between two looks at the policy.
    """

    def __init__(
        self,
        server: Server,
        policy: ServerPolicy,
        agent_name: str,
        version: str,
        *,
        poll_every_s: float = POLL_EVERY_S,
    ) -> None:
        self.server = server
        self.policies = policy
        self.on_alert: Callable[[str, str], object] = lambda level, text: None
        """Called with the level and the text of each alert that the server pushes."""
        self.on_lost: Callable[[str, int], object] = lambda cause, count: None
        """Called with the cause and the number of events that are lost."""
        self._agent_name = agent_name
        self._version = version
        self._poll_every_s = poll_every_s
        self._stopped = False
        self._begin()
        see_through_forks(self)

    def after_fork_in_child(self) -> None:
        """Start anew: the parent's thread, socket and queue are the parent's."""
        self._begin()

    def _begin(self) -> None:
        """All that belongs to this process alone."""
        self.instance_id = str(uuid.uuid4())
        self.outbox = Outbox(self._lost)
        self.pushes = Pushes()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._heard = threading.Event()
        self._asked: threading.Event | None = None
        self._flushed = threading.Event()
        self._flushing = False
        self._sequence = itertools.count(1)
        self._requests = self._errors = 0
        self._absent = False
        self._push: Push | None = None
        self._poll, self._post, self._beat, self._intake = (
            Duty(name, self.server) for name in ("policy", "events", "heartbeat", "push")
        )
        self.policies.begin()

    def policy(self) -> Policy:
        """What holds now. Never waits."""
        if self._thread is None:
            self.start()
        return self.policies.current.policy

    def tell(self, record: CallRecord) -> None:
        """A call is finished: the server is told soon."""
        if self._thread is None:
            self.start()
        with self._lock:
            self._requests += record.repeats
            self._errors += record.error_type is not None and record.decision.action != "block"
        if not self._absent:
            for event in events_of(record, next(self._sequence), self._origin()):
                self.outbox.put(event)

    def _lost(self, cause: str, count: int) -> None:
        self.on_lost(cause, count)

    def start(self) -> None:
        """Begin, unless it runs or was stopped. Threads do not survive a fork."""
        with self._lock:
            if self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._run, name="aden-control", daemon=True)
                with contextlib.suppress(RuntimeError):  # the interpreter ends
                    thread.start()
                    self._thread = thread

    def wait(self, timeout_s: float) -> bool:
        """Wait for the first answer, good or bad; False where none came in time."""
        return self._heard.wait(timeout_s)

    def refresh(self, timeout_s: float) -> bool:
        """Look at the policy now instead of within half a minute; False where no answer came."""
        self._asked = answered = threading.Event()
        self._wake.set()
        return answered.wait(timeout_s)

    def flush(self, timeout_s: float) -> bool:
        """Send what waits; False where the server has not taken all of it in time."""
        if self._thread is None or not self.outbox:
            return True
        self._flushed.clear()
        self._flushing = True
        self._wake.set()
        return self._flushed.wait(max(0.0, timeout_s)) and not self.outbox

    def stop(self) -> None:
        """End the thread. What still waits is given up."""
        with self._lock:
            self._stopped = True
            thread = self._thread
        self._wake.set()
        if thread is not None:
            thread.join(STOP_S)
        self.outbox.give_up()

    @property
    def state(self) -> ControlState:
        """What there is to say now."""
        current = self.policies.current
        return ControlState(
            url=self.server.url,
            instance_id=self.instance_id,
            running=self._thread is not None and self._thread.is_alive(),
            in_force=self.policies.in_force,
            source=current.source,
            policy_id=current.id,
            policy_name=current.name,
            version=current.version,
            budgets=len(current.policy.budgets),
            age_s=None if current.at is None else max(0.0, time.time() - current.at),
            last_error=self._poll.trouble
            or self._post.trouble
            or self._intake.trouble
            or self.policies.ledger_error,
            absent=self._absent,
            connected=self._push is not None and self._push.connected,
            skew_s=self.policies.skew_s,
            waiting=len(self.outbox),
            sent=self.outbox.sent,
            dropped=self.outbox.dropped,
            rejected=self.outbox.rejected,
        )

    def _run(self) -> None:
        exchange = Exchange(self.server)
        fetcher = Fetcher(self.server, self.policies, exchange)
        sender = Sender(self.outbox, exchange)
        try:
            while not self._stopped:
                try:
                    self._turn(fetcher, sender)
                except Exception:
                    logger.exception("aden: the control agent failed and goes on")
                    self._poll.later(MAX_BACKOFF_S)
                    self._post.later(MAX_BACKOFF_S)
                self._wake.wait(max(0.0, self._next() - time.monotonic()))
                self._wake.clear()
        finally:
            exchange.close()
            if self._push is not None:
                self._push.close()

    def _turn(self, fetcher: Fetcher, sender: Sender) -> None:
        if self._flushing:  # what is left of a process's time is for what it has to say
            self._flushing = False
            try:
                self._deliver(sender)
            finally:
                self._flushed.set()
        asked, self._asked = self._asked, None
        if self._poll.is_due or asked is not None:
            try:
                self._fetch(fetcher)
            finally:
                for waits in (self._heard, asked):
                    if waits is not None:
                        waits.set()
            self._listen()
        if self.pushes and self._intake.is_due:
            self._take_pushes()
        if not self._absent and self._post.is_due:
            self._deliver(sender)

    def _next(self) -> float:
        """When something is due; what wakes the thread before it is looked at as well."""
        due = [self._poll.at]
        if self.pushes:
            due.append(self._intake.at)
        if not self._absent:
            due.append(self._post.at)
        return min(due)

    def _fetch(self, fetcher: Fetcher) -> None:
        """Ask for the policy."""
        try:
            was_absent, self._absent = self._absent, not fetcher.fetch(self.instance_id)
        except NotNowError as error:
            self._poll.later(self._poll_every_s, error.retry_after_s)
            known = "the last good policy stays" if self.policies.is_known else "there is none yet"
            self._poll.fails(f"the policy could not be fetched: {error}", known)
            return
        self._poll.again(self._poll_every_s)
        if self._absent:  # it answers, but it is no Aden server: one for telemetry alone
            self.outbox.clear()
        if self._absent and not was_absent:
            logger.warning(
                "aden: %s is no control server: no policy comes from there, and no events are sent",
                self.server.url,
            )

    def _deliver(self, sender: Sender) -> None:
        """Send what waits, and a heartbeat where one is due."""
        headers = self.server.headers(self.instance_id)
        try:
            while self.outbox:
                sender.send(headers)
            if self._beat.is_due:
                requests, errors = self._requests, self._errors
                sender.send_now(headers, self._heartbeat(requests, errors))
                self._beat.again(BEAT_EVERY_S)
                with self._lock:
                    self._requests -= requests
                    self._errors -= errors
        except NotNowError as error:
            self._post.later(MAX_BACKOFF_S, error.retry_after_s)
            self._post.fails(f"events could not be sent: {error}", "they are kept")
        else:
            self._post.again(POST_EVERY_S)

    def _heartbeat(self, requests: int, errors: int) -> Event:
        state = self.state
        status = "healthy" if state.last_error is None and not state.dropped else "degraded"
        if self._push is not None and not state.connected:
            status = "reconnecting"
        return heartbeat(
            self._origin(),
            time.time(),
            status=status,
            requests=requests,
            errors=errors,
            policy_age_s=state.age_s or 0.0,
            connected=state.connected,
            version=self._version,
        )

    def _listen(self) -> None:
        """Have the server push, where it is there and the extra is installed."""
        if self._push is None and self._poll.trouble is None and not self._absent:
            self._push = Push.open(self.server, self.instance_id, self.pushes, self._wake.set)

    def _take_pushes(self) -> None:
        self._intake.rest(PUSH_EVERY_S)
        for message in self.pushes.taken():
            try:
                if message.kind == "alert":
                    self.on_alert(message.level, message.text)
                elif message.kind == "budget_policy":
                    self.policies.heard_budgets(message.body)
                else:
                    self.policies.pushed(message.body)
            except ConfigurationError as error:
                why = f"a pushed {message.kind} is not valid: {error}"
                self._intake.fails(why, "the last good policy stays")
            else:
                self._intake.works()

    def _origin(self) -> Origin:
        return Origin(self.instance_id, self._agent_name, self.policies.current.id)
