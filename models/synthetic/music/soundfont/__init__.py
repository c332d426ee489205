"""Playing notes by sampled instruments: soundfonts are checked first, and played in a bounded child process."""
