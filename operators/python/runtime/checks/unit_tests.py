"""Run the unit tests of a detections repository on this runtime.

    python3 unit_tests.py CHECKOUT

CHECKOUT holds `global_helpers/*_test.py` and `data_models/*_test.py`. The interpreter must have the packages that they
import, and PyYAML. Where the tests ask a tool of the repository for its data models, they get those of this runtime.
"""

import glob
import importlib.util
import os
import sys
import types
import unittest

import yaml

ROOT = os.path.abspath(sys.argv[1])
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
sys.path[1:1] = [os.path.join(ROOT, "global_helpers"), os.path.join(ROOT, "data_models")]

from panther_core.data_model import DataModel, Method, Path  # noqa: E402  pylint: disable=C0413


def data_models():
    """Data models by log type."""
    models = {}
    for description in glob.glob(os.path.join(ROOT, "data_models", "**", "*.yml"), recursive=True):
        with open(description, encoding="utf-8") as file:
            model = yaml.safe_load(file)
        module = None
        if model.get("Filename"):
            path = os.path.join(os.path.dirname(description), model["Filename"])
            spec = importlib.util.spec_from_file_location("model", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        mappings = {}
        for mapping in model["Mappings"]:
            if "Path" in mapping:
                mappings[mapping["Name"]] = Path(mapping["Path"])
            else:
                mappings[mapping["Name"]] = Method(mapping["Method"], lambda module=module: module)
        models.update(dict.fromkeys(model["LogTypes"], DataModel(mappings)))
    return models


def main():
    """Run them all; 0 if they pass."""
    tool = types.ModuleType("panther_analysis_tool")
    tool.__path__ = []
    entry = types.ModuleType("panther_analysis_tool.main")
    entry.load_analysis = lambda *_args, **_kwargs: (types.SimpleNamespace(data_models=[]), [])
    entry.setup_data_models = lambda *_args: (data_models(), [])
    sys.modules.update({tool.__name__: tool, entry.__name__: entry})
    suite = unittest.TestSuite()
    for folder in ("global_helpers", "data_models"):
        for file in sorted(glob.glob(os.path.join(ROOT, folder, "*_test.py"))):
            suite.addTests(unittest.defaultTestLoader.loadTestsFromName(os.path.basename(file)[:-3]))
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
