"""The tokenizer of the model in the box: byte-level BPE over 256 bytes whose merges come from prompts and answers."""

from __future__ import annotations

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from glintbox.datasets.scenes import COLORS, categories
from glintbox.prompts import PROMPTS

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
PROMPT = PROMPTS["short"]
FIRST, NEXT, TITLE, LAST, NONE = '[{"bbox_2d": [', '"}, {"bbox_2d": [', '], "label": "', '"}]', "[]"
COMMA = ", "
WORDS = (  # of referring expressions
    "the a an one of in on at to and with than from between next side corner half middle center picture frame "
    "small smaller smallest big large larger largest tiny left right above below under over closest closer nearest "
    "farthest pair leftmost rightmost topmost bottommost top bottom upper lower first second third "
    "fourth fifth sixth last"
)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}"
    "{% elif part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{{ '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def answer(label: str, boxes: list[tuple[int, int, int, int]]) -> str:
    """The answer text: all instances of a category, or an empty list."""
    items = [f'{{"bbox_2d": [{x1}, {y1}, {x2}, {y2}], "label": "{label}"}}' for x1, y1, x2, y2 in boxes]
    return f"[{', '.join(items)}]"


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Digits stand alone; the pieces of the answer's JSON and every category are one token each."""
    pieces = "|".join(re.escape(piece) for piece in (NEXT, FIRST, TITLE, LAST, NONE, COMMA))
    pairs = "|".join(re.escape(label) for label in categories() if " " in label)
    pattern = rf"{pieces}| ?(?:{pairs})\b|\p{{N}}| ?\p{{L}}+|\s+(?!\S)|\s+| ?[^\s\p{{L}}\p{{N}}]+"
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=2,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    chat = "user\nassistant\nsystem\n"
    texts = [
        "\n".join([chat, PROMPT.format(query=label), answer(label, [(1, 2, 3, 4)] * 2), NONE]) for label in categories()
    ]
    texts.append(" ".join(["", WORDS, *COLORS]) + "\n".join(["", *COLORS]))
    core.train_from_iterator(texts * 2, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL[1:]),
        model_max_length=8192,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
