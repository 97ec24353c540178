"""Rings: a window's slots in the cells of a row, moved on with the clock and read.

Every step leaves a row that counts at least what it did, since its writer may be killed behind any of them. The caller
holds the lock.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from ai_gateway_mw.limits.windows import MOST_CELLS, Window

_UNTIL, _HEAD, _SPAN, _RING = range(4)
WIDTH: Final = _RING + MOST_CELLS
Standing = tuple[int, int, int]
"""How a counter stands: its limit, what remains of it, and the seconds until all of it is there again."""

MOST: Final = 2**62  # what a cell is filled to at most: two of them still are a number of 64 bits


def begin(cells: memoryview, base: int, window: Window, now: float) -> None:
    """Make an empty row one of this window."""
    head = window.slot(now)
    cells[base + _HEAD] = head
    cells[base + _SPAN] = window.span
    cells[base + _UNTIL] = ceil(window.leaves(head))


def is_over(cells: memoryview, base: int, now: float) -> bool:
    """Whether nothing of a row counts any more, whatever its window."""
    return bool(cells[base + _UNTIL] <= now)


def bring_near(cells: memoryview, base: int, now: float) -> None:
    """End a row's time within reach, if it was last used before the clock was put back: it counts until one window
    from here."""
    span = cells[base + _SPAN]
    if cells[base + _UNTIL] - now > 2 * span:
        cells[base + _HEAD] = MOST  # whoever counts here next finds the clock put back far, and renews the row's time
        cells[base + _UNTIL] = ceil(now) + span


def advanced(cells: memoryview, base: int, window: Window, now: float) -> int:
    """The slot that counts now, once those that have left are emptied.

    A clock that was put back a little goes on in the slot where it was. If it was put back further, all there is counts
    as of now: nothing is lost, and nothing stays longer than a window.
    """
    slot = window.slot(now)
    head: int = cells[base + _HEAD]
    if slot == head or slot < head <= slot + window.cells:
        return head
    size = window.cells
    ring = base + _RING
    if slot > head:
        cells[base + _UNTIL] = ceil(window.leaves(slot))
        for passed in range(head + 1, min(slot, head + size) + 1):
            cells[ring + passed % size] = 0
    else:
        cells[ring + slot % size] = min(total(cells, base, window), MOST)
        for other in range(slot + 1, slot + size):
            cells[ring + other % size] = 0
        cells[base + _UNTIL] = ceil(window.leaves(slot))
    cells[base + _HEAD] = slot
    return slot


def take(cells: memoryview, base: int, window: Window, now: float, limit: int, amount: int) -> Standing:
    """Take so much, where it fits into the limit. Where it does not, nothing is taken, and what is said to remain is
    below zero by as much as is missing."""
    if amount < 0:
        raise ValueError(f"{amount} cannot be taken")
    # `window.slot`, written out, and no call of `advanced`: nearly always the slot is still that of the last time.
    length, head = window.length, cells[base + _HEAD]
    if head != (now // length if length else window.slot(now)):
        head = advanced(cells, base, window, now)
    ring, size = base + _RING, window.cells
    left: int = limit - amount - (sum(cells[ring : ring + size]) if size > 1 else cells[ring])
    if left < 0:
        return limit, left, 0
    if not amount:
        return limit, left, reset(cells, base, window, now, limit - left)
    cells[ring + head % size] += amount  # within the limit, and no limit comes near to `MOST`
    return limit, left, ceil(cells[base + _UNTIL] - now)


def correct(cells: memoryview, base: int, window: Window, now: float, at: float, difference: int) -> None:
    """Change what was taken at that time. What has left the window cannot be less any more; what it should have been
    more counts now."""
    # `window.slot`, written out, and no call of `advanced`: nearly always the slot is still that of the last time.
    length, head = window.length, cells[base + _HEAD]
    if head != (now // length if length else window.slot(now)):
        head = advanced(cells, base, window, now)
    slot, size = int(at // length) if length else window.slot(at), window.cells
    if not head - size < slot <= head:
        if difference <= 0:
            return
        slot = head
    add(cells, base, window, slot, difference)


def total(cells: memoryview, base: int, window: Window) -> int:
    """What all slots hold."""
    ring = base + _RING
    return sum(cells[ring : ring + window.cells]) if window.cells > 1 else cells[ring]


def add(cells: memoryview, base: int, window: Window, slot: int, amount: int) -> None:
    """Change what a slot holds; it never holds less than nothing."""
    cell = base + _RING + slot % window.cells
    cells[cell] = max(0, min(cells[cell] + amount, MOST))


def give_back(cells: memoryview, base: int, window: Window, amount: int) -> None:
    """Have what was taken just now not taken."""
    add(cells, base, window, cells[base + _HEAD], -amount)


def wait(cells: memoryview, base: int, window: Window, now: float, excess: int) -> int:
    """Whole seconds until so much has left that `excess` more fits in."""
    ring, size, head = base + _RING, window.cells, cells[base + _HEAD]
    slot = head - size + 1
    excess -= cells[ring + slot % size]
    while excess > 0 and slot < head:
        slot += 1
        excess -= cells[ring + slot % size]
    return max(1, ceil(window.leaves(slot) - now))


def reset(cells: memoryview, base: int, window: Window, now: float, used: int) -> int:
    """Whole seconds until the row, of which so much is used, is empty if nothing more is counted; 0 if it is."""
    if not used:
        return 0
    ring, size, slot = base + _RING, window.cells, cells[base + _HEAD]
    while not cells[ring + slot % size]:
        slot -= 1
    return max(1, ceil(window.leaves(slot) - now))
