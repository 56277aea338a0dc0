"""Watching the studio run: what is counted, looked at, traced and told. See `Watch`."""

from __future__ import annotations

from studio.watch.watch import Sources, Trouble, Watch

__all__ = ["Sources", "Trouble", "Watch"]
