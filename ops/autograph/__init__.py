"""AutoGraph: Python's control flow on tensors, in functions being traced."""
