"""From the questions of a step to rewarded groups of completions with advantages."""
