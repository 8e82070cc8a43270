"""NATS JetStream: many replicas on one stream, which keeps what they wrote. `crdtkv[nats]`."""

from crdtkv.net.jetstream.link import NatsLink, nats

__all__ = ["NatsLink", "nats"]
