"""The first scenario for a network of one's own: what is in it, what is doubtful, and a commented file."""
