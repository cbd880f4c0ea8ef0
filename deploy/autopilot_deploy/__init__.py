"""From an image to an auto-scaling SageMaker endpoint, and back to an empty account."""
