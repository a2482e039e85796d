"""Checks of the Responses API."""

import openai

from openai_checks import NO_SUCH_MODEL, Target, check, require, require_equal, require_error

QUESTION = "Write one sentence about the sea."


def respond(target: Target, **parameters: object) -> openai.types.responses.Response:
    """A short, greedy response."""
    defaults = {"model": target.model, "input": QUESTION, "max_output_tokens": 8, "temperature": 0}
    return target.client.responses.create(**(defaults | parameters))


def require_response(response: openai.types.responses.Response) -> None:
    """A response that is whole, or was cut at its limit, with one text and counts that add up."""
    require_equal("object", response.object, "response")
    require(response.status in ("completed", "incomplete"), f"status is {response.status}")
    require_equal("items", [item.type for item in response.output], ["message"])
    require(response.output_text, "there is no text")
    usage = response.usage
    require(usage and usage.input_tokens > 0 and usage.output_tokens > 0, "there are no counts")
    require_equal("total_tokens", usage.total_tokens, usage.input_tokens + usage.output_tokens)


@check("responses.plain")
def responses_plain(target: Target) -> None:
    """A text gives a text, the same as a chat's."""
    response = respond(target)
    require_response(response)
    require_equal("store", response.store, False)
    require_equal("max_output_tokens", response.max_output_tokens, 8)
    chat = target.ask(messages=[{"role": "user", "content": QUESTION}], max_tokens=8)
    require_equal("text", response.output_text, chat.choices[0].message.content)


@check("responses.stream")
def responses_stream(target: Target) -> None:
    """Events in order, deltas that add up, and a last event with all of it."""
    events = list(respond(target, stream=True))
    require_equal("first", events[0].type, "response.created")
    require_equal("last", events[-1].type, "response.completed")
    require_equal("numbers", [event.sequence_number for event in events], list(range(len(events))))
    require_response(events[-1].response)
    deltas = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    require_equal("text", deltas, events[-1].response.output_text)
    require_equal("as plain", deltas, respond(target).output_text)


@check("responses.helper")
def responses_helper(target: Target) -> None:
    """The client's own accumulator of events is content."""
    options = {"model": target.model, "input": QUESTION, "max_output_tokens": 8, "temperature": 0}
    with target.client.responses.stream(**options) as stream:
        for _ in stream:
            pass
        require_response(stream.get_final_response())


@check("responses.conversation")
def responses_conversation(target: Target) -> None:
    """Items of an answer can be sent back as they came."""
    first = respond(target, instructions="Be brief.")
    require_equal("instructions", first.instructions, "Be brief.")
    items = [{"role": "user", "content": QUESTION}, *(item.model_dump(exclude_none=True) for item in first.output)]
    require_response(respond(target, input=[*items, {"role": "user", "content": "Again."}]))


@check("responses.refused")
def responses_refused(target: Target) -> None:
    """What would need a memory or a tool of the node's is refused by name, not ignored."""
    rows = [
        ("previous_response_id", "resp_1"),
        ("tools", [{"type": "web_search"}]),
        ("input", [{"role": "nobody", "content": "x"}]),
    ]
    for name, value in rows:
        error = require_error(400, lambda name=name, value=value: respond(target, **{name: value}))
        require_equal("param", error.param and error.param.split("[")[0], name)
    require_error(404, lambda: respond(target, model=NO_SUCH_MODEL))
