#!/usr/bin/env python3
"""What programs written for OpenAI rely on, tried with the official client as it is.

usage: openai_matrix.py --base-url URL [--model NAME] [--only ID ...] [--json]

Prints `PASS id` or `FAIL id reason` per check, then `N passed, N failed`; the exit status is 0 or 1.
The checks look at shape, accounting and determinism, never at what the model says: a model small
enough for a test is not expected to make sense. Requests go one at a time, because engines promise
equal answers only for equal batches. Automatic retries are off: they would hide failures.
"""

import argparse
import asyncio
import http.client
import json
import sys
import time

import openai

import openai_responses  # noqa: F401 - its checks are in the table once it is read
from openai_checks import (
    ANSWER_TOKENS,
    CHECKS,
    NO_SUCH_MODEL,
    PROMPT,
    QUESTION,
    TEXT_TOKENS,
    TIMEOUT_SECONDS,
    Failure,
    Target,
    check,
    require,
    require_equal,
    require_error,
    require_error_fields,
)

CHAT_TEMPLATE_TOKENS_MIN = 20
HUGE_TOKENS = 10_000_000
REASON_MAX = 300
FINISH_REASONS = {"stop", "length", "tool_calls", "content_filter"}
NO_SUCH_PARAMETER = "no_such_parameter"


# --- models ----------------------------------------------------------------------------------


@check("models.list")
def models_list(target: Target) -> None:
    """The served model is listed."""
    models = target.client.models.list()
    require_equal("object", models.object, "list")
    require(target.model in [model.id for model in models.data], f"{target.model!r} is not listed")


@check("models.retrieve")
def models_retrieve(target: Target) -> None:
    """The served model can be asked for by name."""
    model = target.client.models.retrieve(target.model)
    require_equal("id", model.id, target.model)
    require_equal("object", model.object, "model")


@check("models.retrieve_unknown")
def models_retrieve_unknown(target: Target) -> None:
    """Another name is a well-formed 404."""
    require_error(404, lambda: target.client.models.retrieve(NO_SUCH_MODEL))


# --- plain chat ------------------------------------------------------------------------------


@check("chat.plain")
def chat_plain(target: Target) -> None:
    """A completion has an id, one choice, text, a finish reason and a sum that adds up."""
    answer = target.ask()
    require(isinstance(answer.id, str) and answer.id, "no id")
    require_equal("object", answer.object, "chat.completion")
    require_equal("model", answer.model, target.model)
    require(isinstance(answer.created, int), "created is not an integer")
    require_equal("number of choices", len(answer.choices), 1)
    choice = answer.choices[0]
    require_equal("index", choice.index, 0)
    require_equal("role", choice.message.role, "assistant")
    require(choice.message.content, "no text")
    require(choice.finish_reason in FINISH_REASONS, f"finish_reason is {choice.finish_reason!r}")
    require_usage(answer.usage)


@check("chat.request_id")
def chat_request_id(target: Target) -> None:
    """A success carries a request id too, for support questions."""
    require(target.ask()._request_id, "no x-request-id header")


@check("chat.length")
def chat_length(target: Target) -> None:
    """A short limit is kept and reported as such."""
    answer = target.ask(max_tokens=2)
    require_equal("finish_reason", answer.choices[0].finish_reason, "length")
    require_equal("completion_tokens", answer.usage.completion_tokens, 2)


@check("chat.deterministic")
def chat_deterministic(target: Target) -> None:
    """At temperature 0 the same question has the same answer."""
    first, second = (target.ask().choices[0].message.content for _ in range(2))
    require_equal("second answer", second, first)


@check("chat.async")
def chat_async(target: Target) -> None:
    """The asynchronous client works as well."""

    async def ask() -> str | None:
        async with openai.AsyncOpenAI(**client_settings(target.base_url, target.api_key)) as client:
            answer = await client.chat.completions.create(model=target.model, messages=QUESTION, max_tokens=4)
            return answer.choices[0].message.content

    require(asyncio.run(ask()), "no text")


