"""From a scan to the network's cube and back: profiles as data, checks, the way and its inverse."""
