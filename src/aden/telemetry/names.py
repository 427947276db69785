"""Attribute and instrument names.

The ``gen_ai.*`` names are those of the OpenTelemetry GenAI conventions as ``util-genai`` 1.3b0
emits them; they are spelled out here because the constants package marks them as moved
(https://github.com/open-telemetry/semantic-conventions-genai). A test compares the two.
"""

from typing import Final

OPERATION_NAME: Final = "gen_ai.operation.name"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
RESPONSE_TTFC: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
AUDIO_INPUT_TOKENS: Final = "gen_ai.usage.audio.input_tokens"
AUDIO_OUTPUT_TOKENS: Final = "gen_ai.usage.audio.output_tokens"
ERROR_TYPE: Final = "error.type"

COST_USD: Final = "aden.cost.usd"
"""US dollars of the call, all attempts; on inference spans only."""
PRICE_SOURCE: Final = "aden.price.source"
USAGE_ESTIMATED: Final = "aden.usage.estimated"
"""True where the provider reported no usage for some attempt."""
DECISION_ACTION: Final = "aden.decision.action"
DECISION_REASON: Final = "aden.decision.reason"
DECISION_SOURCE: Final = "aden.decision.source"
DECISION_DELAY_MS: Final = "aden.decision.delay_ms"
ASKED_MODEL: Final = "aden.request.model"
"""The model that the caller asked for; ``gen_ai.request.model`` is the one that was sent."""
ATTEMPTS: Final = "aden.attempts"
BUDGET_ID: Final = "aden.budget.id"
BUDGET_PERCENT_USED: Final = "aden.budget.percent_used"
LEDGER_REACH: Final = "aden.ledger.reach"
STREAM_END: Final = "aden.stream.end"
ENDED_AT_EXIT: Final = "aden.ended_at_exit"
"""True on a span that was open when its process ended."""
CALL_ID: Final = "aden.call.id"
ATTRIBUTION: Final = "aden.attribution."
"""Prefix of the attribution labels on spans."""

METRIC_COST: Final = "aden.client.cost"
METRIC_DECISIONS: Final = "aden.client.decisions"
METRIC_FAILURES: Final = "aden.gate.failures"
