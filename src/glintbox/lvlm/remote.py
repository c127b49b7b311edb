"""RemoteLVLM: answers from an OpenAI-compatible server, attention by replay where the checkpoint is here too."""

from __future__ import annotations

import base64
import io
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Literal, NamedTuple

from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from glintbox.errors import BadContract, BadInput, GlintboxError, NoArtifact
from glintbox.lvlm.api import LVLM, Answered, Prompt
from glintbox.lvlm.hf import HuggingFaceLVLM
from glintbox.lvlm.server import Choice, Refused, Reply, Request, Server, seed_of
from glintbox.lvlm.unseen import Unseen
from glintbox.prompts import tell
from glintbox.records import Response, Sampling, Site, Watch

UNCHECKED = "without the checkpoint's processor nobody checked that the server makes the same prompt of the picture"
RETOKENIZED = "the server gives no token ids: its answers were tokenised again, which can give other tokens"
ONE_BY_ONE = "the server gives one answer at a time: each was asked for with a seed of its own"


@dataclass(frozen=True, slots=True)
class RemotePrompt(Prompt):
    """A prompt as the server gets it: shown = the picture as a data URI, said_as = the user's text."""

    shown: str = ""
    text: str = ""


class Told(NamedTuple):
    """A prompt with the server's answers to it, and what is to be said of them."""

    prompt: Prompt
    responses: tuple[Response, ...]
    notes: tuple[str, ...]
    seconds: float


