"""What is left of a training, by how long its parts took so far."""

import time
from collections.abc import Callable

clock = time.perf_counter

_FORWARD = 1 / 4  # a step of validation, of a step of training
_TRACED = 1 / 3  # its compilation, of that of a step of training


class Part:
    """Calls of one kind, many in a row.

    The very first also compiles, and the first of each row fills buffers.
    """

    def __init__(self) -> None:
        self._firsts: list[float] = []
        self._spent = self._calls = 0.0
        self._at, self._done = clock(), 0

    def begin(self) -> None:
        """A row begins."""
        self._at, self._done = clock(), 0
        self._spent, self._calls = self._spent / 2, self._calls / 2  # older ones

    def done(self, calls: int) -> None:
        """So many calls of this row are done."""
        now = clock()
        if self._done:
            self._spent += now - self._at
            self._calls += calls - self._done
        else:
            self._firsts.append(now - self._at)
        self._at, self._done = now, calls

    @property
    def known(self) -> bool:
        """Whether more than a first call has been seen, or one of a later row."""
        return bool(self._calls) or len(self._firsts) > 1

    @property
    def each(self) -> float:
        """Seconds of a call."""
        return self._spent / self._calls if self._calls else min(self._firsts)

    @property
    def again(self) -> float:
        """Seconds of the first call of a later row."""
        return min(self._firsts[1:], default=self.each)

    @property
    def compiling(self) -> float:
        """Seconds that the very first call took besides."""
        return max(0.0, self._firsts[0] - self.again)

    def row(self, calls: int) -> float:
        """Seconds of a later row."""
        return self.again + (calls - 1) * self.each


class Watch:
    """Times the parts of a training and tells what is left.

    Args:
        steps: of an epoch.
        tests: batches of a validation; 0 for none, or if not known.
        to_go: function of the seconds left of this training, and of those that it
            takes from its start to its end; it returns those left of the whole job.
    """

    def __init__(
        self,
        steps: int,
        tests: int = 0,
        to_go: Callable[[float, float], float] | None = None,
    ) -> None:
        self.steps, self.tests = steps, tests
        self.to_go = to_go or (lambda left, whole: left)
        self.step, self.test = Part(), Part()
        self._started = self._last = clock()
        self._before: float | None = None
        self._rest = 0.0  # of an epoch: files

    def begin_epoch(self) -> None:
        """An epoch begins."""
        if self._before is None:
            self._before = clock() - self._started
        self.step.begin()

    def stepped(self, steps: int) -> None:
        """So many steps of this epoch are done, of those that this process takes."""
        self.step.done(steps)
        self._last = clock()

    def end_validation(self) -> None:
        """What follows in this epoch is neither training nor validation."""
        self._last = clock()

    def end_epoch(self) -> None:
        """All of an epoch is done."""
        self._rest = clock() - self._last

    def in_epoch(self, step: int, tests: int = 0) -> float:
        """Seconds left of an epoch, once a step has been taken.

        Args:
            step: steps done.
            tests: batches done of its validation.
        """
        seconds = (self.steps - step) * self.step.each + self._rest
        if self.test.known:
            return seconds + (self.tests - tests) * self.test.each
        return seconds + self._validation() + self._compiling()

    def left(self, now: float, epochs: int, whole: int) -> float:
        """Seconds left of the job.

        Args:
            now: left of this epoch.
            epochs: still to come after it.
            whole: epochs of the whole training.
        """
        epoch = self.step.row(self.steps) + self._validation() + self._rest
        start = (self._before or 0.0) + self.step.compiling + self._compiling()
        return self.to_go(now + epochs * epoch, start + whole * epoch)

    def _validation(self):
        if self.test.known:
            return self.test.row(self.tests)
        return self.tests * self.step.each * _FORWARD

    def _compiling(self):
        """Seconds that the first validation takes besides."""
        if self.test.known:
            return self.test.compiling
        return _TRACED * self.step.compiling if self.tests else 0.0
