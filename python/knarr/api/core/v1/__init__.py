"""Built-in kinds of core/v1."""
