"""Built-in kinds of core."""
