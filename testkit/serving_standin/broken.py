"""An application that cannot be imported."""

raise RuntimeError("this application does not load")
