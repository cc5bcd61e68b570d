"""What `focuslab.evaluate` is made of: captions, items and who does which, what is kept of a clip, and the summary."""
