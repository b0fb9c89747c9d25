import { execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { newSigningKey, readSigningKey } from '../../../repository/signing/ssh-key.ts';
import { checkSignature, parsePublicKey, signMessage } from '../../../repository/signing/ssh-signature.ts';

/* Signatures and key files against the real ssh-keygen, both ways. */

const run = promisify(execFile);
const NAMESPACE = 'holdfast:backups/orders/one/manifest.json';
const MESSAGE = Buffer.from('what was signed\n');

/** Every Debian with OpenSSH's client has it; where it isn't, these tests are skipped and say so. */
async function hasSshKeygen(): Promise<boolean> {
  try {
    // It has no --version; without arguments for -l it fails after it started.
    await run('ssh-keygen', ['-l', '-f', '/dev/null']);
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}

let scratch: ScratchFolder;
let isThere: boolean;
beforeAll(async () => {
  scratch = await createScratchFolder('ssh-signature');
  isThere = await hasSshKeygen();
  if (!isThere) console.warn('ssh-keygen is not installed here: nothing is compared with it');
});
afterAll(() => scratch.remove());

/** Exit code and output of `ssh-keygen -Y verify`. */
async function verifyBySsh(
  publicLine: string,
  signature: string,
  message: Uint8Array,
  namespace = NAMESPACE,
) {
  const allowed = path.join(scratch.path, 'allowed');
  const file = path.join(scratch.path, 'message.sig');
  await writeFile(allowed, `holdfast ${publicLine}\n`);
  await writeFile(file, signature);
  const child = spawn(
    'ssh-keygen',
    ['-Y', 'verify', '-f', allowed, '-I', 'holdfast', '-n', namespace, '-s', file],
    {
      stdio: ['pipe', 'ignore', 'ignore'],
    },
  );
  child.stdin.end(message);
  return new Promise<number | null>((resolve) => child.once('close', resolve));
}

test('ssh-keygen verifies what we sign, and refuses other contents, another key and another namespace', async () => {
  if (!isThere) return;
  const { file, publicLine } = newSigningKey('backup-1');
  const signature = signMessage(readSigningKey(file, 'here'), NAMESPACE, MESSAGE);
  expect(await verifyBySsh(publicLine, signature, MESSAGE)).toBe(0);
  expect(await verifyBySsh(publicLine, signature, Buffer.from('something else'))).not.toBe(0);
  expect(await verifyBySsh(newSigningKey('other').publicLine, signature, MESSAGE)).not.toBe(0);
  expect(await verifyBySsh(publicLine, signature, MESSAGE, 'holdfast:repository.json')).not.toBe(0);
});

test('we verify what ssh-keygen signs, by a key that it made; and it reads the keys that we make', async () => {
  if (!isThere) return;
  const key = path.join(scratch.path, 'theirs');
  const message = path.join(scratch.path, 'theirs-message');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'theirs', '-f', key]);
  await writeFile(message, MESSAGE);
  await run('ssh-keygen', ['-q', '-Y', 'sign', '-f', key, '-n', NAMESPACE, message]);
  const signature = await readFile(`${message}.sig`, 'utf8');
  const publicLine = await readFile(`${key}.pub`, 'utf8');
  const check = checkSignature(signature, NAMESPACE, MESSAGE);
  expect(check).toMatchObject({
    isValid: true,
    signer: { fingerprint: parsePublicKey(publicLine)?.fingerprint },
  });
  const theirs = readSigningKey(await readFile(key, 'utf8'), key);
  expect(theirs.public.fingerprint).toBe(parsePublicKey(publicLine)?.fingerprint);
  // Ed25519 leaves nothing to chance: both sign with the same bytes.
  expect(signMessage(theirs, NAMESPACE, MESSAGE).replaceAll('\n', '')).toBe(signature.replaceAll('\n', ''));

  const ours = path.join(scratch.path, 'ours');
  const made = newSigningKey('ours');
  await writeFile(ours, made.file, { mode: 0o600 });
  const { stdout } = await run('ssh-keygen', ['-y', '-f', ours]);
  expect(stdout.trim()).toBe(made.publicLine);
  const { stdout: listed } = await run('ssh-keygen', ['-l', '-f', ours]);
  expect(listed).toContain(parsePublicKey(made.publicLine)?.fingerprint);
});

test('a key with a passphrase, another kind of key and no key are refused by name, without their text', async () => {
  if (!isThere) return;
  const locked = path.join(scratch.path, 'locked');
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'a passphrase', '-f', locked]);
  const rsa = path.join(scratch.path, 'rsa');
  await run('ssh-keygen', ['-q', '-t', 'ecdsa', '-N', '', '-f', rsa]);
  const text = await readFile(locked, 'utf8');
  expect(() => readSigningKey(text, locked)).toThrow(/passphrase/);
  const other = await readFile(rsa, 'utf8');
  expect(() => readSigningKey(other, rsa)).toThrow(/ssh-ed25519/);
  expect(() => readSigningKey('nonsense', 'here')).toThrow(/no key file of OpenSSH/);
});

test('a signature holds for its own bytes, namespace and signer alone, whatever byte of it is changed', () => {
  const { file } = newSigningKey('backup-1');
  const key = readSigningKey(file, 'here');
  const signature = signMessage(key, NAMESPACE, MESSAGE);
  expect(checkSignature(signature, NAMESPACE, MESSAGE)).toMatchObject({ isValid: true });
  expect(checkSignature(signature, 'holdfast:other', MESSAGE)).toMatchObject({ isValid: false });
  const [begin, ...rest] = signature.trim().split('\n');
  const end = rest.pop();
  const blob = Buffer.from(rest.join(''), 'base64');
  for (let at = 0; at < blob.length; at++) {
    const changed = Buffer.from(blob);
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
    const text = `${begin}\n${changed.toString('base64')}\n${end}\n`;
    const check = checkSignature(text, NAMESPACE, MESSAGE);
    expect(check.isValid && check.signer.fingerprint === key.public.fingerprint).toBe(false);
  }
});
