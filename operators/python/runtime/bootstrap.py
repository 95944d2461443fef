"""Start of a worker: read the first frame, make its modules importable, serve. Handed to the interpreter as text."""

import os
import sys

VERSION = 1
REQUESTS, REPLIES = 3, 4


def read(size):
    """Exactly so many bytes of the requests; the worker ends with its pipe."""
    parts = []
    while size:
        part = os.read(REQUESTS, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def frame():
    """The next frame."""
    return read(int.from_bytes(read(4), "little"))


def start():
    """Everything that has to be there before a detection is loaded."""
    import json

    first = json.loads(frame())
    if first["version"] != VERSION:
        os._exit(3)
    sys.path[:] = first["path"]
    sys.argv[:] = ["worker"]
    sys.dont_write_bytecode = True

    from importlib.machinery import ModuleSpec

    class Memory:
        """Modules whose source is in memory: name to (file, text, is it a package)."""

        def __init__(self, modules):
            self.modules = modules
            self.loaded = lambda module, text: None

        def find_spec(self, name, path=None, target=None):
            """The spec of a module in memory."""
            if name not in self.modules:
                return None
            file, _, package = self.modules[name]
            spec = ModuleSpec(name, self, origin=file, is_package=package)
            spec.has_location = True
            return spec

        def create_module(self, spec):
            """An ordinary module."""
            return None

        def get_source(self, fullname):
            """Its text."""
            return self.modules[fullname][1]

        def is_package(self, fullname):
            """Is it a package?"""
            return self.modules[fullname][2]

        def exec_module(self, module):
            """Run its body."""
            file, text, _ = self.modules[module.__spec__.name]
            exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
            self.loaded(module, text)

    modules = {name: tuple(module) for name, module in first["runtime"].items()}
    sys.meta_path.insert(0, Memory(modules))
    from worker import clock, serve

    # What is imported from here on sees the fixed clock.
    clock.install()
    helpers = {module["name"]: (module["file"], module["text"], False) for module in first["helpers"]}
    helpers = Memory({name: module for name, module in helpers.items() if name not in modules})
    sys.meta_path.insert(1, helpers)
    serve.serve(first, helpers, frame, REPLIES)


start()
