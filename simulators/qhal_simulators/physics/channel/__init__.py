"""From the switch through the fibre to the receiver's filter."""
