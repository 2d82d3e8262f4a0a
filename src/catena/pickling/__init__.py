"""Objects as bytes: built-in types, code and classes by value, and why pickling failed."""
