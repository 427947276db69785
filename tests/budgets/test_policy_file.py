"""Budgets and rules in a TOML file."""

from pathlib import Path

import pytest

from aden import ANY, Alert, Block, ConfigurationError, Degrade, Rule, Throttle
from aden.budgets.heard import DEFAULT_MESSAGE, Line
from aden.budgets.policy_file import load_policy
from aden.core.window import Rolling

GOOD = """
[[budget]]
id = "calls"
limit_usd = "25.00"
window = "month"
timezone = "Europe/Berlin"
scope = { customer = "*" }
[[budget.ladder]]
action = "degrade"
at = 80
to = "gpt-4o-mini"
[[budget.ladder]]
action = "throttle"
at = 95
delay_ms = 2000
[[budget.ladder]]
action = "alert"
at = 50
"""


def test_a_rolling_window_is_written_as_in_code(tmp_path: Path) -> None:
    """One spelling."""
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD.replace('"month"', '"rolling 15m"'))
    (budget,) = load_policy(path, "enforce").budgets
    assert budget.span.rolling == Rolling(900)


def test_a_file_says_what_a_refused_caller_hears(tmp_path: Path) -> None:
    """A sentence, or a sound file beside it, which has to be there."""
    path, sound = tmp_path / "budgets.toml", tmp_path / "sorry.wav"
    sound.write_bytes(b"RIFF")
    budget = GOOD.replace("[[budget.ladder]]", 'on_refusal = "close"\n[[budget.ladder]]', 1)
    path.write_text(
        budget.replace("[[budget.ladder]]", 'refusal_message = "Bye."\n[[budget.ladder]]', 1)
    )
    (said,) = load_policy(path, "enforce").budgets
    assert (said.on_refusal, said.refusal_message) == ("close", "Bye.")
    path.write_text(
        budget.replace("[[budget.ladder]]", f'refusal_audio = "{sound}"\n[[budget.ladder]]', 1)
    )
    (said,) = load_policy(path, "enforce").budgets
    assert said.refusal_message == Line(DEFAULT_MESSAGE, str(sound))
    sound.unlink()
    with pytest.raises(ConfigurationError, match="budget calls: refusal_audio"):
        load_policy(path, "enforce")
    path.write_text(budget.replace('"close"', '"shout"'))
    with pytest.raises(ConfigurationError, match="budget calls: on_refusal"):
        load_policy(path, "enforce")


CIRCLE = """
[[rule]]
action = "degrade"
to = "b"
scope = {model = "a"}
[[rule]]
action = "degrade"
to = "a"
scope = {model = "b"}
"""


