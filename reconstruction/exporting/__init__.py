"""Networks in formats that other programs read, from digital numbers to probabilities."""
