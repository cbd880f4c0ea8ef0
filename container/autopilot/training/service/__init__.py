"""PPO on the web service: its network, its runs, their report, and the command that plays what they leave."""
