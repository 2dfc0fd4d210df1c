"""Work that talks while mosaik steps: it runs in a thread of its own, and never at the same time as mosaik.

A negotiation asks for what others say in the midst of its arithmetic, and mosaik brings that only with its
next step. So whenever an answer is missing the work stands still, the simulator's step ends with what is to
be sent, and the next one goes on with what has come.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from grid_cosim.errors import CosimError

Message = dict[str, Any]
"""`number` of the message, `nodes`: who speaks, and `values`: a list of numbers each; as JSON takes them."""

Mail = dict[str, list[Message]]
"""Messages by the district to which they go."""

_UNREAD = 2
"""What a district has not read yet, at most: the second message after one needs its answer to that. Mosaik
keeps the last value of an attribute only, so that many are sent each time."""


class _Stands(Enum):
    """Why the work does not go on."""

    WAITING = "for an answer"
    ENDED = "it is done"


class _AbandonedError(BaseException):
    """The world has ended; not an `Exception`, so that nobody takes it for a failure of the work."""


class Rendezvous:
    """A `coordination.border.Post` whose messages mosaik carries.

    `district_of` says which district each node of the whole graph belongs to, `here` which one this is.
    """

    def __init__(self, district_of: Int[np.ndarray, " copies"], here: int) -> None:
        self._district_of, self._here = district_of, here
        self._goes_on: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._stands: queue.SimpleQueue[_Stands | BaseException] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._inbox: dict[int, deque[Message]] = {}
        self._n_heard: dict[int, int] = {}
        self._outbox: dict[int, deque[Message]] = {}
        self._n_told: dict[int, int] = {}
        self._news = False

    @property
    def busy(self) -> bool:
        """Whether some work waits for an answer."""
        return self._thread is not None

    def begin(self, work: Callable[[], object]) -> Mail:
        """Start the work; gives what it has to say until it waits or ends."""
        assert not self.busy, "one after the other"
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        return self._until_it_stands()

    def hear(self, mail: Mail) -> None:
        """Keep what others have said to us until the work asks for it."""
        for message in mail.get(str(self._here), ()):
            sender = int(self._district_of[message["nodes"][0]])
            known = self._n_heard.get(sender, 0)
            if message["number"] > known + 1:
                raise CosimError(
                    "DistrictSim",
                    f"messages {known + 1} to {message['number'] - 1} of district {sender} got lost",
                    remedy="Connect `told` of each district to `heard` of all others, to earlier ones weakly",
                )
            if message["number"] == known + 1:
                self._n_heard[sender] = known + 1
                self._inbox.setdefault(sender, deque()).append(message)

    def go_on(self) -> Mail:
        """Go on with what has been heard; gives what there is to say, nothing where that is nothing new."""
        if not self.busy:
            return {}
        self._goes_on.put(True)
        return self._until_it_stands()

    def abandon(self) -> None:
        """End work that still waits."""
        if self._thread is not None:
            self._goes_on.put(False)
            self._thread.join()
            self._thread = None

    def __call__(
        self,
        told: Int[np.ndarray, " told"],
        values: Float[np.ndarray, "told features"],
        heard: Int[np.ndarray, " heard"],
    ) -> Float[np.ndarray, "heard features"]:
        """Called by the work: send a message, wait for those of the same round."""
        of = self._district_of[heard]
        said = {"nodes": told.tolist(), "values": values.tolist()}
        for district in np.unique(of).tolist():
            number = self._n_told[district] = self._n_told.get(district, 0) + 1
            self._outbox.setdefault(district, deque(maxlen=_UNREAD)).append({"number": number} | said)
        self._news = True
        found = np.empty((heard.size, values.shape[1]))
        for sender in np.unique(of).tolist():
            while not self._inbox.get(sender):
                self._stands.put(_Stands.WAITING)
                if not self._goes_on.get():
                    raise _AbandonedError
            message = self._inbox[sender].popleft()
            found[of == sender] = _said(message, heard[of == sender], values.shape[1])
        return found

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        except _AbandonedError:
            return
        except BaseException as error:
            self._stands.put(error)
            return
        self._stands.put(_Stands.ENDED)

    def _until_it_stands(self) -> Mail:
        outcome = self._stands.get()
        if outcome is not _Stands.WAITING:
            assert self._thread is not None
            self._thread.join()
            self._thread = None
        if isinstance(outcome, BaseException):
            raise outcome
        news, self._news = self._news, False
        return {str(to): list(messages) for to, messages in self._outbox.items()} if news else {}


def _said(
    message: Mapping[str, list[Any]], wanted: Int[np.ndarray, " wanted"], n_features: int
) -> Float[np.ndarray, "wanted features"]:
    """The values of some nodes in a message; districts that do not go in step would be seen here."""
    row = {node: i for i, node in enumerate(message["nodes"])}
    missing = [node for node in wanted.tolist() if node not in row]
    values = np.array(message["values"], dtype=float)
    if missing or values.shape != (len(row), n_features):
        raise CosimError(
            "DistrictSim",
            "a message from another district is not of the same round",
            remedy="Start all districts with the same scenario and the same `districts`",
        )
    return values[[row[node] for node in wanted.tolist()]]
