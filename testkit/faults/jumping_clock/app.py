"""Nothing: what gunicorn's master would import early must wait until the worker's clock is wrong."""
