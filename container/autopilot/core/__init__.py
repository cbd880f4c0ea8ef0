"""The rules of the domain: pure, with nothing but the standard library and NumPy."""
