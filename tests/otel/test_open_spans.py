"""Spans that nobody ends are ended at the exit, by the process that began them."""

import os

from opentelemetry.sdk.trace import TracerProvider

from aden.otel.open_spans import OpenSpans
from interleaving import others_making


def test_a_forked_child_ends_its_own_spans_alone() -> None:
    """Its parent goes on with the others: they would be exported twice, once too short."""
    open_spans = OpenSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(open_spans)
    tracer = provider.get_tracer("test")
    parents = tracer.start_span("parent's")
    child = os.fork()
    if not child:
        first = parents.is_recording()
        open_spans.end_all()
        own = tracer.start_span("own")
        open_spans.end_all()
        is_right = first and parents.is_recording() and not own.is_recording()
        os._exit(0 if is_right else 1)
    assert os.waitpid(child, 0)[1] == 0
    open_spans.end_all()
    assert not parents.is_recording()


def test_spans_that_begin_and_end_meanwhile_hold_up_nothing() -> None:
    """Other threads go on with theirs until the interpreter is gone."""
    open_spans = OpenSpans()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(open_spans)
    tracer = provider.get_tracer("test")
    with others_making(lambda: tracer.start_span("theirs")):
        for _ in range(20):
            ours = [tracer.start_span("ours") for _ in range(200)]
            open_spans.end_all()
            assert not any(span.is_recording() for span in ours)
