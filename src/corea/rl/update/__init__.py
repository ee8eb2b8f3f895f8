"""From rewarded groups to an update of the policy: rows, micro-batches, loss, optimizer step."""
