"""Our names of the conventions are the ones that util-genai writes."""

from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.util.genai import _inference_invocation as util

from aden.telemetry import names


def test_the_conventions_names_are_those_of_the_installed_packages() -> None:
    """A release that renames one turns this red."""
    assert names.OPERATION_NAME == gen_ai_attributes.GEN_AI_OPERATION_NAME
    assert names.PROVIDER_NAME == gen_ai_attributes.GEN_AI_PROVIDER_NAME
    assert names.REQUEST_MODEL == gen_ai_attributes.GEN_AI_REQUEST_MODEL
    assert names.REQUEST_STREAM == gen_ai_attributes.GEN_AI_REQUEST_STREAM
    assert names.RESPONSE_ID == gen_ai_attributes.GEN_AI_RESPONSE_ID
    assert names.RESPONSE_MODEL == gen_ai_attributes.GEN_AI_RESPONSE_MODEL
    assert names.RESPONSE_FINISH_REASONS == gen_ai_attributes.GEN_AI_RESPONSE_FINISH_REASONS
    assert names.RESPONSE_TTFC == gen_ai_attributes.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK
    assert names.INPUT_TOKENS == gen_ai_attributes.GEN_AI_USAGE_INPUT_TOKENS
    assert names.OUTPUT_TOKENS == gen_ai_attributes.GEN_AI_USAGE_OUTPUT_TOKENS
    assert names.CACHE_READ_TOKENS == gen_ai_attributes.GEN_AI_USAGE_CACHE_READ_INPUT_TOKENS
    assert names.REASONING_TOKENS == gen_ai_attributes.GEN_AI_USAGE_REASONING_OUTPUT_TOKENS
    assert names.CACHE_WRITE_TOKENS == util._GEN_AI_USAGE_CACHE_WRITE_INPUT_TOKENS
    assert names.AUDIO_INPUT_TOKENS == util._GEN_AI_USAGE_AUDIO_INPUT_TOKENS
    assert names.AUDIO_OUTPUT_TOKENS == util._GEN_AI_USAGE_AUDIO_OUTPUT_TOKENS
    assert names.ERROR_TYPE == error_attributes.ERROR_TYPE
