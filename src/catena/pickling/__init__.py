"""Objects as bytes: what is built in, code and classes by value, and what stands in their way."""
