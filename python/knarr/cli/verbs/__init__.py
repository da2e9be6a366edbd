"""One file a verb; each has `command`, a click command."""
