"""Pure rules: what to believe, which size, who leads. No clock, no input or output."""
