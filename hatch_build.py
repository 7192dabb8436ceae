"""The wheel's build hook: with BORDERPOST_COMPILE=1 the hot modules are compiled and the wheel is one machine's."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface[Any]):
    """Adds the extensions of `tools/compile.py` to the wheel, each beside its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile where that was asked for; `version` says what kind of build it is."""
        if self.target_name != "wheel" or version == "editable" or os.environ.get("BORDERPOST_COMPILE") != "1":
            return
        path = Path(self.root) / "tools" / "compile.py"
        spec = importlib.util.spec_from_file_location("borderpost_compile", path)
        assert spec is not None and spec.loader is not None
        tool = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(tool)
        self._folder = tempfile.TemporaryDirectory(prefix="borderpost-compiled-")
        out = Path(self._folder.name) / "out"
        for extension in tool.compile_into(out):
            build_data["force_include"][str(out / extension)] = extension.as_posix()
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was compiled."""
        folder = getattr(self, "_folder", None)
        if folder is not None:
            folder.cleanup()
