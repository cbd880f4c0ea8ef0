"""Where the many independent parts of a training or a backtest are worked on. See ports.Engine."""
