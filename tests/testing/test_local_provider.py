"""``python -m aden.testing``, as somebody runs it beside an agent."""

import os
import re
import signal
import subprocess
import sys

import openai


def test_a_local_provider_says_where_it_is_and_at_its_end_what_it_billed() -> None:
    """The line that it prints is all that an openai client needs."""
    program = [sys.executable, "-m", "aden.testing"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=os.environ) as provider:
        assert provider.stdout is not None
        try:
            said = "".join(iter(provider.stdout.readline, "\n"))
            said += provider.stdout.readline()
            (export,) = re.findall(r"^export (.*)$", said, re.MULTILINE)
            given = dict(each.split("=", 1) for each in export.split())
            client = openai.OpenAI(
                base_url=given["OPENAI_BASE_URL"], api_key=given["OPENAI_API_KEY"]
            )
            with client:
                answer = client.chat.completions.create(
                    model="gpt-4o", messages=[{"role": "user", "content": "hello"}]
                )
            assert answer.choices[0].message.content
            provider.send_signal(signal.SIGINT)
            rest, _ = provider.communicate(timeout=20)
            assert provider.returncode == 0
            assert re.search(r"^1 request\(s\) were billed: \$0\.000\d+$", rest, re.MULTILINE)
        finally:
            provider.kill()


def test_who_asks_for_help_is_told_what_it_does_and_nothing_is_served() -> None:
    """Nor is it where somebody mistypes an option that it does not have."""
    for arguments, code in ((["--help"], 0), (["--port", "80"], 2)):
        program = [sys.executable, "-m", "aden.testing", *arguments]
        done = subprocess.run(program, capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == code
        assert "usage: python -m aden.testing" in done.stdout + done.stderr
        assert "OPENAI_BASE_URL" not in done.stdout
