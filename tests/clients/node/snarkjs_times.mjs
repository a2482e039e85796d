// Times snarkjs's Groth16 as it is, beside our own in the same run.
//
// usage: node snarkjs_times.mjs ZKEY WTNS single|all
//
// For each line `prove` or `verify` on its input it does so once and prints {wall, processor} in milliseconds. `verify` verifies the
// newest proof. With `single` proofs are made on one thread, for which snarkjs builds its curve anew each time; with `all` it has a thread
// for each processor. Verification takes no options and always has them.

import readline from "node:readline";
import * as snarkjs from "snarkjs";

const [key, values, mode] = process.argv.slice(2);
const options = mode === "single" ? { singleThread: true } : undefined;
const verificationKey = await snarkjs.zKey.exportVerificationKey(key);
let newest;

const calls = {
  prove: async () => { newest = await snarkjs.groth16.prove(key, values, undefined, options); },
  verify: async () => {
    if (!(await snarkjs.groth16.verify(verificationKey, newest.publicSignals, newest.proof))) throw new Error("no proof");
  },
};

for await (const line of readline.createInterface({ input: process.stdin })) {
  const began = performance.now();
  const processor = process.cpuUsage();
  await calls[line]();
  const { user, system } = process.cpuUsage(processor);
  console.log(JSON.stringify({ wall: performance.now() - began, processor: (user + system) / 1000 }));
}
process.exit(0);
