"""`python -m autopilot_client`."""

from autopilot_client.commands.cli import main

if __name__ == "__main__":
    main(prog_name="autopilot-client")
