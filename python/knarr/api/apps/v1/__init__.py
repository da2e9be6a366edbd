"""Built-in kinds of apps/v1."""
