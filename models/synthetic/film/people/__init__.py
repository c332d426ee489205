"""People of the composed films: how they look, how they move, and when their movement stops or turns."""
