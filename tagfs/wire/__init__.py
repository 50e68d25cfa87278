"""Sans-io codecs: bytes in, events out; events in, bytes out. Bounded; no socket."""