def test_a_file_says_what_code_would_say(tmp_path: Path) -> None:
    """The same keywords, the ladder as tables with an action."""
    path = tmp_path / "budgets.toml"
    path.write_text(GOOD)
    (budget,) = load_policy(path, "enforce").budgets
    assert budget.limit.amount == 25_000_000_000
    assert budget.scope == {"customer": ANY}
    assert budget.ladder == (Alert(50), Degrade(80, "gpt-4o-mini"), Throttle(95, 2000))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[budget]\n", "TOML"),
        ("budget = 3", "[[budget]]"),
        ("budget = " + "1" * 5000, "TOML"),
        ("budget = " + "[" * 5000, "TOML"),
        ('[[budget]]\nid = "b"\nlimit_usd = 0x' + "f" * 5000, "budget b: limit_usd=<int>"),
        ("[[rule]]\naction = []", "rule 1: action=[]"),
        ("budgets = []", "budgets"),
        ("", "at least one [[budget]]"),
        ("budget = []", "at least one [[budget]]"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nwindow = "mnth"', "month"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\ntimezone = "Europe/Belrin"', "Europe/Berlin"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1e300', "1e300"),
        ('[[budget]]\nid = "b"\nlimit_usd = -0.5', "-0.5"),
        ('[[budget]]\nid = "b"\nlimit_usd = inf', "inf"),
        ('[[rule]]\naction = "blok"', "did you mean block?"),
        ('[[rule]]\naction = "cancel"', "did you mean block?"),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "cancel", at = 100}]',
            "at 100 per cent it cancels",
        ),
        ('[[rule]]\naction = "block"\nat = 5', "rule 1: key"),
        ('[[rule]]\naction = "throttle"\ndelay_ms = 70_000', "rule 1: Throttle.delay_ms"),
        ('[[rule]]\naction = "alert"\nat = 0.8\nscope = {}', "rule 1: Alert.at=0.8"),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "alert", at = 0.8}]',
            "b: ladder",
        ),
        ('[[rule]]\naction = "alert"\nscope = {customer = "*"}', "not ANY"),
        (CIRCLE, "a chain of models that ends"),
        ('mode = "later"', "later"),
        ("[[budget]]\nlimit_usd = 1", "budget 1: id=None is not valid: expected a name of its own"),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\non_ledger_down = {allowance_usd = "-1"}',
            "budget b: on_ledger_down: allowance_usd='-1'",
        ),
        (
            '[[budget]]\nid = "b"\nlimit_tokens = 1\non_ledger_down = {allowance_tokens = 1.5}',
            "budget b: on_ledger_down: allowance_tokens=1.5",
        ),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\non_ledger_down = {allowance_tokens = 1}',
            "in a file allowance_usd",
        ),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nscope = {customer = ""}', "or ANY (in a file '*')"),
        ('[[rule]]\naction = "block"\nscop = {}', "one of action, message, scope, unit"),
        ('[[rule]]\naction = "alert"\nunit = "eur"', "rule 1: unit='eur'"),
        ('[[budget]]\nid = "b"', "limit_usd"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nlimit_tokens = 5', "limit_tokens"),
        ('[[budget]]\nid = "b"\nlimit_requests = 1.5', "budget b: limit_requests=1.5"),
        ('[[budget]]\nid = "b"\nlimit_usd = nan', "nan"),
        ('[[budget]]\nid = "b"\nlimit_seconds = nan', "seconds from 0"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nwindw = 2', "did you mean window?"),
        ('[[budgt]]\nid = "b"', "did you mean budget?"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nscope = "x"', "scope"),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nscope = {customer = ["acme", "*"]}',
            "budget b: scope.customer=['acme', ANY]",
        ),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nladder = "x"', "ladder"),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "explode"}]', "explode"),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "degrad"}]',
            "budget b: ladder: action='degrad' is not valid: "
            "expected alert | degrade | throttle; did you mean degrade?",
        ),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "alert", leve = "info"}]',
            "did you mean level?",
        ),
        (
            '[[budget]]\nid = "b"\nlimit_usd = 1\nladder = [{action = "degrade", at = 3}]',
            "budget b: ladder: degrade: to=None is not valid: expected a model",
        ),
        (
            '[[rule]]\naction = "throttle"',
            "rule 1: throttle: delay_ms=None is not valid: expected milliseconds",
        ),
        ('[[budget]]\nid = "b"\nlimit_usd = 1\n[[budget]]\nid = "b"\nlimit_usd = 1', "once"),
    ],
)
def test_a_wrong_file_is_refused_with_the_thing_named(
    tmp_path: Path, text: str, named: str
) -> None:
    """The person who wrote it finds the place."""
    path = tmp_path / "budgets.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_policy(path, "enforce")
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_rules_in_a_file_say_what_code_would_say(tmp_path: Path) -> None:
    """``at`` is 0 where nothing is said: always."""
    path = tmp_path / "budgets.toml"
    path.write_text(
        """
[[rule]]
action = "block"
message = "not in production"
scope = { provider = "openai", model = ["gpt-4*", "o3"] }
[[rule]]
action = "degrade"
to = "gpt-4o-mini"
scope = { model = "gpt-4o" }
[[rule]]
action = "alert"
at = 80
unit = "usd"
"""
    )
    assert load_policy(path, "enforce").rules == (
        Rule(Block("not in production"), {"provider": "openai", "model": ("gpt-4*", "o3")}),
        Rule(Degrade(0, "gpt-4o-mini"), {"model": "gpt-4o"}),
        Rule(Alert(80), unit="usd"),
    )


def test_no_digit_of_a_typed_amount_is_lost(tmp_path: Path) -> None:
    """A float would print this one as 8999999.12345679."""
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\nid = "b"\nlimit_usd = 8_999_999.123456789')
    assert load_policy(path, "enforce").budgets[0].limit.amount == 8_999_999_123_456_789


def test_an_editor_may_begin_the_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """As Windows' own does; nobody sees it."""
    path = tmp_path / "budgets.toml"
    path.write_text('[[budget]]\nid = "b"\nlimit_usd = 1', encoding="utf-8-sig")
    assert [budget.id for budget in load_policy(path, "enforce").budgets] == ["b"]


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    """Ten thousand budgets are about a megabyte."""
    path = tmp_path / "budgets.toml"
    path.write_text("#" * 8_000_001)
    with pytest.raises(ConfigurationError, match="at most 8000000 bytes"):
        load_policy(path, "enforce")


def test_the_example_in_the_documentation_is_a_valid_file(tmp_path: Path) -> None:
    """Every field that it shows is read."""
    page = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text()
    path = tmp_path / "budgets.toml"
    path.write_text(page.split("```toml\n")[1].split("```")[0])
    policy = load_policy(path, "off")
    assert policy.mode == "enforce"
    assert [budget.id for budget in policy.budgets] == ["calls", "rate"]
    assert len(policy.budgets[0].ladder) == len(policy.rules) == 3
    assert policy.budgets[1].beyond == "throttle"
