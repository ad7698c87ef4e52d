"""The sender: lasers, modulators, attenuators, and the light that they launch."""
