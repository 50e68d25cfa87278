"""Where Twisted enters: one running node. Reactor and clock are constructor arguments."""
