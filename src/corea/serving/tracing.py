"""OpenTelemetry spans of a request and of its calls to tiers, and the W3C trace context that goes with them.

If the package `opentelemetry` is missing, or nothing records its spans, spans are objects that do nothing, and the
trace context of a request is passed on unchanged. Attributes hold no text of a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from corea.serving.served_record import ServedRecord, ServedTier

CONTEXT = ("traceparent", "tracestate")
"""Headers of the W3C trace context."""
TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
LONGEST_STATE = 512
"""Characters of a tracestate that is passed on."""


def trace_context(headers: Mapping[str, str]) -> dict[str, str]:
    """The trace context of a request, without what is malformed. `headers` has lower-case names."""
    found = {name: headers[name] for name in CONTEXT if headers.get(name)}
    if not TRACEPARENT.fullmatch(found.get("traceparent", "")):
        return {}
    if len(found.get("tracestate", "")) > LONGEST_STATE or not found.get("tracestate", "").isascii():
        del found["tracestate"]
    return found


class TierSpan:
    """A call to a tier. This one does nothing but pass the context on."""

    records = False
    """Whether `end` makes use of the tier's record."""

    def __init__(self, context: dict[str, str]) -> None:
        self.headers = context
        """Headers for the call to the tier."""

    def end(self, tier: ServedTier | None = None) -> None:
        """End the span; None: the call was given up."""


class RequestSpan:
    """A request. This one does nothing but pass the context on."""

    def __init__(self, context: dict[str, str]) -> None:
        self.context = context

    def tier(self, number: int) -> TierSpan:
        """The span of a call to a tier."""
        return TierSpan(self.context)

    def end(self, record: ServedRecord | None = None) -> None:
        """End the span; None: the request was given up."""


class Tracing:
    """Starts the span of each request."""

    def __init__(self, provider: Any = None) -> None:
        """`provider`: an OpenTelemetry TracerProvider; None: the one that the process has set."""
        try:
            from opentelemetry import trace
        except ImportError:
            self.tracer = None
        else:
            self.tracer = trace.get_tracer("corea", tracer_provider=provider)
            self.current_provider = trace.get_tracer_provider
            self.idle = (trace.NoOpTracerProvider, trace.ProxyTracerProvider)
        self.recorded = provider is not None

    def request(self, headers: Mapping[str, str]) -> RequestSpan:
        """The span of a request, a child of the one that its headers name."""
        context = trace_context(headers)
        if self.tracer is None or not self._recorded():
            return RequestSpan(context)
        return _RequestSpan(self.tracer, context)

    def _recorded(self) -> bool:
        """Whether there is a provider; that of the process may be set at any time."""
        self.recorded = self.recorded or not isinstance(self.current_provider(), self.idle)
        return self.recorded


class _Span:
    """An OpenTelemetry span, and the headers that make it the parent of another server's spans."""

    def __init__(self, tracer: Any, name: str, parent: Any, kind: str) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.span = tracer.start_span(name, context=parent, kind=trace.SpanKind[kind])
        self.context = trace.set_span_in_context(self.span, parent)
        self.headers: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(self.headers, self.context)

    def end(self, attributes: dict[str, Any], error: str | None) -> None:
        from opentelemetry.trace import Status, StatusCode

        self.span.set_attributes({f"corea.{name}": v for name, v in attributes.items() if v is not None})
        if error is not None:
            self.span.set_status(Status(StatusCode.ERROR, error))
        self.span.end()


class _TierSpan(TierSpan):
    records = True

    def __init__(self, tracer: Any, parent: Any, number: int) -> None:
        self.inner = _Span(tracer, f"corea.tier {number}", parent, "CLIENT")
        super().__init__(self.inner.headers)

    def end(self, tier: ServedTier | None = None) -> None:
        names = ("tier", "model", "status", "confidence", "threshold", "prompt_tokens", "completion_tokens", "cost_usd")
        values = {} if tier is None else {name: getattr(tier, name) for name in names}
        failed = "given up" if tier is None else "the tier failed" if tier.error else None
        self.inner.end(values, failed)


class _RequestSpan(RequestSpan):
    def __init__(self, tracer: Any, context: dict[str, str]) -> None:
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        super().__init__(context)
        self.tracer = tracer
        parent = TraceContextTextMapPropagator().extract(context, Context())
        self.inner = _Span(tracer, "corea.request", parent, "SERVER")

    def tier(self, number: int) -> TierSpan:
        return _TierSpan(self.tracer, self.inner.context, number)

    def end(self, record: ServedRecord | None = None) -> None:
        names = (
            "request_id",
            "dataset",
            "operating_point",
            "tier",
            "reason",
            "fallback",
            "unbound",
            "shadow",
            "stream",
        )
        values = {} if record is None else {name: getattr(record, name) for name in names}
        if record is not None:
            values |= {"reason": str(record.reason), "http_status": record.http_status}
        failed = "given up" if record is None else "request failed" if record.http_status >= 500 else None
        self.inner.end(values, failed)
