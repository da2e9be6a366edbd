"""Helpers that know nothing of knarr: asyncio tasks and timers (`tasks`), processes by pidfd (`process`), paths (`paths`)."""
