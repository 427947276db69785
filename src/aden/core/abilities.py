"""What a model is known not to take, by its name; whatever is not known is tried.

A hosted model has its maker's name, with the host's prefix before it: ``meta-llama/Llama-3.3-70B``.
"""

import re
from collections.abc import Sequence

from aden.core.request import reasons


def reads_text_only(model: str) -> bool:
    """Whether a model is known to take neither images nor sound."""
    return _READS_TEXT.match(model) is not None and _SEES.search(model) is None


def knows_no_sound(model: str) -> bool:
    """Whether a model is known neither to hear nor to speak."""
    return reads_text_only(model) or (
        _NO_SOUND.match(model) is not None and _SOUND.search(model) is None
    )


def keeps_no_schema(model: str) -> bool:
    """Whether a model is known to take no JSON schema for its answer."""
    return _NO_SCHEMA.match(model) is not None


def takes_effort(model: str) -> bool:
    """Whether a model is known to take a reasoning effort; most refuse what they do not know."""
    return _EFFORT.match(model) is not None or (reasons(model) and not _OLD_O1.match(model))


def _named(starts: Sequence[str]) -> re.Pattern[str]:
    return re.compile(rf"^(.*/)?({'|'.join(starts)})", re.IGNORECASE)


_READS_TEXT = _named(
    (
        # https://platform.openai.com/docs/models
        r"gpt-3\.5",
        r"gpt-4($|-32k|-\d{4}|-turbo-preview)",
        r"o1-(mini|preview)",
        r"o3-mini",
        r"gpt-oss",
        # https://api-docs.deepseek.com
        r"deepseek",
        # https://www.llama.com/docs/model-cards-and-prompt-formats: text but for 3.2 and 4
        r"(meta-)?llama-?(2|3(?!\.2))",
        r"(meta-)?llama-?3\.2-[13]b",
        # https://docs.mistral.ai/getting-started/models
        r"(open-)?mi(stral-7b|xtral)",
        r"(open-)?mistral-nemo",
        r"codestral",
        # https://qwenlm.github.io: until 3 what sees is a family of its own
        r"qwen(1\.5|2|2\.5|3)-",
        r"qwq",
        # https://docs.x.ai/docs/models
        r"grok-(beta|2-1212|3|code)",
        # https://platform.moonshot.ai/docs
        r"kimi-k2($|-)",
        r"moonshot-v1",
        # https://docs.z.ai/guides/overview: what sees has a v after its number
        r"glm-4(\.\d)?($|-)",
        # https://docs.cohere.com/docs/models
        r"command-(r|light|a-03)",
        # https://huggingface.co/google and /microsoft
        r"gemma-?[12]-",
        r"phi-[34]",
        # https://docs.anthropic.com/en/docs/about-claude/models
        r"claude-(2|instant)",
        # https://docs.aws.amazon.com/nova/latest/userguide/what-is-nova.html
        r"(us\.|eu\.)?(amazon\.)?nova-micro",
    )
)
_SEES = re.compile(r"vision|multimodal|omni|ocr|[-_]vl|vl[-_\d]", re.IGNORECASE)
"""How models are called that see or hear, of families that do not."""

_NO_SOUND = _named(
    (
        # https://platform.openai.com/docs/guides/audio: models of their own do
        r"(chat)?gpt-([345]|oss)",
        r"o[134]($|-)",
        # https://docs.anthropic.com/en/docs/about-claude/models
        r"claude-(3|(opus|sonnet|haiku)-4)",
        # https://docs.x.ai/docs/models
        r"grok-[234]",
        # https://www.llama.com/docs/model-cards-and-prompt-formats
        r"(meta-)?llama-?[234]",
    )
)
_SOUND = re.compile(r"audio|realtime|omni|voice|speech", re.IGNORECASE)
"""How models are called that hear or speak, of families that do neither."""

_NO_SCHEMA = _named(
    (
        # From gpt-4o-mini and gpt-4o-2024-08-06 on
        # (https://platform.openai.com/docs/guides/structured-outputs)
        r"gpt-3\.5",
        r"gpt-4($|-)",
        r"gpt-4o-2024-05-13",
        r"chatgpt-4o",
        r"o1-(mini|preview)",
        # https://platform.openai.com/docs/models/gpt-4o-audio-preview
        r"gpt-(4o-(mini-)?)?audio",
        # DeepSeek's own names (https://api-docs.deepseek.com/guides/json_mode)
        r"deepseek-(chat|reasoner)$",
        # Groq's own names (https://console.groq.com/docs/structured-outputs)
        r"llama-3\.3-70b-versatile",
        r"llama-3\.1-8b-instant",
        r"llama3-(8|70)b-8192",
        r"gemma2-9b-it",
        # https://platform.moonshot.ai/docs/guide/use-json-mode-feature-of-kimi-api
        r"moonshot-v1",
    )
)
_EFFORT = _named(
    (
        # https://console.groq.com/docs/reasoning and others that serve it
        r"gpt-oss",
        # https://docs.x.ai/docs/guides/reasoning
        r"grok-3-mini",
        # https://ai.google.dev/gemini-api/docs/openai#thinking
        r"gemini-(2\.5|[3-9])",
    )
)
_OLD_O1 = _named((r"o1-(mini|preview)",))
"""These think, and take no effort (https://platform.openai.com/docs/guides/reasoning)."""
