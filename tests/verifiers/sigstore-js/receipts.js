// Checks the receipts of a saved log with @sigstore/verify, which npm uses for the provenance of packages: the log's signature under
// the checkpoint, and the way from the leaf to its root. It knows neither witnesses nor consistency; the Go program next door does.
//
//   NODE_PATH=.../node_modules node receipts.js DIR
//
// The two functions are not exported by the package, so its version is pinned.
'use strict';

const { createPublicKey } = require('node:crypto');
const { readFileSync, readdirSync } = require('node:fs');
const { dirname, join } = require('node:path');

const home = join(dirname(require.resolve('@sigstore/verify/package.json')), 'dist', 'tlog');
const { verifyCheckpoint } = require(join(home, 'checkpoint.js'));
const { verifyMerkleInclusion } = require(join(home, 'merkle.js'));

const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

class Refused extends Error {}

/** The logs of a trust file, as the package wants them: the name, the key, and the key's id at the head of 32 bytes. */
function trustedLogs(text) {
  const logs = [];
  for (const line of text.split('\n')) {
    const [word, key] = line.split(/[ \t]+/);
    if (word !== 'log') continue;
    const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)$/.exec(key);
    const bytes = match && Buffer.from(match[3], 'base64');
    if (!match || bytes.length !== 33 || bytes[0] !== 0x01) throw new Refused('a log key that is not Ed25519');
    const spki = Buffer.concat([ED25519_SPKI_PREFIX, bytes.subarray(1)]);
    logs.push({
      baseURL: match[1],
      logID: Buffer.concat([Buffer.from(match[2], 'hex')], 32),
      publicKey: createPublicKey({ key: spki, format: 'der', type: 'spki' }),
    });
  }
  return logs;
}

/** A receipt in the package's words. */
function parseReceipt(text, leaf) {
  const border = text.indexOf('\n\n');
  const [magic, ...rest] = text.slice(0, Math.max(border, 0)).split('\n');
  if (magic !== 'c2sp.org/tlog-proof@v1') throw new Refused('not a receipt');
  if (rest.length && rest[0].startsWith('extra ')) {
    if (!Buffer.from(rest.shift().slice(6), 'base64').equals(leaf)) throw new Refused('it came with another leaf');
  }
  const index = /^index (0|[1-9][0-9]{0,14})$/.exec(rest.shift() ?? '');
  if (!index) throw new Refused('no index');
  const hashes = rest.map((line) => Buffer.from(line, 'base64'));
  if (hashes.some((hash) => hash.length !== 32)) throw new Refused('a hash that is none');
  return {
    canonicalizedBody: leaf,
    inclusionProof: { logIndex: index[1], hashes, checkpoint: { envelope: text.slice(border + 2) } },
  };
}

function check(entry, logs) {
  const checkpoint = verifyCheckpoint(entry, logs);
  // The package takes any key it was given; here the key must be that of the origin in the first line.
  if (!logs.some((log) => log.baseURL === checkpoint.origin)) throw new Refused('a checkpoint of an unknown log');
  verifyMerkleInclusion(entry, checkpoint);
}

/** Nothing is worth checking by a check that cannot fail. */
function mustRefuse(entry, logs, what) {
  try {
    check(entry, logs);
  } catch {
    return;
  }
  throw new Refused(`the check accepts ${what}`);
}

function main(dir) {
  const logs = trustedLogs(readFileSync(join(dir, 'policy'), 'utf8'));
  const names = readdirSync(join(dir, 'receipts')).filter((name) => name.endsWith('.tlog-proof'));
  if (!names.length) throw new Refused('no receipts');
  for (const name of names) {
    const file = join(dir, 'receipts', name);
    try {
      const leaf = readFileSync(file.replace(/tlog-proof$/, 'leaf'));
      const entry = parseReceipt(readFileSync(file, 'utf8'), leaf);
      check(entry, logs);
      const other = { ...entry, canonicalizedBody: Buffer.concat([leaf, Buffer.from('\n')]) };
      mustRefuse(other, logs, 'another leaf');
      mustRefuse(entry, [], 'a log that nobody trusts');
    } catch (error) {
      throw new Refused(`${name}: ${error.message}`);
    }
  }
  console.log(`${names.length} receipts are good\nOK`);
}

try {
  main(process.argv[2]);
} catch (error) {
  console.error(`REFUSED: ${error.message}`);
  process.exitCode = 1;
}
