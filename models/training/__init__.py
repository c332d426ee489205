"""How the networks learn: with torch and numpy alone, on any machine."""
