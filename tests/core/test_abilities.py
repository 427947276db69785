"""What a model is known not to take, by its name."""

import pytest

from aden.core.abilities import keeps_no_schema, knows_no_sound, reads_text_only, takes_effort


@pytest.mark.parametrize(
    ("text_only", "sees"),
    [
        ("gpt-3.5-turbo", "gpt-4o-mini"),
        ("gpt-4-0125-preview", "gpt-4-1106-vision-preview"),
        ("gpt-4", "gpt-4.1-nano"),
        ("o3-mini", "o4-mini"),
        ("openai/gpt-oss-120b", "openai/gpt-5-nano"),
        ("deepseek-chat", "deepseek-ai/DeepSeek-OCR"),
        ("deepseek-ai/DeepSeek-V3", "deepseek-ai/deepseek-vl2"),
        ("llama-3.3-70b-versatile", "meta-llama/llama-4-scout-17b-16e-instruct"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo", "meta-llama/Llama-3.2-11B-Vision-Instruct"),
        ("llama3-8b-8192", "meta-llama/Llama-Vision-Free"),
        ("llama-3.2-3b-preview", "llama-3.2-90b-vision-preview"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "pixtral-12b"),
        ("open-mistral-nemo", "mistral-small-latest"),
        ("Qwen/Qwen2.5-72B-Instruct", "Qwen/Qwen2.5-VL-72B-Instruct"),
        ("qwen/qwen3-32b", "qwen3.5-plus"),
        ("Qwen/Qwen3-235B-A22B", "qwen3-omni-flash"),
        ("grok-3-mini", "grok-2-vision-1212"),
        ("grok-code-fast-1", "grok-4"),
        ("moonshotai/kimi-k2-instruct", "kimi-k2.5"),
        ("moonshot-v1-8k", "moonshot-v1-8k-vision-preview"),
        ("glm-4.6", "glm-4.5v"),
        ("command-r-plus", "command-a-vision-07-2025"),
        ("gemma2-9b-it", "google/gemma-3-27b-it"),
        ("microsoft/phi-4", "microsoft/Phi-4-multimodal-instruct"),
        ("claude-2.1", "claude-3-haiku-20240307"),
        ("amazon.nova-micro-v1:0", "amazon.nova-lite-v1:0"),
    ],
)
def test_who_reads_text_only_is_told_from_who_sees(text_only: str, sees: str) -> None:
    """Within one family too."""
    assert reads_text_only(text_only)
    assert not reads_text_only(sees)


@pytest.mark.parametrize(
    ("deaf", "hears"),
    [
        ("gpt-4o-mini", "gpt-4o-mini-audio-preview"),
        ("gpt-5-nano", "gpt-audio-mini"),
        ("gpt-4.1", "gpt-realtime-mini"),
        ("o4-mini", "gemini-2.5-flash"),
        ("claude-haiku-4-5", "google/gemini-3-pro-preview"),
        ("gpt-3.5-turbo", "mistralai/Voxtral-Small-24B-2507"),
        ("meta-llama/llama-4-scout-17b-16e-instruct", "qwen3-omni-flash"),
        ("grok-4", "microsoft/Phi-4-multimodal-instruct"),
    ],
)
def test_who_neither_hears_nor_speaks_is_known(deaf: str, hears: str) -> None:
    """Whether it sees or not."""
    assert knows_no_sound(deaf)
    assert not knows_no_sound(hears)


@pytest.mark.parametrize(
    ("keeps_none", "keeps"),
    [
        ("gpt-4-turbo", "gpt-4.1"),
        ("gpt-4o-2024-05-13", "gpt-4o-2024-08-06"),
        ("gpt-4o-audio-preview", "gpt-4o-mini"),
        ("gpt-audio-mini", "gpt-5-mini"),
        ("deepseek-chat", "deepseek-ai/DeepSeek-V3"),
        ("llama-3.1-8b-instant", "openai/gpt-oss-20b"),
        ("moonshot-v1-32k", "moonshotai/kimi-k2-instruct"),
    ],
)
def test_who_takes_no_schema_is_known(keeps_none: str, keeps: str) -> None:
    """By the names of who serves it."""
    assert keeps_no_schema(keeps_none)
    assert not keeps_no_schema(keeps)


@pytest.mark.parametrize(
    ("takes", "refuses"),
    [
        ("o4-mini", "o1-mini"),
        ("gpt-5-nano", "gpt-5-chat-latest"),
        ("openai/gpt-oss-20b", "gpt-4o-mini"),
        ("grok-3-mini", "grok-4"),
        ("gemini-2.5-flash", "gemini-2.0-flash"),
    ],
)
def test_who_takes_an_effort_is_known(takes: str, refuses: str) -> None:
    """Not each that thinks does."""
    assert takes_effort(takes)
    assert not takes_effort(refuses)
