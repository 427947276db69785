"""The user's guide, the example and the demo say the same, line by line."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "livekit-guide.md"
EXAMPLE = ROOT / "examples" / "livekit_voice_agent.py"
DEMO = ROOT / "src" / "aden" / "cli" / "demo" / "agent.py"

PLACEHOLDER = "    await session.start(ctx.room)"
"""What the guide leaves to the reader: LiveKit's API wants an agent here."""


def template() -> list[str]:
    """The lines of the guide's complete template."""
    section = GUIDE.read_text().split("## Complete Template\n")[1]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:1]
    return str(code).splitlines()


def body_of(function: str, lines: list[str]) -> list[str]:
    """The code below ``def function``, without its docstring."""
    start = next(at for at, line in enumerate(lines) if line.startswith(f"def {function}("))
    body = []
    for line in lines[start + 1 :]:
        if line and not line.startswith(" "):
            break
        body.append(line)
    return [line for line in body if line and not line.lstrip().startswith('"""')]


def test_the_example_is_the_guide_s_template_with_its_placeholder_filled_in() -> None:
    """Nothing is changed, left out or added but what stands for one line of `entrypoint`."""
    guide, example = template(), EXAMPLE.read_text().splitlines()
    hole = guide.index(PLACEHOLDER)
    before, after = guide[:hole], guide[hole + 1 :]
    assert example[:hole] == before
    assert example[-len(after) :] == after
    filled = example[hole : -len(after)]
    assert filled
    assert all(line.startswith("    ") for line in filled)
    assert not [line for line in filled if "instrument(" in line or "import" in line]


def test_the_template_contains_the_code_of_the_guide_s_four_steps() -> None:
    """The guide agrees with itself, so holding its template holds all of it."""
    steps = GUIDE.read_text().split("## Complete Template\n")[0]
    code = "\n".join(re.findall(r"```python\n(.*?)```", steps, re.DOTALL)).splitlines()
    for function in ("budget_check", "initialize_aden_in_worker"):
        assert body_of(function, code) == body_of(function, template())


def test_the_demo_uses_the_guide_s_hook_and_prewarm_function_as_they_stand() -> None:
    """`aden demo` shows what a user gets, not something made for the show."""
    demo = DEMO.read_text().splitlines()
    for function in ("budget_check", "initialize_aden_in_worker"):
        assert body_of(function, demo) == body_of(function, template())
