"""A band that composes, arranges and performs pieces in many styles, for instruments of General MIDI."""
