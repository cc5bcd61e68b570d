"""Files: read with limits, written atomically; audio, captions and prompts."""
