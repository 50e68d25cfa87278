"""Pure values of tagfs: no input or output, no Twisted; time is always an argument."""
