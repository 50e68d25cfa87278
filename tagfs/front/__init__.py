"""The doors. Each sees INode, the model and the wire codecs, never storage or cluster."""
