// Compiles Solidity files by the pinned compiler, offline. Usage: compile.mjs OUTPUT FOLDER FILE…, files named from the folder.
// Writes {"Contract": {"creation": hex, "runtime": hex, "methods": {"name(types)": selector}}} of every contract; a warning fails it.
import { createRequire } from 'node:module';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const solc = createRequire(import.meta.url)('solc');
const [output, folder, ...files] = process.argv.slice(2);
const sources = Object.fromEntries(files.map((file) => [file, { content: readFileSync(join(folder, file), 'utf8') }]));
const input = {
  language: 'Solidity',
  sources,
  settings: {
    // Cancun for transient storage. No metadata: same text, same bytes.
    evmVersion: 'cancun',
    viaIR: true,
    optimizer: { enabled: true, runs: 1000000 },
    metadata: { bytecodeHash: 'none', appendCBOR: false },
    outputSelection: { '*': { '*': ['evm.bytecode.object', 'evm.deployedBytecode.object', 'evm.methodIdentifiers'] } },
  },
};
const result = JSON.parse(solc.compile(JSON.stringify(input)));
const complaints = result.errors ?? [];
if (complaints.length > 0) {
  console.error(complaints.map((complaint) => complaint.formattedMessage).join('\n'));
  process.exit(1);
}
const compiled = {};
for (const contracts of Object.values(result.contracts)) {
  for (const [name, { evm }] of Object.entries(contracts)) {
    const methods = evm.methodIdentifiers ?? {};
    compiled[name] = { creation: evm.bytecode.object, runtime: evm.deployedBytecode.object, methods };
  }
}
writeFileSync(`${output}.new`, JSON.stringify(compiled));
renameSync(`${output}.new`, output);
