#!/usr/bin/env python3
"""The official client against a node whose model makes vectors of texts.

usage: openai_embeddings.py --base-url URL --model NAME

Prints `PASS id` per check; an exception ends it with status 1.
"""

import argparse
import math

import openai

TEXTS = ["The sea is calm tonight.", "Ocean waves roll to the shore.", "def main() -> int:"]


def main() -> None:
    """Run the checks, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    client = openai.OpenAI(base_url=arguments.base_url, api_key="unused", max_retries=0, timeout=120)
    create, model = client.embeddings.create, arguments.model

    # What the client sends when nothing is said: it asks for base64 and decodes it.
    answer = create(model=model, input=TEXTS)
    vectors = [item.embedding for item in answer.data]
    assert [item.index for item in answer.data] == [0, 1, 2] and answer.object == "list" and answer.model == model
    assert len({len(vector) for vector in vectors}) == 1 and len(vectors[0]) >= 64, "one length"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens >= 12, answer.usage
    print("PASS embeddings.default")

    numbers = create(model=model, input=TEXTS, encoding_format="float")
    for one, other in zip(vectors, (item.embedding for item in numbers.data), strict=True):
        assert all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9) for a, b in zip(one, other, strict=True))
    print("PASS embeddings.float")

    alone = create(model=model, input=TEXTS[1]).data
    assert len(alone) == 1
    # In another batch the last digits may differ, not the direction.
    assert cosine(alone[0].embedding, vectors[1]) > 0.999
    print("PASS embeddings.one_text")

    for wrong, status, code, param in (
        ({"input": []}, 400, "request.invalid", "input"),
        ({"input": [[1, 2, 3]]}, 400, "request.invalid", "input"),
        ({"input": "a", "dimensions": 8}, 400, "request.unknown_parameter", "dimensions"),
        ({"input": "a", "model": "no-such-model"}, 404, "model_not_found", None),
    ):
        try:
            create(**({"model": model} | wrong))
        except openai.APIStatusError as error:
            assert (error.status_code, error.code, error.param) == (status, code, param), error
        else:
            raise AssertionError(f"{wrong} was answered")
    print("PASS embeddings.errors")

    try:
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}])
    except openai.NotFoundError as error:
        assert error.code == "endpoint.not_served", error
    else:
        raise AssertionError("it chats")
    print("PASS chat.not_served")


def cosine(one: list[float], other: list[float]) -> float:
    """How much two vectors have the same direction."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


if __name__ == "__main__":
    main()
