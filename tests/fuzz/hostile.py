"""Damaged and lying files, and a guard against readers that believe them."""

import contextlib
import resource
import signal
import struct
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

MEMORY = 600 << 20  # bytes a reader may ask for on top of what the process has
SECONDS = 10  # for one file of a few kilobytes

# The same examples every time.
few = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextlib.contextmanager
def bounded():
    """Fail on a reader that hangs; have the system refuse a reader that asks for much memory."""

    def late(number, frame):
        raise TimeoutError(f"no answer after {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def only(documented, read, *arguments, **options):
    """Call a reader; return what it read, or None if it refused with the documented error.

    An error that was caught and passed on as the documented one must not have been lack of memory or time.
    """
    try:
        with bounded():
            return read(*arguments, **options)
    except documented as error:
        cause = error
        while cause is not None:
            assert not isinstance(cause, MemoryError | TimeoutError), repr(cause)
            assert "allocate" not in str(cause), str(cause)
            cause = cause.__cause__ or cause.__context__
        assert str(error)
        return None


@st.composite
def damaged(draw, whole):
    """Bytes of a genuine file with a few bytes replaced, a number made large, a part cut out or repeated."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, max(len(content) - 1, 0)))
        match draw(st.sampled_from(("byte", "large", "cut", "end", "repeat"))):
            case "byte":
                content[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "large":
                number = draw(st.sampled_from((0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1)))
                packed = struct.pack("<Q", number)[: 4 if number < 1 << 32 else 8]
                packed = packed if draw(st.booleans()) else packed[::-1]
                content[place : place + len(packed)] = packed
            case "cut":
                del content[place : place + draw(st.integers(1, 64))]
            case "end":
                del content[place:]
            case "repeat":
                content[place:place] = content[place : place + draw(st.integers(1, 64))]
        if not content:
            break
    return bytes(content)
