//! A protocol on a table top: bytes in, bytes out, no socket and no loop of its own.
