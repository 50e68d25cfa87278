"""The tag protocol and FTP, on one port."""
