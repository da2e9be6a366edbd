"""Helpers that know nothing of knarr: asyncio tasks (`tasks`), processes by pidfd (`process`), paths
(`paths`), network namespaces (`netns`), OCI image archives (`oci`)."""
