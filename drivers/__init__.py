"""What moves and looks: device protocols and the drivers behind them."""