def require_usage(usage: openai.types.CompletionUsage | None) -> None:
    """Token counts are positive integers that add up."""
    require(usage is not None, "no usage")
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    require(all(isinstance(count, int) and count > 0 for count in counts), f"usage is {counts}")
    require_equal("total_tokens", usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


# --- streams ---------------------------------------------------------------------------------


@check("stream.usage")
def stream_usage(target: Target) -> None:
    """With include_usage, one last chunk without choices brings the counts."""
    *chunks, last = target.stream(stream_options={"include_usage": True})
    require_chunks(chunks)
    require_equal("choices of the last chunk", last.choices, [])
    require_equal("id of the last chunk", last.id, chunks[0].id)
    require_usage(last.usage)
    require(all(chunk.usage is None for chunk in chunks), "an earlier chunk has usage")
    plain = target.ask()
    require_equal("usage", (last.usage.prompt_tokens, last.usage.completion_tokens),
                  (plain.usage.prompt_tokens, plain.usage.completion_tokens))  # fmt: skip


@check("stream.plain")
def stream_plain(target: Target) -> None:
    """Without include_usage, every chunk has a choice and none has usage."""
    chunks = target.stream()
    require_chunks(chunks)
    require(all(chunk.usage is None for chunk in chunks), "usage although it was not asked for")


@check("stream.text")
def stream_text(target: Target) -> None:
    """The deltas join to the text of the plain answer."""
    joined = "".join(chunk.choices[0].delta.content or "" for chunk in target.stream() if chunk.choices)
    require(joined, "no text")
    require_equal("joined text", joined, target.ask().choices[0].message.content)


@check("stream.abandon")
def stream_abandon(target: Target) -> None:
    """A stream left halfway does not disturb the next request."""
    with target.ask(stream=True, max_tokens=256) as stream:
        next(iter(stream))
    require(target.ask(max_tokens=2).choices, "no answer after an abandoned stream")


@check("stream.helper")
def stream_helper(target: Target) -> None:
    """The client's own accumulator for streams ends with a complete message."""
    # It raises when the length limit is reached, so the answer ends at the first space instead.
    with target.client.chat.completions.stream(
        model=target.model, messages=QUESTION, max_tokens=ANSWER_TOKENS, temperature=0, stop=[" "]
    ) as stream:
        final = stream.get_final_completion()
    require(isinstance(final.choices[0].message.content, str), "no text")
    require_equal("finish_reason", final.choices[0].finish_reason, "stop")


def require_chunks(chunks: list[openai.types.chat.ChatCompletionChunk]) -> None:
    """One id, the role first, and exactly one finish reason, at the end."""
    require(len(chunks) > 1, f"only {len(chunks)} chunks")
    require(all(len(chunk.choices) == 1 for chunk in chunks), "a chunk without exactly one choice")
    require_equal("objects", {chunk.object for chunk in chunks}, {"chat.completion.chunk"})
    require_equal("models", {chunk.model for chunk in chunks}, {chunks[0].model})
    require_equal("number of ids", len({chunk.id for chunk in chunks}), 1)
    require(chunks[0].id, "empty id")
    require_equal("role of the first delta", chunks[0].choices[0].delta.role, "assistant")
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    require(reasons[-1] in FINISH_REASONS, f"last finish_reason is {reasons[-1]!r}")
    require(not any(reasons[:-1]), "a finish_reason before the last chunk")


# --- text completions ------------------------------------------------------------------------


@check("text.plain")
def text_plain(target: Target) -> None:
    """A prompt without a template is continued; the counts add up and the limit is kept."""
    answer = target.complete()
    require_equal("object", answer.object, "text_completion")
    require_equal("model", answer.model, target.model)
    require_equal("number of choices", len(answer.choices), 1)
    require(answer.choices[0].text, "no text")
    require_equal("finish_reason", answer.choices[0].finish_reason, "length")
    require_usage(answer.usage)
    require_equal("completion_tokens", answer.usage.completion_tokens, TEXT_TOKENS)
    require(answer.usage.prompt_tokens < CHAT_TEMPLATE_TOKENS_MIN, "a chat template was put around the prompt")


@check("text.default_length")
def text_default_length(target: Target) -> None:
    """Without a limit it is OpenAI's: 16 tokens."""
    answer = target.complete(max_tokens=openai.omit, prompt="one two three four five six seven eight nine ten one two")
    require(answer.usage.completion_tokens <= 16, f"{answer.usage.completion_tokens} tokens")


@check("text.stream")
def text_stream(target: Target) -> None:
    """A stream has the same text in pieces, one finish reason, and the counts where asked for."""
    *chunks, last = target.complete(stream=True, stream_options={"include_usage": True})
    require(len(chunks) > 1, f"only {len(chunks)} chunks")
    require_equal("objects", {chunk.object for chunk in chunks}, {"text_completion"})
    require_equal("number of ids", len({chunk.id for chunk in [*chunks, last]}), 1)
    require_equal("choices of the last chunk", last.choices, [])
    require_usage(last.usage)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    require_equal("finish reasons", [reason for reason in reasons if reason], ["length"])
    plain = target.complete()
    require_equal("text", "".join(choice.text for chunk in chunks for choice in chunk.choices), plain.choices[0].text)
    require_equal("usage", last.usage.completion_tokens, plain.usage.completion_tokens)


@check("text.wire")
def text_wire(target: Target) -> None:
    """The stream ends with `data: [DONE]`."""
    body = json.dumps({"model": target.model, "prompt": PROMPT, "max_tokens": 3, "stream": True}).encode()
    response = target.post(body, path="completions")
    require_equal("status", response.status, 200)
    events = [line for line in response.read().decode().splitlines() if line and not line.startswith(":")]
    require_equal("last event", events[-1], "data: [DONE]")


@check("text.error")
def text_error(target: Target) -> None:
    """What is not served is a complete error that names the parameter."""
    for wrong, param in [({"echo": True}, "echo"), ({"prompt": [1, 2, 3]}, "prompt"), ({"best_of": 3}, "best_of")]:
        error = require_error(400, lambda wrong=wrong: target.complete(**wrong))
        require_equal("param", error.param, param)


# --- bytes on the wire -----------------------------------------------------------------------


@check("wire.done")
def wire_done(target: Target) -> None:
    """A stream is server-sent events that end with `data: [DONE]`; only comments may follow."""
    response = target.post(target.body(stream=True))
    require_equal("status", response.status, 200)
    require_equal("content type", response.headers.get_content_type(), "text/event-stream")
    text = response.read().decode()  # raises when the body is cut short
    events = [line for line in text.splitlines() if line and not line.startswith(":")]
    strange = [line for line in events if not line.startswith("data: ")]
    require(not strange, f"not a data line: {strange[:1]}")
    require(events, "no events")
    require_equal("last event", events[-1], "data: [DONE]")
    require(all("object" in json.loads(line.removeprefix("data: ")) for line in events[:-1]), "odd event")


@check("wire.content_type")
def wire_content_type(target: Target) -> None:
    """A plain answer is JSON of a known length or properly chunked."""
    response = target.post(target.body())
    require_equal("status", response.status, 200)
    require_equal("content type", response.headers.get_content_type(), "application/json")
    json.loads(response.read())


# --- errors ----------------------------------------------------------------------------------


@check("error.unknown_model")
def error_unknown_model(target: Target) -> None:
    """404 with a code that programs can compare."""
    error = require_error(404, lambda: target.ask(model=NO_SUCH_MODEL))
    require(isinstance(error, openai.NotFoundError), f"{type(error).__name__} instead of NotFoundError")


@check("error.unknown_model_stream")
def error_unknown_model_stream(target: Target) -> None:
    """The same for a stream: an ordinary error before the first event."""
    require_error(404, lambda: target.stream(model=NO_SUCH_MODEL))


@check("error.invalid_body")
def error_invalid_body(target: Target) -> None:
    """Messages of the wrong type."""
    wrong = {"model": target.model, "messages": "not a list"}
    error = require_error(400, lambda: target.client.post("/chat/completions", cast_to=object, body=wrong))
    require(isinstance(error, openai.BadRequestError), f"{type(error).__name__} instead of BadRequestError")


@check("error.missing_messages")
def error_missing_messages(target: Target) -> None:
    """No messages at all."""
    body = {"model": target.model}
    require_error(400, lambda: target.client.post("/chat/completions", cast_to=object, body=body))


@check("error.malformed_json")
def error_malformed_json(target: Target) -> None:
    """Not JSON: no client library would send it, a script with curl does."""
    response = target.post(b'{"model": ')
    require_equal("status", response.status, 400)
    error = json.loads(response.read()).get("error")
    require(isinstance(error, dict), f"error is {error!r}")
    for key in ("message", "type", "code"):
        require(isinstance(error.get(key), str) and error[key], f"error.{key} is {error.get(key)!r}")


@check("error.unknown_parameter")
def error_unknown_parameter(target: Target) -> None:
    """A parameter that has no effect is refused, and named."""
    error = require_error(400, lambda: target.ask(extra_body={NO_SUCH_PARAMETER: 1}))
    require(error.param == NO_SUCH_PARAMETER or NO_SUCH_PARAMETER in error.message, "the parameter is not named")


@check("error.max_tokens")
def error_max_tokens(target: Target) -> None:
    """More tokens than the context holds: a clear refusal, or an answer that stops in time."""
    try:
        answer = target.ask(max_tokens=HUGE_TOKENS, stop=["."])
    except openai.APIStatusError as error:
        require_error_fields(error, 400)
    else:
        require(answer.usage.total_tokens < HUGE_TOKENS, "the limit was not reduced")
        require(answer.choices[0].finish_reason in FINISH_REASONS, "no finish_reason")


# --- running ---------------------------------------------------------------------------------


def client_settings(base_url: str, api_key: str) -> dict[str, object]:
    """How both clients are made."""
    return {"base_url": base_url, "api_key": api_key, "max_retries": 0, "timeout": TIMEOUT_SECONDS}


def run_check(name: str, target: Target) -> dict[str, object]:
    """Run one check; anything it raises is its reason to fail."""
    started = time.monotonic()
    reason = None
    try:
        CHECKS[name](target)
    except Failure as failure:
        reason = str(failure)
    except Exception as error:  # noqa: BLE001 - a broken answer may break the client anywhere
        reason = f"{type(error).__name__}: {error}"
    reason = reason and " ".join(reason.split())[:REASON_MAX]
    return {"id": name, "passed": reason is None, "reason": reason, "seconds": round(time.monotonic() - started, 3)}


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True, help="such as http://127.0.0.1:8080/v1")
    parser.add_argument("--api-key", default="unused", help="sent as the bearer token")
    parser.add_argument("--model", help="model to use (default: the first one listed)")
    parser.add_argument("--only", action="append", choices=list(CHECKS), metavar="ID", help="run only this; repeatable")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return parser.parse_args()


def main() -> int:
    """Run the checks and report."""
    arguments = parse_arguments()
    client = openai.OpenAI(**client_settings(arguments.base_url, arguments.api_key))
    try:
        model = arguments.model or client.models.list().data[0].id
    except (openai.OpenAIError, IndexError) as error:
        print(f"openai_matrix: no model could be listed at {arguments.base_url}: {error}", file=sys.stderr)
        return 1
    target = Target(arguments.base_url, arguments.api_key, model, client)
    results = []
    for name in arguments.only or CHECKS:
        results.append(run_check(name, target))
        if not arguments.json:
            print(f"PASS {name}" if results[-1]["passed"] else f"FAIL {name} {results[-1]['reason']}", flush=True)
    failed = sum(not result["passed"] for result in results)
    if arguments.json:
        summary = {"model": model, "client": openai.__version__, "passed": len(results) - failed, "failed": failed}
        print(json.dumps(summary | {"checks": results}, indent=2))
    else:
        print(f"{len(results) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
