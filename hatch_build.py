"""Build hook: make the manifest at the top of the repository visible inside the package.

npe2 looks for ``napari.yaml`` beside the package's own files. A wheel gets a copy; an editable install, which
imports from ``src``, gets a link (a copy where the file system allows no links).
"""

import os
import shutil
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManifestHook(BuildHookInterface):  # type: ignore[type-arg]
    """Put ``napari.yaml`` into the package."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build; `version` is "standard" or "editable" for wheels."""
        if self.target_name != "wheel":
            return
        source = Path(self.root, "napari.yaml")
        inside = Path(self.root, "src", "napari_medseg", "napari.yaml")
        if version != "editable":
            build_data["force_include"][str(source)] = "napari_medseg/napari.yaml"
            return
        inside.unlink(missing_ok=True)
        try:
            inside.symlink_to(os.path.relpath(source, inside.parent))
        except OSError:
            shutil.copyfile(source, inside)
