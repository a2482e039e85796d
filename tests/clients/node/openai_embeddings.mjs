// The official JavaScript client against a node whose model makes vectors of texts: node openai_embeddings.mjs BASE_URL MODEL
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "unused", maxRetries: 0, timeout: 120_000 });
const input = ["The sea is calm tonight.", "def main() -> int:"];

// What the client sends when nothing is said: it asks for base64 and decodes it.
const answer = await client.embeddings.create({ model, input });
assert.deepEqual(answer.data.map((item) => item.index), [0, 1]);
assert.ok(answer.data[0].embedding.length >= 64 && answer.usage.prompt_tokens >= 8);
console.log("PASS embeddings.default");

const numbers = await client.embeddings.create({ model, input, encoding_format: "float" });
numbers.data.forEach((item, at) => {
  item.embedding.forEach((number, place) => {
    assert.ok(Math.abs(number - answer.data[at].embedding[place]) <= 1e-6 * Math.max(1, Math.abs(number)));
  });
});
console.log("PASS embeddings.float");

await assert.rejects(client.embeddings.create({ model, input: "" }), { status: 400, code: "request.invalid", param: "input" });
await assert.rejects(client.completions.create({ model, prompt: "a" }), { status: 404, code: "endpoint.not_served" });
console.log("PASS embeddings.errors");
