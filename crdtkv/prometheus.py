"""Counters of a datastore for Prometheus: the extra crdtkv[prometheus]."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from crdtkv.ordered import Key

if TYPE_CHECKING:
    from crdtkv.datastore import Datastore

__all__ = ["CounterCollector", "exposition"]


def client(name: str) -> Any:
    """A module of prometheus-client, which is asked for when it is needed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError("this needs prometheus-client: pip install crdtkv[prometheus]") from error


class CounterCollector:
    """Hands the counters of a datastore to a registry of prometheus-client, each time they are asked for.

    `registry.register(CounterCollector(kv, "views/"))`. One gauge, crdtkv_counter, with the counter's name as a label:
    a gauge, for counters here may be counted down. Prometheus keeps floats: beyond 2**53 its totals are rounded.

    >>> import crdtkv as ck
    >>> from crdtkv.prometheus import CounterCollector
    >>> from prometheus_client import CollectorRegistry
    >>> kv, registry = ck.Datastore(), CollectorRegistry()
    >>> kv.counter("views/home").increment(7)
    >>> registry.register(CounterCollector(kv, "views/"))
    >>> registry.get_sample_value("crdtkv_counter", {"name": "views/home"})
    7.0
    """

    def __init__(self, kv: Datastore, prefix: Key = b"") -> None:
        self._kv, self._prefix = kv, prefix

    def collect(self) -> Iterator[Any]:
        """What the registry calls."""
        core = client("prometheus_client.core")
        family = core.GaugeMetricFamily("crdtkv_counter", "Total of a counter of a datastore.", labels=["name"])
        for name, total in self._kv._totals(self._prefix):
            label = name if isinstance(name, str) else name.decode(errors="backslashreplace")
            family.add_metric([label], float(total))
        yield family


def exposition(kv: Datastore, prefix: Key = b"") -> bytes:
    """The counters of a datastore as text that Prometheus reads.

    >>> import crdtkv as ck
    >>> from crdtkv.prometheus import exposition
    >>> kv = ck.Datastore()
    >>> kv.counter("views/home").increment(7)
    >>> print(exposition(kv).decode())
    # HELP crdtkv_counter Total of a counter of a datastore.
    # TYPE crdtkv_counter gauge
    crdtkv_counter{name="views/home"} 7.0
    <BLANKLINE>
    """
    registry = client("prometheus_client").CollectorRegistry()
    registry.register(CounterCollector(kv, prefix))
    text: bytes = client("prometheus_client").generate_latest(registry)
    return text
