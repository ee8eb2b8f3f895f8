"""Spans belong to the caller's trace and hand it on; without the package the context is passed on as it came."""

import builtins

import pytest
from served_records import deferred, served_tier

from corea.serving.tracing import Tracing, trace_context

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE = 0x4BF92F3577B34DA6A3CE929D0E0E4736


def test_spans_are_children_of_the_caller_and_parents_of_the_upstream_call():
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    provider = pytest.importorskip("opentelemetry.sdk.trace").TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    span = Tracing(provider).request({"traceparent": CALLER, "tracestate": "a=b"})
    first, second = span.tier(0), span.tier(1)
    first.end(served_tier(0, 0.25, text="SECRET", answer="SECRET"))
    second.end(None)
    span.end(deferred("r1", 0.25, question="SECRET"))
    small, large, request = memory.get_finished_spans()
    assert {s.context.trace_id for s in (small, large, request)} == {TRACE}
    assert request.parent.span_id == 0x00F067AA0BA902B7
    assert small.parent.span_id == large.parent.span_id == request.context.span_id
    assert first.headers == {"traceparent": f"00-{TRACE:032x}-{small.context.span_id:016x}-01", "tracestate": "a=b"}
    assert small.attributes["corea.confidence"] == 0.25
    assert request.attributes["corea.reason"] == "low"
    assert (small.status.is_ok, large.status.description, request.status.is_ok) == (True, "given up", True)
    assert "SECRET" not in "".join(s.to_json() for s in (small, large, request))


def test_without_the_package_the_context_is_passed_on(monkeypatch):
    real = builtins.__import__

    def missing(name, *rest, **more):
        if name.startswith("opentelemetry"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    span = Tracing().request({"traceparent": CALLER, "authorization": "SECRET"})
    tier = span.tier(0)
    tier.end(None)
    span.end(None)
    assert tier.headers == {"traceparent": CALLER}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"traceparent": CALLER, "tracestate": "x=1"}, {"traceparent": CALLER, "tracestate": "x=1"}),
        ({"traceparent": CALLER, "tracestate": "x" * 600}, {"traceparent": CALLER}),
        ({"traceparent": CALLER + "\r\nx: y", "tracestate": "x=1"}, {}),
        ({"tracestate": "x=1"}, {}),
        ({}, {}),
    ],
)
def test_a_malformed_context_is_not_passed_on(headers, expected):
    assert trace_context(headers) == expected
