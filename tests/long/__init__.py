"""Long counts: checks of the tests in the size that the issue asks for, run by ``make long``."""
