"""Measurements of a running knarr, beside its peer where one is there. `python -m tools bench` runs them; gates in
tests/ use the same parts. Knows servers by address and process id only; nothing of the product imports it, and it
needs no package beyond knarr's own."""