class RemoteLVLM:
    """An `api.LVLM` whose answers come from `server`.

    known: the same checkpoint here: with weights, attention is read by replay; without, prompts and tokens are checked;
    an `Unseen` knows only the units of written boxes. BadInput for a model of another kind.
    """

    def __init__(self, server: Server, known: LVLM | Unseen) -> None:
        if not isinstance(known, HuggingFaceLVLM | Unseen):
            raise BadInput(f"expected a HuggingFaceLVLM or an Unseen beside a server, got {type(known).__name__}")
        self.server = server
        self.known = known
        self.card = known.card
        self.default_prompt = known.default_prompt

    def prompt(self, image: Image, query: str, *, id: str, text: str | None = None) -> RemotePrompt:
        """The prompt as it is made here, and what is sent for it; errors as in `prompting.make_prompt`."""
        made = self.known.prompt(image, query, id=id, text=text)
        own = {field.name: getattr(made, field.name) for field in fields(Prompt)}
        shown = _data_uri(self._at_input_size(image, made))
        return RemotePrompt(**own, shown=shown, text=tell(text or self.default_prompt, query).text)

    def answer(self, prompts: Iterable[Prompt], sampling: Sampling, watch: Watch | None) -> Iterator[Answered]:
        """Greedy and N samples per prompt, by the server; see `api.LVLM.answer`. Prompts ahead are in flight already.

        Raises:
            NoArtifact: attention is wanted and no weights are here.
            Unanswered: the server gave no answer to a prompt, after all retries.
            BadContract: the server's prompt has another length than the one made here.
        """
        told = self._told(prompts, sampling)
        if watch is None:
            return (_Answered(one) for one in told)
        return self._replayed(told, watch)

    def answer_together(
        self, prompts: Iterable[Prompt], samplings: Sequence[Sampling], watch: Watch | None
    ) -> Iterator[tuple[Answered, ...]]:
        """Each sampling's answers, one after the other."""
        for prompt in prompts:
            apart = [self.answer([prompt], sampling, watch) for sampling in samplings]
            yield tuple(next(answers) for answers in apart)

    def replay(self, told: Iterable[tuple[Prompt, tuple[Response, ...]]], watch: Watch | None) -> Iterator[Answered]:
        """The attention of given answers, read here; NoArtifact where no weights are."""
        if not isinstance(self.known, HuggingFaceLVLM) or not self.card.usable:
            raise NoArtifact(
                f"expected the weights of {self.card.id} here to read attention, which no server gives, got none; load "
                "them (--model), or choose a selector that needs no attention, such as consensus"
            )
        return self.known.replay(told, watch)

    def _replayed(self, told: Iterator[Told], watch: Watch) -> Iterator[Answered]:
        taken: deque[Told] = deque()

        def pairs() -> Iterator[tuple[Prompt, tuple[Response, ...]]]:
            for one in told:
                taken.append(one)
                yield one.prompt, one.responses

        return (_Answered(taken.popleft(), answered) for answered in self.replay(pairs(), watch))

    def _told(self, prompts: Iterable[Prompt], sampling: Sampling) -> Iterator[Told]:
        """Answers in the prompts' order, with as many prompts in flight as the server takes requests.

        A prompt that cannot be made is an error at its place, after the answers to those before it.
        """
        coming, waiting = _each(prompts), deque[RemotePrompt | GlintboxError]()
        while True:
            while len(waiting) < self.server.concurrency and (one := next(coming, None)) is not None:
                if isinstance(one, RemotePrompt):
                    for request in self._requests(one, sampling):
                        self.server.send(request)
                waiting.append(one)
            if not waiting:
                return
            first = waiting.popleft()
            if isinstance(first, GlintboxError):
                raise first
            yield self._answers(first, sampling)

    def _requests(self, prompt: RemotePrompt, sampling: Sampling) -> list[Request]:
        """Greedy's request, if wanted, then those of the samples."""
        return _greedy(prompt, sampling) + _samples(prompt, sampling, one_by_one=self.server.one_by_one)

    def _answers(self, prompt: RemotePrompt, sampling: Sampling) -> Told:
        """All answers to one prompt, greedy first; one by one where the server does not give several."""
        greedy = [self._received(request) for request in _greedy(prompt, sampling)]
        drawn = self._drawn(prompt, sampling)
        replies = [*greedy, *drawn]
        self._check(prompt, replies)
        respond = partial(self._response, known=self.known if isinstance(self.known, HuggingFaceLVLM) else None)
        responses = [respond(choice, "greedy") for reply in greedy for choice in reply.choices]
        responses += [respond(choice, "sampled") for reply in drawn for choice in reply.choices]
        return Told(prompt, tuple(responses), self._notes(replies), sum(reply.seconds for reply in replies))

    def _drawn(self, prompt: RemotePrompt, sampling: Sampling) -> list[Reply]:
        """The samples: of one request, or, where that is refused or gives too few, of one each."""
        if not self.server.one_by_one or sampling.n == 1:
            try:
                return [self._received(request) for request in _samples(prompt, sampling, one_by_one=False)]
            except Refused as refused:
                if sampling.n == 1:
                    raise
                why = refused
        else:
            why = None
        requests = _samples(prompt, sampling, one_by_one=True)
        for request in requests:
            self.server.send(request)
        try:
            replies = [self._received(request) for request in requests]
        except Refused as refused:
            raise refused from why
        self.server.one_by_one = True
        return replies

    def _received(self, request: Request) -> Reply:
        self.server.send(request)
        reply = self.server.receive(request)
        if len(reply.choices) != request.count:
            raise Refused(f"expected {request.count} answers from {self.server.url}, got {len(reply.choices)}")
        return reply

    def _check(self, prompt: RemotePrompt, replies: Sequence[Reply]) -> None:
        """The server's prompt must be the one made here, or coordinates would be silently wrong."""
        counts = {reply.prompt_tokens for reply in replies}
        if isinstance(self.known, Unseen) or counts == {len(prompt.ids)}:
            return
        got = ", ".join(str(count) if count is not None else "no count" for count in counts)
        raise BadContract(
            f"expected a prompt of {len(prompt.ids)} tokens for {prompt.id!r}, as made here, "
            f"got {got} from {self.server.url}: coordinates could mean other places; serve the "
            f"same checkpoint with its own chat template and pixel budget ({self.card.pixels})"
        )

    def _response(
        self, choice: Choice, source: Literal["greedy", "sampled"], *, known: HuggingFaceLVLM | None
    ) -> Response:
        """An answer with its tokens; without a tokenizer its text alone."""
        if known is None:
            return Response(choice.text, source, choice.ended, (), ())
        ids = list(
            choice.ids
            if choice.ids is not None
            else known.loaded.tokenizer.encode(choice.text, add_special_tokens=False)
        )
        while ids and ids[-1] in known.eos:
            ids.pop()
        text, spans = known.spans(ids)
        return Response(text, source, choice.ended, tuple(ids), spans)

    def _notes(self, replies: Sequence[Reply]) -> tuple[str, ...]:
        """What a user should know of how the answers came about."""
        tokens = all(choice.ids is not None for reply in replies for choice in reply.choices)
        left_out = sorted({name for reply in replies for name in reply.missing})
        told = [
            (f"answers are by {self.server.served} at {self.server.url}", True),
            (ONE_BY_ONE, self.server.one_by_one),
            (UNCHECKED, isinstance(self.known, Unseen)),
            (RETOKENIZED, not tokens and not isinstance(self.known, Unseen)),
            (f"the server takes no {', '.join(left_out)}; what decides answers went as generation_config", left_out),
        ]
        return tuple(note for note, holds in told if holds)

    def _at_input_size(self, image: Image, prompt: Prompt) -> Image:
        """The picture as the model's own processor resizes it, where that is all it does to its shape."""
        grid = prompt.tensors.get("image_grid_thw")
        if grid is None or isinstance(self.known, Unseen):
            return image
        loaded = self.known.loaded
        patch = loaded.model.config.vision_config.patch_size
        _, rows, cols = grid[0].tolist()
        size = (cols * patch, rows * patch)
        return image if image.size == size else image.resize(size, loaded.processor.image_processor.resample)


