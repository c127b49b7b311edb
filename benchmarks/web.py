"""Measure a page that runs: `python -m benchmarks.web http://127.0.0.1:7860/` prints a Markdown table.

Start it before with `glintbox web`, the model in the box. Times are of the wall, on whatever else the machine does.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FILES = ("", "style.css", "page.js", "drawing.js", "about")
PICTURE = Path(__file__).parents[1] / "examples" / "images" / "scene-15-owl.jpg"
PATIENCE_S = 1800
"""After so long an upload counts as lost."""


def get(url: str, body: bytes | None = None) -> bytes:
    asked = urllib.request.Request(url, data=body, headers={"content-type": "application/octet-stream"})
    with urllib.request.urlopen(asked, timeout=120) as answer:
        content: bytes = answer.read()
        return content


def told(url: str, body: bytes | None = None) -> Any:
    return json.loads(get(url, body))


def first_load(url: str) -> float:
    """Seconds for all that the page needs before it can be used, its example pictures too, one after the other."""
    began = time.perf_counter()
    for name in FILES:
        about = get(url + name)
    for example in json.loads(about)["examples"]:
        get(f"{url}examples/{example['name']}")
    return time.perf_counter() - began


def upload(url: str, words: str) -> str:
    """How it ended: done, failed, busy (told to come back), or lost."""
    name = urllib.parse.quote(PICTURE.name)
    try:
        job = told(f"{url}find?query=owl&name={name}&{words}", PICTURE.read_bytes())["job"]
    except urllib.error.HTTPError as error:
        return "busy" if error.code == 503 else "failed"
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if (state := told(f"{url}jobs/{job}")["state"]) in {"done", "failed"}:
            return str(state) if state == "failed" else f"done {job}"
        time.sleep(0.5)
    return "lost"


def switches(url: str, job: str) -> Iterator[float]:
    """Seconds of every switch of selector, temperature and number of objects."""
    seen = told(f"{url}jobs/{job}/result")["choices"]
    for name in (
        name for name, why in seen["selectors"].items() if why is None and name not in {"majority-vote", "mean-box"}
    ):
        for temperature in seen["temperatures"]:
            for many in "01":
                began = time.perf_counter()
                get(f"{url}jobs/{job}/result?selector={name}&temperature={temperature:g}&multiple={many}")
                yield time.perf_counter() - began


def resident(pid: int) -> float:
    """MB that a process holds (Linux)."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--concurrent", type=int, default=20)
    parser.add_argument("--uploads", type=int, default=200, help="for the memory; 0 = not measured")
    parser.add_argument("--pid", type=int, help="of the server, for its memory")
    parser.add_argument("--words", default="n=2&temperatures=0.7", help="how much is sampled for the uploads")
    options = parser.parse_args(arguments)
    url = options.url
    loads = [first_load(url) for _ in range(5)]
    print("| | asked | got |\n|---|---|---|")
    print(
        f"| first load, median of 5 (worst) | <= 3 s | {statistics.median(loads):.2f} ({max(loads):.2f}) s |",
        flush=True,
    )
    began = time.perf_counter()
    with ThreadPoolExecutor(max(1, options.concurrent)) as pool:
        ends = list(pool.map(lambda _: upload(url, options.words), range(options.concurrent)))
    took = time.perf_counter() - began
    counts = {kind: sum(end.startswith(kind) for end in ends) for kind in ("done", "busy", "failed", "lost")}
    print(f"| {options.concurrent} uploads at once | none lost | {counts}, {took:.0f} s in all |", flush=True)
    waits = list(switches(url, upload(url, "n=10&temperatures=0.7,0.5,1").split()[1]))
    told_waits = f"{1000 * statistics.median(waits):.0f} ({1000 * max(waits):.0f}) ms, {len(waits)} switches"
    print(f"| re-selection, median (worst) | <= 300 ms | {told_waits} |", flush=True)
    if options.uploads and options.pid:
        held = []
        for number in range(options.uploads):
            upload(url, options.words)
            held += [resident(options.pid)] if (number + 1) % (options.uploads // 4 or 1) == 0 else []
        print(
            f"| memory over {options.uploads} uploads, by quarter | flat | {', '.join(f'{mb:.0f}' for mb in held)} MB |"
        )


if __name__ == "__main__":
    main()
