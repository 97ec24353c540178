"""The steps by which a database becomes one of the newest version; see `versions`."""
