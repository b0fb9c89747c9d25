/**
 * `decrypt.mjs`, which every encrypted repository contains. With only Node and the opened key files it turns the repository, or one backup of it, into
 * what a clear repository would hold; all other pages on restoring by hand start from that. It is a second implementation of the format and shares no code
 * with Holdfast, so that each finds mistakes of the other (test/repository/encryption/without-holdfast.test.ts).
 */
export const DECRYPT_PROGRAM = String.raw`// Decrypts a Holdfast repository of format 2. Needs Node 18 or newer, and no packages.
//
//   node decrypt.mjs REPOSITORY KEYS OUT [PREFIX]
//
// REPOSITORY  a folder with the repository's objects (download a bucket first)
// KEYS        a file with what "age -d -i identity.txt" printed of each keys/*.age
// OUT         the folder to write to
// PREFIX      only names that start with this, e.g. backups/orders/20261130T020000Z-abcdef/
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

const [repository, keysFile, out, prefix = ''] = process.argv.slice(2);
if (out === undefined) {
  console.error('usage: node decrypt.mjs REPOSITORY KEYS OUT [PREFIX]');
  process.exit(2);
}

const keys = new Map();
for (const line of readFileSync(keysFile, 'utf8').split('\n')) {
  const match = /^holdfast-key-1 (?:metadata|data) ([0-9a-f]{32}) ([0-9a-f]{64})$/.exec(line);
  if (match) keys.set(match[1], Buffer.from(match[2], 'hex'));
}
const about = JSON.parse(readFileSync(path.join(repository, 'repository.json'), 'utf8'));
const metadataKey = keys.get(about.encryption.metadataKey);
if (metadataKey === undefined) {
  console.error('KEYS does not hold the metadata key ' + about.encryption.metadataKey);
  process.exit(1);
}

// Names: hashes of 12, 16 or 64 hex digits are permuted by ten rounds of a Feistel network with CBC-MAC by AES-256.
const namesKey = Buffer.from(hkdfSync('sha256', metadataKey, '', 'holdfast-2 names', 32));
function aes(block) {
  return createCipheriv('aes-256-ecb', namesKey, null).setAutoPadding(false).update(block);
}
function unpermuted(hash) {
  const bytes = Buffer.from(hash, 'hex');
  const half = bytes.length / 2;
  let left = bytes.subarray(0, half);
  let right = bytes.subarray(half);
  for (let round = 9; round >= 0; round--) {
    const block = aes(Buffer.from([round, half, ...new Array(14).fill(0)]));
    left.forEach((byte, at) => { block[at] ^= byte; });
    const mask = aes(block);
    [left, right] = [Buffer.from(right.map((byte, at) => byte ^ mask[at])), left];
  }
  return Buffer.concat([left, right]).toString('hex');
}
function nameOf(stored) {
  const hashes = /(?<![0-9A-Za-z])(?:[0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{12})(?![0-9A-Za-z])/g;
  return stored
    .replace(hashes, unpermuted)
    .replace(/^objects\/[0-9a-f]{2}\/(?=([0-9a-f]{2})[0-9a-f]{62}(?![0-9A-Za-z]))/, 'objects/$1/');
}

// Objects: a header of 64 bytes, age's STREAM (ChaCha20-Poly1305, chunks of 64 KiB), a trailer of 112 bytes.
const CHUNK = 65536 + 16;
function decrypted(bytes, name) {
  if (bytes.toString('latin1', 0, 8) !== 'HLDFAST2') throw new Error('it is not an encrypted object');
  const keyId = bytes.toString('hex', 8, 24);
  const key = keys.get(keyId);
  if (key === undefined) throw new Error('KEYS does not hold its key ' + keyId);
  const salt = bytes.subarray(24, 56);
  const size = Number(bytes.readBigUInt64BE(56));
  const info = 'holdfast-2 body\n' + about.id + '\n' + name;
  const bodyKey = Buffer.from(hkdfSync('sha256', key, salt, info, 32));
  const stream = bytes.subarray(64, bytes.length - 112);
  const chunks = Math.max(1, Math.ceil(stream.length / CHUNK));
  const parts = [];
  for (let chunk = 0; chunk < chunks; chunk++) {
    const sealed = stream.subarray(chunk * CHUNK, (chunk + 1) * CHUNK);
    const nonce = Buffer.alloc(12);
    nonce.writeUIntBE(chunk, 5, 6);
    nonce[11] = chunk === chunks - 1 ? 1 : 0;
    const cipher = createDecipheriv('chacha20-poly1305', bodyKey, nonce, { authTagLength: 16 });
    cipher.setAuthTag(sealed.subarray(sealed.length - 16));
    parts.push(cipher.update(sealed.subarray(0, sealed.length - 16)));
    cipher.final();
  }
  const text = Buffer.concat(parts);
  if (text.length !== size) throw new Error('it has ' + text.length + ' bytes instead of ' + size);
  return text;
}

const CLEAR = /^(?:keys\/|doctor\/|\.holdfast-tmp\/|RESTORE\.md$|decrypt\.mjs$|repository\.json$)/;
let written = 0;
let failed = 0;
for (const entry of readdirSync(repository, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const file = path.join(entry.parentPath ?? entry.path, entry.name);
  const stored = path.relative(repository, file).split(path.sep).join('/');
  const name = nameOf(stored);
  if (CLEAR.test(stored) || !name.startsWith(prefix)) continue;
  try {
    const text = decrypted(readFileSync(file), name);
    const target = path.join(out, ...name.split('/'));
    mkdirSync(path.dirname(target), { recursive: true });
    writeFileSync(target, text);
    written++;
  } catch (error) {
    failed++;
    console.error(stored + ' (' + name + '): ' + error.message);
  }
}
console.log(written + ' objects decrypted' + (failed === 0 ? '' : ', ' + failed + ' failed'));
process.exitCode = failed === 0 && written > 0 ? 0 : 1;
`;
