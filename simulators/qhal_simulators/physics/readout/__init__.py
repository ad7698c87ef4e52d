"""From photo-events to the tags of the time tagger."""
