"""The real application in a process whose clock is wrong by as many seconds as a file says."""
