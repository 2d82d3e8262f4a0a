"""What a link has carried: both sides keep it under numbers, so that it is named and not sent."""
