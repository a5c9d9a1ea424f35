"""What the operator lets through without a pass by address or by a secret header; paths are `core.targets`' matter."""

import hmac
import ipaddress
from collections.abc import Sequence
from functools import lru_cache

from waitroom.core.requests import Header
from waitroom.core.settings import Bypass
from waitroom.edge.clients import Client
from waitroom.edge.shop.headers import REWRITES


class Bypasses:
    """The networks and secret headers of one room's `WAITROOM_BYPASS`."""

    def __init__(self, bypass: Bypass) -> None:
        self._networks = bypass.networks
        self._secrets = [(name.encode(), secret.get_secret_value().encode()) for name, secret in bypass.headers]
        self.drops = REWRITES | {name for name, _ in self._secrets}
        """Request fields that never reach the shop from someone without a pass."""
        self._in_networks = lru_cache(4096)(self._is_in_networks)

    def lets_through(self, client: Client, headers: Sequence[Header]) -> bool:
        """By the address that trusted proxies vouch for, or by a secret, compared in constant time."""
        if self._networks and self._in_networks(client.ip):
            return True
        for wanted, secret in self._secrets:
            if any(name == wanted and hmac.compare_digest(value, secret) for name, value in headers):
                return True
        return False

    def _is_in_networks(self, ip: str) -> bool:
        try:
            address = ipaddress.ip_address(ip)
        except ValueError:
            return False
        return any(address in network for network in self._networks)
