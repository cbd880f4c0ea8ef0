"""`python -m autopilot_deploy`."""

from autopilot_deploy.cli import main

main(prog_name="autopilot_deploy")
