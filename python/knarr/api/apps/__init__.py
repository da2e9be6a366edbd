"""Built-in kinds of apps."""
