"""Rules and defaults of types that several kinds share."""
