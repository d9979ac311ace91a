"""Networks compared with each other, with a constant, and with what the paper says."""
