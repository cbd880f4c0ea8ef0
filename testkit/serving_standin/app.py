"""What a real application would import here, it would import once for all workers."""
