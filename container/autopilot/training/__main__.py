"""`python -m autopilot.training`: the same as the `train` executable."""

from autopilot.training.command import main

main()
