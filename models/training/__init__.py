"""Training of the networks. It needs only torch and numpy, so that it runs on any machine."""
