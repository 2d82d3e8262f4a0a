"""What is checked before a release is cut: ``make release-check``."""
