// Requests in EHBP, sealed and opened by its own client, paid as docs/protocol.md §5 says.
//
// usage: node ehbp.mjs PORT SPKI_SHA256 HPKE_KEY < requests.json
//
// Reads a list of {path, body, sign: {seed, tab, idempotency}?, spoil: {flip?, cut?, append?, key?, repeat?}?}; prints a list of
// {status, sealed, receiptId, text, receipt}. The connection's key must have that digest. `spoil` changes what is sent: a byte, the
// length, more bytes, the encapsulated key, or that key twice.

import assert from "node:assert/strict";
import crypto from "node:crypto";
import https from "node:https";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { Identity, computeNonce, deriveResponseKeys, hexToBytes } from "ehbp";

const [port, spki, hpkeKey] = process.argv.slice(2);
const identity = await Identity.fromPublicKeyHex(hpkeKey);
const RECEIPT = "cloister-receipt";

function post(path, headers, body) {
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, method: "POST", headers, rejectUnauthorized: false, agent: false };
    const request = https.request(options, resolve).on("error", reject);
    request.on("socket", (socket) => socket.on("secureConnect", () => {
      const key = socket.getPeerX509Certificate().publicKey.export({ type: "spki", format: "der" });
      if (crypto.createHash("sha256").update(key).digest("hex") !== spki) socket.destroy(new Error("another key"));
      else request.end(body);
    }));
  });
}

/** RFC 9421 over the content as it is sent: sealed. */
function signature({ seed, tab, idempotency }, path, content) {
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.from(seed, "hex")]);
  const key = crypto.createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" });
  const keyid = crypto.createPublicKey(key).export({ type: "spki", format: "der" }).subarray(-32).toString("hex");
  const digest = `sha-256=:${crypto.createHash("sha256").update(content).digest("base64")}:`;
  const created = Math.floor(Date.now() / 1000);
  const params = `("@method" "@path" "cloister-tab" "idempotency-key" "content-digest");created=${created};keyid="${keyid}";alg="ed25519"`;
  const fields = { "cloister-tab": tab, "idempotency-key": idempotency, "content-digest": digest };
  const lines = ['"@method": POST', `"@path": ${path}`, ...Object.entries(fields).map(([name, value]) => `"${name}": ${value}`)];
  const base = [...lines, `"@signature-params": ${params}`].join("\n");
  const signed = crypto.sign(null, Buffer.from(base), key).toString("base64");
  return { ...fields, "signature-input": `cloister=${params}`, signature: `cloister=:${signed}:` };
}

/** The trailer is one more frame, with its own name as associated data. */
async function receipt(sealed, frames, context, nonce) {
  const secret = await context.senderContext.Export(new TextEncoder().encode("ehbp response"), 32);
  const keys = await deriveResponseKeys(secret, context.requestEnc, hexToBytes(nonce));
  const bytes = Buffer.from(sealed, "base64");
  const opener = crypto.createDecipheriv("aes-256-gcm", keys.keyBytes, computeNonce(keys.nonceBase, frames));
  opener.setAAD(Buffer.from(RECEIPT)).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([opener.update(bytes.subarray(0, -16)), opener.final()]).toString();
}

function frameCount(body) {
  let frames = 0;
  for (let at = 0; at < body.length; at += 4 + body.readUInt32BE(at)) frames += 1;
  return frames;
}

async function ask({ path, body, sign, spoil = {} }) {
  const request = new Request(`https://node.invalid${path}`, { method: "POST", body, headers: { "content-type": "application/json" } });
  const { request: sealed, context } = await identity.encryptRequestWithContext(request);
  let content = Buffer.from(await sealed.arrayBuffer());
  if (spoil.flip !== undefined) content[spoil.flip] ^= 1;
  if (spoil.cut !== undefined) content = content.subarray(0, spoil.cut);
  if (spoil.append !== undefined) content = Buffer.concat([content, Buffer.from(spoil.append, "hex")]);
  let key = spoil.key ?? sealed.headers.get("ehbp-encapsulated-key");
  if (spoil.repeat) key = [key, key];
  const payment = sign ? signature(sign, path, content) : {};
  const headers = { "content-type": "application/json", te: "trailers", "ehbp-encapsulated-key": key };
  const answer = await post(path, { ...headers, ...payment }, content);
  const nonce = answer.headers["ehbp-response-nonce"];
  const said = { status: answer.statusCode, sealed: nonce !== undefined, receiptId: answer.headers["x-receipt-id"] };
  if (!said.sealed) return { ...said, text: await text(answer) };
  const chunks = [];
  for await (const chunk of answer) chunks.push(chunk);
  const whole = Buffer.concat(chunks);
  const response = new Response(Readable.toWeb(Readable.from([whole])), { status: 200, headers: { "ehbp-response-nonce": nonce } });
  said.text = await (await identity.decryptResponseWithContext(response, context)).text();
  const trailer = answer.trailers[RECEIPT];
  if (trailer) said.receipt = await receipt(trailer, frameCount(whole), context, nonce);
  return said;
}

const requests = JSON.parse(await text(process.stdin));
assert.ok(Array.isArray(requests));
const answers = [];
for (const request of requests) answers.push(await ask(request));
console.log(JSON.stringify(answers));
