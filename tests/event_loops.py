"""An event loop in a thread of its own: Playwright's occupies the one of the tests."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self


class Loop:
    """Runs coroutines in another thread; leaving the context ends it."""

    def __enter__(self) -> Self:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def run(self, work: Coroutine, seconds: float = 120) -> Any:
        """The result of a coroutine."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(seconds)