@dataclass(frozen=True, slots=True)
class _Answered:
    """See api.Answered; replayed: the same answers with their attention, where it is wanted."""

    told: Told
    replayed: Answered | None = None

    @property
    def prompt(self) -> Prompt:
        return self.told.prompt

    @property
    def responses(self) -> tuple[Response, ...]:
        return self.replayed.responses if self.replayed else self.told.responses

    @property
    def timing(self) -> Mapping[str, float]:
        return {"server": self.told.seconds, **(self.replayed.timing if self.replayed else {})}

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.told.notes, *(self.replayed.notes if self.replayed else ()))

    def read(self, sites: Sequence[Site], watch: Watch) -> Float[Tensor, "site head row col"]:
        if self.replayed is None:
            raise BadInput("expected answers whose attention was watched, got some of a server; ask with a watch")
        return self.replayed.read(sites, watch)


def _each(prompts: Iterable[Prompt]) -> Iterator[RemotePrompt | GlintboxError]:
    """Prompts as long as they can be made, then the error."""
    try:
        for prompt in prompts:
            if not isinstance(prompt, RemotePrompt):
                raise BadInput("expected a prompt that this model made, got another's; make it with its own prompt()")
            yield prompt
    except GlintboxError as error:
        yield error


def _data_uri(image: Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _greedy(prompt: RemotePrompt, sampling: Sampling) -> list[Request]:
    return [_request(prompt, replace(sampling, n=1, temperature=0.0), 0)] if sampling.greedy_too else []


def _samples(prompt: RemotePrompt, sampling: Sampling, *, one_by_one: bool) -> list[Request]:
    """One request for all samples, or one each."""
    if not one_by_one:
        return [_request(prompt, sampling, 0)]
    return [_request(prompt, replace(sampling, n=1), number) for number in range(sampling.n)]


def _request(prompt: RemotePrompt, sampling: Sampling, number: int) -> Request:
    return Request(
        id=prompt.id,
        image=prompt.shown,
        text=prompt.text,
        count=sampling.n,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        max_tokens=sampling.max_new_tokens,
        seed=seed_of(sampling.seed, f"{prompt.id}\0{prompt.query}", number),
    )
