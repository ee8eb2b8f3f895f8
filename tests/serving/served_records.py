"""Served records by hand."""

from corea.serving.served_record import ServedRecord, ServedTier


def served_tier(number: int = 0, confidence: float | None = None, **more) -> ServedTier:
    defaults = {"model": f"model{number}", "status": "ok", "threshold": None if number else 0.5}
    defaults |= {"signals": {"verbalized": confidence, "length": 7.0}} if number == 0 else {}
    return ServedTier(tier=number, confidence=confidence, **(defaults | more))


def kept(request_id: str = "r", confidence: float = 0.9, **more) -> ServedRecord:
    """A question that tier 0 answers."""
    defaults = {"tiers": (served_tier(0, confidence),), "tier": 0, "reason": "kept", "shadow_probability": 0.0}
    return record(request_id, **(defaults | more))


def deferred(
    request_id: str = "r", confidence: float | None = 0.1, agrees: bool | None = False, **more
) -> ServedRecord:
    """A question that tier 1 answers."""
    defaults = {"tiers": (served_tier(0, confidence), served_tier(1)), "tier": 1, "reason": "low", "agrees": agrees}
    return record(request_id, **(defaults | more))


def record(request_id: str, **more) -> ServedRecord:
    defaults = {"time_s": 1_700_000_000.0, "operating_point": "point", "dataset": "sums", "question_id": "q"}
    return ServedRecord(request_id=request_id, **(defaults | more))
