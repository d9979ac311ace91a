"""The networks of the paper's benchmark: amplitudes, (batch, y, x), to logits of squares."""
