#!/usr/bin/env python3
"""What programs written for Anthropic's Messages API rely on, tried with the official client as it is.

usage: anthropic_matrix.py --base-url URL --model NAME [--calls-tools]

Prints `PASS id` per check; an exception ends it with status 1. With --calls-tools the engine must call the tool it is told to.
"""

import argparse

import anthropic

QUESTION = [{"role": "user", "content": "Write one short sentence about the sea."}]
WEATHER = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TOKENS = 24


def main() -> None:
    """Run the checks, one after the other: engines promise equal answers only for equal batches."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True, help="without /v1")
    parser.add_argument("--model", required=True)
    parser.add_argument("--calls-tools", action="store_true")
    arguments = parser.parse_args()
    client = anthropic.Anthropic(base_url=arguments.base_url, api_key="unused", max_retries=0, timeout=120)
    model = arguments.model
    # The client has no name for it any more, and programs send it all the same.
    greedy = {"extra_body": {"temperature": 0}}
    common = {"model": model, "max_tokens": TOKENS} | greedy

    whole = client.messages.create(**common, messages=QUESTION)
    assert (whole.type, whole.role, whole.model) == ("message", "assistant", model), whole
    assert whole.id.startswith("msg_") and whole.stop_reason in ("end_turn", "max_tokens"), whole
    assert [block.type for block in whole.content] == ["text"] and whole.content[0].text, whole
    assert whole.usage.input_tokens > 8 and 0 < whole.usage.output_tokens <= TOKENS, whole.usage
    print("PASS messages.create")

    events = list(client.messages.create(**common, messages=QUESTION, stream=True))
    names = [event.type for event in events]
    assert names[:2] == ["message_start", "content_block_start"], names
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"], names
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == whole.content[0].text, text
    print("PASS messages.stream_events")

    with client.messages.stream(**common, messages=QUESTION) as stream:
        told = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert told == final.content[0].text == whole.content[0].text, told
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == (
        whole.stop_reason,
        whole.usage.input_tokens,
        whole.usage.output_tokens,
    ), final
    print("PASS messages.stream")

    cut = client.messages.create(
        **common, messages=QUESTION, system=[{"type": "text", "text": "Answer briefly."}], stop_sequences=[" "],
        metadata={"user_id": "someone"},
    )  # fmt: skip
    assert all(" " not in block.text for block in cut.content) and cut.usage.output_tokens <= TOKENS, cut
    print("PASS messages.system_and_stop")

    called = client.messages.create(
        model=model, max_tokens=64, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"},
        messages=[{"role": "user", "content": "What is the weather in Paris?"}], **greedy,
    )  # fmt: skip
    calls = [block for block in called.content if block.type == "tool_use"]
    # A model as small as this one may go on until it is cut.
    reasons = ("tool_use", "max_tokens")
    assert not arguments.calls_tools or (calls and called.stop_reason in reasons), called
    assert all(call.name == "get_weather" and isinstance(call.input, dict) and call.id for call in calls), calls
    answered = client.messages.create(
        **common, tools=[WEATHER],
        messages=[
            {"role": "user", "content": "What is the weather in Paris?"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"},
                {"type": "text", "text": "Say it in one word."},
            ]},
        ],
    )  # fmt: skip
    assert answered.usage.output_tokens > 0
    print("PASS messages.tools")

    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    for wrong, kind, code in (
        ({"messages": [{"role": "user", "content": [picture]}]}, anthropic.BadRequestError, "request.invalid"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, anthropic.BadRequestError, "request.unknown_parameter"),
        ({"extra_body": {"top_k": 5}}, anthropic.BadRequestError, "request.unknown_parameter"),
        ({"model": "no-such-model"}, anthropic.NotFoundError, "model_not_found"),
    ):
        try:
            client.messages.create(**(common | {"messages": QUESTION} | wrong))
        except kind as error:
            assert error.body["error"]["code"] == code, error
        else:
            raise AssertionError(f"{wrong} was answered")
    print("PASS messages.errors")


if __name__ == "__main__":
    main()
