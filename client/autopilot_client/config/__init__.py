"""The configuration: one YAML document, parsed once into frozen values."""
