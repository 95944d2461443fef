"""Loads detections and calls them, one frame after the other."""

import gc
import json
import sys
import types
import zlib

from panther_core.data_model import DataModel, Method, Path
from panther_core.enriched_event import PantherEvent
from worker import clock, results, state
from worker.channel import CHANNEL


class Nowhere:
    """Where printing goes."""

    encoding = "utf-8"
    errors = "replace"

    def write(self, text):
        """Nothing is written."""
        return len(text)

    def flush(self):
        """Nothing is there to flush."""

    def isatty(self):
        """It is no terminal."""
        return False


class Worker:
    """Modules that are loaded, and what they were after loading."""

    def __init__(self, models, helpers):
        self.detections = {}
        self.models = {}
        self.modules = {}
        # What loading left: of detections by id, of everything that several of them may use.
        self.own = {}
        self.shared = []
        helpers.loaded = lambda module, text: self.shared.append(state.Kept(module, text))
        for model in models:
            self.add_model(model)

    def run_module(self, name, file, text):
        """A module that is run but cannot be imported."""
        module = types.ModuleType(name)
        module.__file__ = file
        exec(compile(text, file, "exec", dont_inherit=True), module.__dict__)
        return module

    def add_model(self, model):
        """A data model; its module is loaded when a method of it is called first."""

        def module(model=model):
            name = "model " + model["name"]
            if name not in self.modules:
                self.modules[name] = self.run_module(name, model["file"], model["text"])
                self.shared.append(state.Kept(self.modules[name], model["text"]))
            return self.modules[name]

        mappings = {}
        for mapping in model["mappings"]:
            if "path" in mapping:
                mappings[mapping["name"]] = Path(mapping["path"])
            else:
                mappings[mapping["name"]] = Method(mapping["method"], module)
        for log_type in model["log_types"]:
            self.models[log_type] = DataModel(mappings)

    def restore(self):
        """Put back what detections share."""
        for kept in self.shared:
            kept.restore()

    def load(self, request):
        """Load a detection."""
        clock.set_call(request["clock"], 0)
        try:
            self.restore()
            module = self.run_module(request["id"], request["file"], request["text"])
            entry = "policy" if request["policy"] else "rule"
            if not callable(getattr(module, entry, None)):
                raise AttributeError(f"there is no function {entry}()")
            # What loading a detection does to a helper belongs to loading.
            for kept in self.shared:
                kept.renew()
            self.own[request["id"]] = state.Kept(module, request["text"])
            self.detections[request["id"]] = (module, entry)
            gc.collect()
            gc.freeze()
            return {"loaded": True}
        except BaseException as error:  # pylint: disable=broad-except
            return {"error": results.of_error(error)}

    def call(self, clock_micros, call, text):
        """Results of a detection on an event: of the entry function, and on a match of the others in order."""
        module, entry = self.detections[call["id"]]
        self.own[call["id"]].restore()
        self.restore()
        clock.set_call(clock_micros, zlib.crc32(text))
        answer = []
        try:
            event = json.loads(text)
            if entry == "rule":
                log_type = call.get("log_type")
                if log_type is None:
                    log_type = event.get("p_log_type")
                model = self.models.get(log_type) if isinstance(log_type, str) else None
                event = PantherEvent(event, model)
        except BaseException as error:  # pylint: disable=broad-except
            return [[entry, results.of_error(error)]]
        if call.get("mocks"):
            from unittest.mock import MagicMock

            for name, value in call["mocks"].items():
                setattr(module, name, MagicMock(return_value=value))
        alerting = entry == "rule"
        for name in [entry] + call["functions"]:
            function = getattr(module, name, None)
            if function is None:
                continue
            try:
                value = function(event)
                answer.append([name, results.of_value(value, call["exact"])])
            except BaseException as error:  # pylint: disable=broad-except
                answer.append([name, results.of_error(error)])
                if name == entry:
                    break
                continue
            if name == entry and value is not alerting:
                break
        return answer


def serve(first, helpers, receive, replies):
    """Answer frames until the pipe ends."""
    CHANNEL.receive, CHANNEL.replies = receive, replies
    sys.stdout = sys.stderr = sys.__stdout__ = sys.__stderr__ = Nowhere()
    worker = Worker(first["models"], helpers)
    CHANNEL.send({"version": first["version"], "python": sys.version.split()[0]})
    while True:
        body = receive()
        size = int.from_bytes(body[:4], "little")
        request = json.loads(body[4 : 4 + size])
        if "text" in request:
            CHANNEL.send(worker.load(request))
            continue
        at = 4 + size
        for number, call in enumerate(request["calls"]):
            text = body[at : at + call["size"]]
            at += call["size"]
            answer = worker.call(request["clock"], call, text)
            CHANNEL.send({"batch": request["batch"], "call": number, "answer": answer})
