// What programs written for OpenAI rely on, tried with the official JavaScript client as it is.
//
// usage: node openai_matrix.mjs BASE_URL MODEL
//
// Prints `PASS id` or `FAIL id reason` per check, then `N passed, N failed`; the exit status is 0 or 1. Checks look at shape, accounting
// and determinism, never at what the model says. Requests go one at a time, and automatic retries are off: they would hide failures.

import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 180_000 });
const messages = [{ role: "user", content: "Write one sentence about the sea." }];
const ask = (more = {}) => client.chat.completions.create({ model, messages, max_tokens: 16, temperature: 0, ...more });
const FINISHED = ["stop", "length"];

function assertUsage(usage) {
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
}

async function refusal(status, call) {
  const error = await call().then(() => assert.fail("it was accepted"), (error) => error);
  assert.ok(error instanceof OpenAI.APIError, `${error}`);
  assert.equal(error.status, status);
  assert.equal(typeof error.code, "string");
  assert.equal(typeof error.type, "string");
  assert.ok(error.requestID, "a request id");
  return error;
}

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const CHECKS = {
  async models_list() {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    assert.deepEqual(ids, [model]);
  },
  async models_retrieve() {
    assert.equal((await client.models.retrieve(model)).id, model);
    await refusal(404, () => client.models.retrieve("no-such-model"));
  },
  async chat_plain() {
    const answer = await ask();
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.model, model);
    assert.equal(answer.choices.length, 1);
    assert.equal(answer.choices[0].message.role, "assistant");
    assert.equal(typeof answer.choices[0].message.content, "string");
    assert.ok(FINISHED.includes(answer.choices[0].finish_reason));
    assert.ok(answer._request_id);
    assertUsage(answer.usage);
  },
  async chat_deterministic() {
    const [first, second] = [await ask(), await ask()];
    assert.equal(first.choices[0].message.content, second.choices[0].message.content);
    assert.notEqual(first.id, second.id);
  },
  async chat_raw_response() {
    const { data, response } = await client.chat.completions.create({ model, messages, max_tokens: 4 }).withResponse();
    assert.equal(response.headers.get("content-type"), "application/json");
    assert.equal(data.object, "chat.completion");
  },
  async stream() {
    const plain = await ask();
    const chunks = await text(await ask({ stream: true, stream_options: { include_usage: true } }));
    const said = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");
    assert.equal(said, plain.choices[0].message.content);
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1);
    assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null));
    assert.deepEqual(chunks.at(-1).choices, []);
    assertUsage(chunks.at(-1).usage);
    assert.deepEqual(chunks.at(-1).usage, plain.usage);
  },
  async stream_helper() {
    const runner = client.chat.completions.stream({ model, messages, max_tokens: 8, temperature: 0 });
    const final = await runner.finalChatCompletion();
    assert.equal(typeof final.choices[0].message.content, "string");
  },
  async stream_abandon() {
    const stream = await ask({ stream: true, max_tokens: 200 });
    for await (const _ of stream) break;
    stream.controller.abort();
    assert.equal((await ask()).object, "chat.completion", "the next one works");
  },
  async choices() {
    const answer = await ask({ n: 2, temperature: 1, seed: 1 });
    assert.deepEqual(answer.choices.map((choice) => choice.index).sort(), [0, 1]);
  },
  async completions() {
    const answer = await client.completions.create({ model, prompt: "Once upon a time", max_tokens: 8, temperature: 0 });
    assert.equal(answer.object, "text_completion");
    assertUsage(answer.usage);
    const request = { model, prompt: "Once upon a time", max_tokens: 8, temperature: 0, stream: true };
    const chunks = await text(await client.completions.create(request));
    assert.equal(chunks.map((chunk) => chunk.choices[0]?.text ?? "").join(""), answer.choices[0].text);
  },
  async responses() {
    const request = { model, input: "Write one sentence about the sea.", max_output_tokens: 8, temperature: 0 };
    const answer = await client.responses.create(request);
    assert.equal(answer.object, "response");
    assert.ok(answer.output_text.length > 0);
    assert.equal(answer.usage.total_tokens, answer.usage.input_tokens + answer.usage.output_tokens);
    const events = await text(await client.responses.create({ ...request, stream: true }));
    assert.equal(events.at(-1).type, "response.completed");
    const deltas = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    assert.equal(deltas.join(""), answer.output_text);
    const final = await client.responses.stream(request).finalResponse();
    assert.equal(final.output_text, answer.output_text);
    assert.equal((await refusal(400, () => client.responses.create({ ...request, previous_response_id: "resp_1" }))).param, "previous_response_id");
  },
  async error_unknown_model() {
    assert.equal((await refusal(404, () => ask({ model: "no-such-model" }))).code, "model_not_found");
  },
  async error_parameter() {
    assert.equal((await refusal(400, () => ask({ n: 0 }))).param, "n");
    assert.equal((await refusal(400, () => ask({ no_such_parameter: 1 }))).param, "no_such_parameter");
    assert.equal((await refusal(400, () => ask({ messages: [] }))).param, "messages");
  },
  async error_path() {
    await refusal(404, () => client.embeddings.create({ model, input: "x" }));
  },
};

let failed = 0;
for (const [name, check] of Object.entries(CHECKS)) {
  try {
    await check();
    console.log(`PASS ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name} ${error}`.slice(0, 400));
  }
}
console.log(`${Object.keys(CHECKS).length - failed} passed, ${failed} failed`);
process.exit(failed === 0 ? 0 : 1);
