"""Recordings of event cameras: read, checked, cut into frames, synthesised."""

from nonideal.events.frames import by_count, by_time
from nonideal.events.recording import Recording

__all__ = ["Recording", "by_count", "by_time"]
