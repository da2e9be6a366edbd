"""One user for each controller: its ServiceAccount in kube-system, with a token asked for with the process's own
credentials.

As kube-controller-manager with --use-service-account-credentials; tokens last an hour and are asked for anew at four
fifths of it.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import Final

from knarr.client.errors import AlreadyExists, ApiError, NotFound
from knarr.client.http import HttpClient
from knarr.client.kubeconfig import Connection
from knarr.client.protocol import Client, Object, Resource

_log = logging.getLogger(__name__)

SERVICE_ACCOUNTS: Final = Resource("", "v1", "serviceaccounts", "ServiceAccount")
_NAMESPACES: Final = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
_NAMESPACE: Final = "kube-system"
_TOKEN_SECONDS: Final = 3600
_RETRY: Final = 5.0  # seconds


class Credentials:
    """Clients by account. The process's client must be allowed to create ServiceAccounts and their tokens in
    kube-system."""

    def __init__(self, connection: Connection, client: Client, *, own_accounts: bool = True) -> None:
        self._connection = connection
        self._client = client
        self._own_accounts = own_accounts
        self._clients: dict[str, HttpClient] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def client(self, account: str) -> Client:
        """The client of an account, made at first use. Without accounts of their own, all share the process's."""
        if not self._own_accounts:
            return self._client
        known = self._clients.get(account)
        if known is not None:
            return known
        token, seconds = await self._token(account)
        known = self._clients.setdefault(
            account, HttpClient(self._connection.with_token(token), user_agent=f"knarr-controllers/{account}")
        )
        self._tasks.append(asyncio.create_task(self._renew(account, known, seconds)))
        return known

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for client in self._clients.values():
            await client.close()

    async def _token(self, account: str) -> tuple[str, float]:
        request: Object = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": _TOKEN_SECONDS},
        }
        try:
            answer = await self._ask(account, request)
        except NotFound:
            await self._make(account)
            answer = await self._ask(account, request)
        status = answer["status"]
        expires = datetime.fromisoformat(status["expirationTimestamp"])
        return status["token"], max(10.0, (expires - datetime.now(expires.tzinfo)).total_seconds())

    async def _ask(self, account: str, request: Object) -> Object:
        return await self._client.create(SERVICE_ACCOUNTS, request, _NAMESPACE, name=account, subresource="token")

    async def _make(self, account: str) -> None:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": _NAMESPACE}}
        try:
            await self._client.create(SERVICE_ACCOUNTS, body, _NAMESPACE)
        except AlreadyExists:
            return
        except NotFound:
            try:
                await self._client.create(_NAMESPACES, namespace)
            except AlreadyExists:
                _log.info("namespace appeared meanwhile", extra={"namespace": _NAMESPACE})
            await self._client.create(SERVICE_ACCOUNTS, body, _NAMESPACE)

    async def _renew(self, account: str, client: HttpClient, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds * 0.8)
            try:
                token, seconds = await self._token(account)
                client.set_token(token)
            except ApiError as error:
                _log.warning("token not renewed", extra={"account": account, "error": str(error)})
                seconds = _RETRY / 0.8
