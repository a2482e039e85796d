"""What the checks of `openai_matrix.py` share: the endpoint under test, the table of checks, and ways to fail."""

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import openai

QUESTION = [{"role": "user", "content": "Write one sentence about the sea."}]
PROMPT = "Once upon a time there was"
ANSWER_TOKENS = 24
TEXT_TOKENS = 8
TIMEOUT_SECONDS = 180
NO_SUCH_MODEL = "no-such-model"


class Failure(Exception):
    """A check did not hold."""


def require(condition: object, reason: str) -> None:
    """Fail the running check unless the condition holds."""
    if not condition:
        raise Failure(reason)


def require_equal(what: str, got: object, expected: object) -> None:
    """Fail the running check unless two values are equal."""
    require(got == expected, f"{what} is {got!r}, not {expected!r}")


@dataclass(frozen=True)
class Target:
    """The endpoint under test."""

    base_url: str
    api_key: str
    model: str
    client: openai.OpenAI

    def ask(self, **parameters: object) -> openai.types.chat.ChatCompletion:
        """A short, greedy, non-streaming chat."""
        defaults = {"model": self.model, "messages": QUESTION, "max_tokens": ANSWER_TOKENS, "temperature": 0}
        return self.client.chat.completions.create(**(defaults | parameters))

    def stream(self, **parameters: object) -> list[openai.types.chat.ChatCompletionChunk]:
        """The same as a stream, read to its end."""
        return list(self.ask(stream=True, **parameters))

    def complete(self, **parameters: object) -> openai.types.Completion:
        """A short, greedy completion of a text."""
        defaults = {"model": self.model, "prompt": PROMPT, "max_tokens": TEXT_TOKENS, "temperature": 0}
        return self.client.completions.create(**(defaults | parameters))

    def post(self, body: bytes, path: str = "chat/completions") -> http.client.HTTPResponse:
        """A request without any client library."""
        url = urlsplit(self.base_url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        connection = kind(url.hostname, url.port, timeout=TIMEOUT_SECONDS)
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.api_key}"}
        connection.request("POST", f"{url.path.rstrip('/')}/{path}", body, headers)
        return connection.getresponse()

    def body(self, **parameters: object) -> bytes:
        """The JSON of the standard request with changes."""
        return json.dumps({"model": self.model, "messages": QUESTION, "max_tokens": 4} | parameters).encode()


Check = Callable[[Target], None]
CHECKS: dict[str, Check] = {}


def check(name: str) -> Callable[[Check], Check]:
    """Register a check under its id."""

    def register(function: Check) -> Check:
        CHECKS[name] = function
        return function

    return register


def require_error(status: int, call: Callable[[], object]) -> openai.APIStatusError:
    """The call must fail with a complete OpenAI error of this status."""
    try:
        call()
    except openai.APIStatusError as error:
        require_error_fields(error, status)
        return error
    raise Failure(f"accepted, instead of status {status}")


def require_error_fields(error: openai.APIStatusError, status: int) -> None:
    """The fields programs read from an exception are there and are text."""
    require_equal("status", error.status_code, status)
    for name in ("code", "type", "message", "request_id"):
        value = getattr(error, name)
        require(isinstance(value, str) and value, f"{name} is {value!r}")
    require(isinstance(error.body, dict) and "param" in error.body, "no error.param")
