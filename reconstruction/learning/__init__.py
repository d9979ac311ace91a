"""Training: frames and squares, the loop over them, and what it keeps."""
