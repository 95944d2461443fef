"""What a call may ask of the engine while it runs: the key-value cache."""

import json
import os


class Channel:
    """The two pipes, as frames: four bytes of length, then the bytes."""

    def __init__(self):
        self.receive = None
        self.replies = -1

    def send(self, message):
        """Write a message."""
        body = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
        data = memoryview(len(body).to_bytes(4, "little") + body)
        while data:
            data = data[os.write(self.replies, data) :]

    def ask(self, message):
        """Write a message and read its answer."""
        self.send(message)
        return json.loads(self.receive())


CHANNEL = Channel()


def cache(operation, key, entry=None):
    """Read (`get`) or write (`put`) an entry of the cache."""
    answer = CHANNEL.ask({"cache": operation, "key": key, "entry": entry})
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return answer["entry"]
