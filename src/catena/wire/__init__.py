"""Floor 3: frames as values, their bytes, their legal order, and how Python objects become bytes.

No sockets and no event loop here: everything takes values and returns values.
"""
