"""Fetches the policy: one look at a time, by its ETag."""

import logging
import time

from aden.control.exchange import Exchange, NotNowError, answered
from aden.control.policy_document import MAX_BYTES
from aden.control.server import Server
from aden.control.server_policy import ServerPolicy
from aden.errors import ConfigurationError

logger = logging.getLogger("aden.control")

PATH = "/v1/control/policy"
_NOT_THERE = (404, 405, 501)
"""What a telemetry endpoint answers that has no policy to give."""
SKEW_S = 60.0
"""A server's clock that is off by more is worth a line."""


class Fetcher:
    """For one thread."""

    def __init__(self, server: Server, policies: ServerPolicy, exchange: Exchange) -> None:
        self._server = server
        self._policies = policies
        self._exchange = exchange
        self._etag: str | None = None

    def fetch(self, instance_id: str) -> bool:
        """Look at the policy; False where there is no control plane.

        Raises:
            NotNowError: The last good policy stays.
        """
        headers = self._server.headers(instance_id)
        if self._etag is not None:
            headers["If-None-Match"] = self._etag
        answer = self._exchange.ask("GET", PATH, headers, most=MAX_BYTES)
        if answer.at is not None:
            self._compare_clocks(answer.at)
        if answer.status == 304 and self._etag is not None:
            self._policies.confirmed()
        elif answer.status in _NOT_THERE and self._server.policy_id is None:
            self._policies.nothing_there()
            return False
        elif answer.status != 200:
            raise NotNowError(answered(PATH, answer.status), answer.retry_after_s)
        else:
            try:
                self._policies.heard(answer.body, answer.at)
            except ConfigurationError as error:
                raise NotNowError(str(error)) from None
            self._etag = answer.etag
        return True

    def _compare_clocks(self, server_time: float) -> None:
        was, self._policies.skew_s = self._policies.skew_s, server_time - time.time()
        if abs(self._policies.skew_s) > SKEW_S >= abs(was):
            logger.warning(
                "aden: the Aden server's clock is %+.0f s off ours: its months begin by its own",
                self._policies.skew_s,
            )
