"""Slots: how many executions of one crew may be in progress at the same time."""


class Permit:
    """One slot in use, from before a kickoff until its attempt has ended. Its owner releases it exactly once."""

    __slots__ = ("_accepted", "_released", "_slots")

    def __init__(self, slots: "Slots") -> None:
        self._slots = slots
        self._accepted = False
        self._released = False

    @property
    def released(self) -> bool:
        return self._released

    def accept(self) -> None:
        """Record that the crew has accepted the kickoff: it runs the execution now."""
        if not self._accepted:
            self._accepted = True
            self._slots.count(accepted=1)

    def release(self) -> None:
        """Free the slot.

        Raises:
            RuntimeError: it is free already.
        """
        if self._released:
            raise RuntimeError("a permit was released twice")
        self._released = True
        self._slots.count(in_use=-1, accepted=-int(self._accepted))


class Slots:
    """The slots of one crew.

    Args:
        most: the crew's concurrency; `limit` may be lower for some time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._limit = most
        self._in_use = 0
        self._accepted = 0

    @property
    def limit(self) -> int:
        """Slots that may be in use now."""
        return self._limit

    @property
    def in_use(self) -> int:
        return self._in_use

    @property
    def accepted(self) -> int:
        """Slots in use whose kickoff the crew has accepted."""
        return self._accepted

    def available(self) -> int:
        """Return the number of free slots; negative where more are in use than the limit allows."""
        return self._limit - self._in_use

    def acquire(self, number: int) -> list[Permit]:
        """Take slots, even above the limit, because executions of an earlier run need them in any case."""
        self._in_use += number
        return [Permit(self) for _ in range(number)]

    def cut(self) -> None:
        """Lower the limit to what the crew has accepted, but at most by half: answers may still be on their way."""
        self._limit = max(1, min(self._limit, max(self._accepted, self._limit // 2)))

    def widen(self) -> None:
        """Raise the limit by one slot, up to the crew's concurrency."""
        self._limit = min(self.most, self._limit + 1)

    def resize(self, most: int, *, grow: bool = True) -> None:
        """Change the crew's concurrency. Slots in use above it are released as their attempts end.

        Args:
            grow: use a higher concurrency at once, unless the limit was lowered because the crew refused kickoffs.
        """
        was_lowered = self._limit < self.most
        self.most = most
        self._limit = most if grow and not was_lowered else min(self._limit, most)

    def restore(self, limit: int) -> None:
        """Restore the limit that an earlier tick has saved."""
        self._limit = min(self.most, limit)

    def count(self, *, in_use: int = 0, accepted: int = 0) -> None:
        """Add to the counts. Only permits call this."""
        self._in_use += in_use
        self._accepted += accepted
