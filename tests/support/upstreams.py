"""Regions to send requests to: the demo's servers, which count and record what reached them."""

from __future__ import annotations

from borderpost.demo.region_servers import Behaviour, RegionServer, RegionServers, Seen

__all__ = ["Behaviour", "RegionServer", "RegionServers", "Seen"]
