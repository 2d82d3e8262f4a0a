"""The states that a link has carried, kept on both sides, so that only their numbers are sent."""
