"""Each thing that the installed SDK can send has a place in our tables."""

from __future__ import annotations

from pathlib import Path

import openai

from aden.instrumentation.openai.paths import BACKSTOPPED, FREE, GATED, path_of
from aden.instrumentation.openai.surface import endpoints_of_installed_sdk

METHODS = {each.name: each for each in endpoints_of_installed_sdk()}


def test_no_method_of_the_installed_sdk_is_in_no_table() -> None:
    """A new version of the SDK fails here until somebody has looked at what it bills."""
    assert [each.name for each in METHODS.values() if not each.listed] == []
    assert len(METHODS) > 200


def test_known_methods_are_treated_as_they_bill() -> None:
    """One of each kind, found by the code of the SDK."""
    treated = {
        name: METHODS[name].treatment
        for name in (
            "chat.completions.create",
            "responses.connect",
            "realtime.connect",
            "beta.chat.completions.create",
            "embeddings.create",
            "images.edit",
            "audio.speech.create",
            "audio.transcriptions.create",
            "moderations.create",
            "files.create",
            "vector_stores.search",
            "models.list",
            "files.delete",
            "batches.create",
            "videos.create",
            "fine_tuning.jobs.create",
            "beta.threads.runs.create",
        )
    }
    gated, rest = list(treated.items())[:8], list(treated.items())[8:]
    assert {treatment for _, treatment in gated} == {"gated"}
    assert {treatment for _, treatment in rest[:5]} == {"free"}
    assert {treatment for _, treatment in rest[5:]} == {"backstopped"}


def test_every_line_of_the_tables_is_one_of_the_sdk() -> None:
    """A line that no method matches is a misspelling or outdated."""
    used = {path_of(each.path).template for each in METHODS.values() if each.path}
    unused = {*GATED, *BACKSTOPPED, *FREE} - used
    assert unused == set()


def test_paths_are_found_however_they_are_spelled() -> None:
    """Relative, absolute, as Azure has them, with a query and with ids."""
    base = openai.OpenAI(api_key="k", base_url="http://127.0.0.1/gateway/v1").base_url
    for url in (
        "/embeddings",
        "embeddings",
        "/v1/embeddings",
        "/embeddings?x=1",
        "/openai/deployments/mine/embeddings",
        "/deployments/mine/embeddings",
        "http://127.0.0.1/gateway/v1/embeddings",
        "http://127.0.0.1/v1/embeddings",
    ):
        assert path_of(url, base).template == "/embeddings", url
    assert path_of("/threads/thread_abc/runs").template == "/threads/*/runs"
    assert path_of("/threads/thread_abc/messages").standing == "free"
    unknown = path_of("/jobs/job_123/" + "x" * 30 + "/run")
    assert (unknown.template, unknown.listed) == ("/jobs/*/*/run", False)
    assert path_of("/" + "a/" * 50).template.count("/") == 6


def test_the_docs_list_what_is_gated_and_backstopped() -> None:
    """Each path of the two tables stands in docs/openai.md."""
    page = (Path(__file__).parents[2] / "docs" / "openai.md").read_text()
    assert [path for path in (*GATED, *BACKSTOPPED) if f"`{path}`" not in page] == []
