"""Write the demo pictures of examples/images: six validation scenes chosen for variety, not by result."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from glintbox.datasets.scenes import draw_scene, scene_seed
from glintbox.web.examples import SCENES


def main() -> None:
    """One JPEG a scene, and scenes.json with file, query and true boxes in pixels."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--out", type=Path, default=Path("examples/images"))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    entries = []
    for index, query in SCENES:
        seed = scene_seed("validation", index)
        scene = draw_scene(seed)
        name = f"scene-{index:02d}-{query}.jpg"
        scene.image.save(options.out / name, quality=95)
        truth = [list(box) for box in scene.boxes(query)]
        entries.append({"file": name, "query": query, "truth": truth, "seed": seed})
    lines = ",\n".join("  " + json.dumps(entry) for entry in entries)
    (options.out / "scenes.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
