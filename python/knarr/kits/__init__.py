"""Helpers that know nothing of knarr: asyncio tasks (`tasks`), processes by pidfd (`process`), paths
(`paths`), OCI image archives (`oci`)."""
