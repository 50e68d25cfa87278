"""What one node keeps. Blocking calls; knows no reactor."""
