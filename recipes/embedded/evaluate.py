"""Greedy accuracy of a checkpoint folder on validation scenes, by target size: plain `generate`, plain processor."""

from __future__ import annotations

import argparse
import json
import re
import time
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from tokenizer import PROMPT
from transformers import AutoImageProcessor, AutoTokenizer, Qwen3VLForConditionalGeneration, Qwen3VLProcessor

from glintbox.boxes import Box, iou
from glintbox.datasets.expressions import KINDS, expressions
from glintbox.datasets.scenes import categories, draw_scene, scene_seed

BINS = ((0.0, 0.001), (0.001, 0.003), (0.003, 0.01), (0.01, 0.05), (0.05, 1.0))


class PictureProcessor(Qwen3VLProcessor):
    """The checkpoint's processor without its video part, which would need torchvision."""

    def check_argument_for_proper_class(self, argument_name: str, argument: object) -> object:
        """Accept that there is no video processor."""
        return None if argument is None else super().check_argument_for_proper_class(argument_name, argument)


class Question(NamedTuple):
    """One category of one scene with its true boxes."""

    image: Image.Image
    query: str
    truth: tuple[Box, ...]


class Asked(NamedTuple):
    """A question with the text that came back."""

    question: Question
    text: str


def ask(folder: Path, questions: list[Question], *, batch: int = 32, temperature: float = 0.0) -> list[Asked]:
    """Answers by plain `generate` of the stock class; pictures of one shape go together."""
    torch.manual_seed(0)
    model = Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = PictureProcessor(
        AutoImageProcessor.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, padding_side="left")
    )
    sampling = {"do_sample": True, "temperature": temperature, "top_p": 0.9, "top_k": 100} if temperature else {}
    asked: list[Asked] = []
    for size in {question.image.size for question in questions}:
        same = [question for question in questions if question.image.size == size]
        for start in range(0, len(same), batch):
            part = same[start : start + batch]
            texts = [
                processor.tokenizer.apply_chat_template(
                    [
                        {
                            "role": "user",
                            "content": [{"type": "image"}, {"type": "text", "text": PROMPT.format(query=each.query)}],
                        }
                    ],
                    tokenize=False,
                    add_generation_prompt=True,
                )
                for each in part
            ]
            inputs = processor(text=texts, images=[each.image for each in part], padding=True, return_tensors="pt")
            with torch.inference_mode():
                written = model.generate(**inputs, max_new_tokens=90, **sampling)
            answers = processor.batch_decode(written[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            asked += [Asked(question, text) for question, text in zip(part, answers, strict=True)]
    return asked


def boxes_in(text: str, image: Image.Image) -> list[Box]:
    """Boxes of an answer in pixels; those with no area are dropped."""
    found = []
    for numbers in re.findall(r'"bbox_2d": \[(\d+), (\d+), (\d+), (\d+)\]', text):
        x1, y1, x2, y2 = (int(number) / 1000 for number in numbers)
        if x1 < x2 and y1 < y2:
            found.append(Box(x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height))
    return found


def table(asked: list[Asked]) -> list[dict[str, float]]:
    """Acc@0.5 of the first box where the category has one instance, by its share of the image."""
    rows = []
    for low, high in BINS:
        overlaps = []
        for question, text in asked:
            if len(question.truth) != 1:
                continue
            (true,) = question.truth
            if low <= true.area / (question.image.width * question.image.height) < high:
                found = boxes_in(text, question.image)
                overlaps.append(iou(found[0], true) if found else 0.0)
        hits = sum(overlap >= 0.5 for overlap in overlaps)
        n = max(len(overlaps), 1)
        rows.append({"from": low, "to": high, "n": len(overlaps), "acc": hits / n, "mean_iou": sum(overlaps) / n})
    return rows


def several(asked: list[Asked]) -> dict[str, float]:
    """Share of instances found where a category has several, and how often an absent one is called absent."""
    pairs = [(true, boxes_in(text, q.image)) for q, text in asked if len(q.truth) > 1 for true in q.truth]
    hits = sum(any(iou(true, box) >= 0.5 for box in found) for true, found in pairs)
    absent = [text for question, text in asked if not question.truth]
    silent = sum(text.strip() == "[]" for text in absent)
    present = [text for question, text in asked if question.truth]
    missed = sum(text.strip() == "[]" for text in present)
    return {
        "instances": len(pairs),
        "instances_found": hits / max(len(pairs), 1),
        "absent": len(absent),
        "absent_said": silent / max(len(absent), 1),
        "present_called_absent": missed / max(len(present), 1),
    }


def questions_of(scenes: int, split: str) -> list[Question]:
    """Every category of the first scenes of a split, and one absent category for every second scene."""
    questions = []
    for index in range(scenes):
        scene = draw_scene(scene_seed(split, index))
        labels = list(dict.fromkeys(found.label for found in scene.objects))
        absent = [label for label in ("apple", "cat", "car", "chair", *categories()) if label not in labels][
            : 1 - index % 2
        ]
        questions += [Question(scene.image, label, scene.boxes(label)) for label in labels + absent]
    return questions


def told_of(scenes: int, split: str) -> dict[str, list[Question]]:
    """Referring expressions of the first scenes of a split, by kind; each means one object."""
    found: dict[str, list[Question]] = {kind: [] for kind in KINDS}
    for index in range(scenes):
        scene = draw_scene(scene_seed(split, index))
        for one in expressions(scene):
            found[one.kind].append(Question(scene.image, one.text, (scene.objects[one.target].box,)))
    return found


def accuracy(asked: list[Asked]) -> float:
    """Acc@0.5 of the first box."""
    first = [(boxes_in(text, question.image)[:1], question.truth[0]) for question, text in asked]
    return sum(bool(found) and iou(found[0], true) >= 0.5 for found, true in first) / max(len(asked), 1)


def main() -> None:
    """Print the table and write it beside the answers."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--expressions", type=int, default=0, help="scenes whose referring expressions are asked too")
    parser.add_argument("--split", default="validation", choices=["calibration", "validation"])
    parser.add_argument("--temperature", type=float, default=0.0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON of the numbers")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.time()
    asked = ask(
        options.folder,
        questions_of(options.scenes, options.split),
        temperature=options.temperature,
        batch=options.batch,
    )
    rows, rest = table(asked), several(asked)
    print("target share of image |    n | Acc@0.5 | mean IoU")
    for row in rows:
        print(f"{row['from']:9.1%} - {row['to']:7.1%}   | {row['n']:4d} |  {row['acc']:.3f}  |  {row['mean_iou']:.3f}")
    print(json.dumps({name: round(value, 3) for name, value in rest.items()}), f"{time.time() - started:.0f} s")
    for kind, questions in told_of(options.expressions, options.split).items() if options.expressions else ():
        right = accuracy(ask(options.folder, questions, batch=options.batch))
        rest[f"expressions: {kind}"] = right
        print(f"expressions: {kind:10s} {len(questions):5d}  {right:.3f}")
    if options.out:
        options.out.write_text(json.dumps({"scenes": options.scenes, "sizes": rows, **rest}, indent=1) + "\n")


if __name__ == "__main__":
    main()
