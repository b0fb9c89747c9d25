import { execFileSync } from 'node:child_process';
import { createHash, hkdfSync, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Decrypter } from 'age-encryption';
import fc from 'fast-check';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { AGE, executableOf } from '../../../parts/tools.ts';
import { verifyBackup } from '../../../repository/backups/verify.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import {
  decodeKeyFile,
  encodeKeyFile,
  keyFileName,
  newKey,
  readIdentities,
} from '../../../repository/encryption/key-files.ts';
import { StoredNames } from '../../../repository/encryption/names.ts';
import { contentBytes, storedBytes } from '../../../repository/encryption/object-frame.ts';
import {
  chunkSpan,
  openChunks,
  sealedStreamBytes,
  sealStream,
} from '../../../repository/encryption/stream.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { SAMPLE, writeSampleBackup } from '../sample-backup.ts';
import { backupSide, newPeople, type People, restoreSide } from './recipients.ts';

describe('with the age of the stock (filippo.io/age)', () => {
  let scratch: ScratchFolder;
  let people: People;
  let age: string;
  let identity: string;
  beforeAll(async () => {
    scratch = await createScratchFolder('age');
    people = await newPeople();
    age = await executableOf(AGE);
    identity = path.join(scratch.path, 'identity');
    await writeFile(identity, `${people.alice.identity}\n`);
  });
  afterAll(() => scratch.remove());

  const ageDecrypts = (file: Uint8Array): Buffer =>
    execFileSync(age, ['-d', '-i', identity], { input: file, maxBuffer: 2 ** 28 });
  const ageEncrypts = (text: Uint8Array): Buffer =>
    execFileSync(age, ['-e', '-r', people.alice.recipient, '-r', people.bob.recipient], {
      input: text,
      maxBuffer: 2 ** 28,
    });

  it('opens the key files that Holdfast writes', async () => {
    const key = newKey('data');
    const file = await encodeKeyFile(key, [people.bob.recipient, people.alice.recipient]);
    expect(ageDecrypts(file).toString()).toBe(
      `holdfast-key-1 data ${key.id} ${Buffer.from(key.secret).toString('hex')}\n`,
    );
  });

  it('writes key files that Holdfast opens', async () => {
    const key = newKey('data');
    const line = `holdfast-key-1 data ${key.id} ${Buffer.from(key.secret).toString('hex')}\n`;
    const identities = await readIdentities(`# comment\n${people.bob.identity}\n`, 'bob');
    await expect(decodeKeyFile(ageEncrypts(Buffer.from(line)), key.id, identities, 'here')).resolves.toEqual({
      key,
      by: people.bob.recipient,
    });
  });

  it.each([0, 1, 65_535, 65_536, 65_537, 3 * 65_536, 1_000_003])(
    'reads and writes the same STREAM of %i bytes as Holdfast',
    async (size) => {
      const text = randomBytes(size);
      // An age file is a header, a nonce of 16 bytes, and the STREAM under a key that is derived from both.
      const file = ageEncrypts(text);
      const lastLine = file.indexOf('\n---');
      const headerEnd = file.indexOf('\n', lastLine + 1) + 1;
      const decrypter = new Decrypter();
      decrypter.addIdentity(people.alice.identity);
      const fileKey = await decrypter.decryptHeader(file.subarray(0, headerEnd));
      const nonce = file.subarray(headerEnd, headerEnd + 16);
      const key = new Uint8Array(hkdfSync('sha256', fileKey, nonce, 'payload', 32));
      const stream = file.subarray(headerEnd + 16);
      expect(stream).toHaveLength(sealedStreamBytes(size));

      const opened = new Uint8Array(size);
      await expect(openChunks(key, stream, { sizeBytes: size, firstChunk: 0 }, opened)).resolves.toBe(true);
      expect(sha256Hex(opened)).toBe(sha256Hex(text));
      const sealed = Buffer.alloc(sealedStreamBytes(size));
      await sealStream(key, text, sealed);
      expect(createHash('sha256').update(sealed).digest('hex')).toBe(sha256Hex(stream));
      expect(ageDecrypts(Buffer.concat([file.subarray(0, headerEnd + 16), sealed])).equals(text)).toBe(true);
    },
  );

  it('and decrypt.mjs, which shares no code with Holdfast, a repository becomes a clear one, verified byte for byte', async () => {
    const from = path.join(scratch.path, 'repository');
    const to = path.join(scratch.path, 'clear');
    await mkdir(from);
    await writeSampleBackup(backupSide(new DirectoryStore(from), people));
    const keys = (
      await Array.fromAsync(new DirectoryStore(from).list('keys/'), async ({ key }) =>
        ageDecrypts(await readFile(path.join(from, key))).toString(),
      )
    ).join('');
    const keysFile = path.join(scratch.path, 'keys.txt');
    await writeFile(keysFile, keys);
    execFileSync(process.execPath, [path.join(from, 'decrypt.mjs'), from, keysFile, to]);
    const report = await verifyBackup(new DirectoryStore(to), SAMPLE, 'content');
    expect(report).toMatchObject({ verdict: 'OK', problems: [] });
    expect(report.checkedObjects).toBeGreaterThan(5);
    const same = await verifyBackup(restoreSide(new DirectoryStore(from), people), SAMPLE, 'content');
    expect(same.checkedBytes).toBe(report.checkedBytes);
    // A key that is missing is named, and the exit code tells.
    await writeFile(
      keysFile,
      keys
        .split('\n')
        .filter((line) => !line.includes(' data '))
        .join('\n'),
    );
    expect(() =>
      execFileSync(process.execPath, [path.join(from, 'decrypt.mjs'), from, keysFile, to], { stdio: 'pipe' }),
    ).toThrow(/KEYS does not hold its key/);
  });

  it('calls a key file damaged that holds the key of another', async () => {
    const [one, other] = [newKey('data'), newKey('data')];
    const identities = await readIdentities(people.alice.identity, 'alice');
    const file = await encodeKeyFile(one, [people.alice.recipient]);
    const reading = decodeKeyFile(file, other.id, identities, 'here');
    await expect(reading).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(reading).rejects.toThrow(keyFileName(other.id));
    const cut = decodeKeyFile(file.subarray(0, 100), one.id, identities, 'here');
    await expect(cut).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
  });

  it('never shows what stands in an identity file that is none', async () => {
    const reading = readIdentities('AGE-SECRET-KEY-1NOTAKEY', '/etc/holdfast/identity');
    await expect(reading).rejects.toMatchObject({ code: 'ENCRYPTION_BAD_IDENTITY' });
    await expect(reading).rejects.not.toThrow('NOTAKEY');
  });
});

test('the size of contents follows from the stored size, for every size, and no other size is taken for one', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(1_000_000),
        fc.nat(40).map((n) => n * 65_536),
        fc.nat(2 ** 40),
      ),
      (size) => {
        expect(contentBytes(storedBytes(size))).toBe(size);
        for (const around of [-1, 1, 15, 16]) {
          const found = contentBytes(storedBytes(size) + around);
          if (found !== undefined) expect(storedBytes(found)).toBe(storedBytes(size) + around);
        }
      },
    ),
  );
});

test('a span of chunks holds what was asked for, and nothing beyond the end', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 400_000 }), fc.nat(), fc.nat(), (size, one, other) => {
      const start = one % size;
      const end = start + 1 + (other % (size - start));
      const span = chunkSpan(size, start, end);
      expect(span.offset).toBeLessThanOrEqual(start);
      expect(span.offset + span.contentBytes).toBeGreaterThanOrEqual(end);
      expect(span.sealed.end).toBeLessThanOrEqual(sealedStreamBytes(size));
      const chunks = Math.ceil(span.contentBytes / 65_536);
      expect(span.sealed.end - span.sealed.start).toBe(span.contentBytes + chunks * 16);
    }),
  );
});

test('names are read back, keep their shape, and differ from key to key', () => {
  const [names, others] = [new StoredNames(randomBytes(32)), new StoredNames(randomBytes(32))];
  const hex = (digits: number) =>
    fc
      .array(fc.constantFrom(...'0123456789abcdef'), { minLength: digits, maxLength: digits })
      .map((all) => all.join(''));
  const part = fc.oneof(
    hex(12),
    hex(16),
    hex(64),
    hex(8),
    fc.constantFrom('data', 'e1', 't0', '20261130T020000Z'),
  );
  const key = fc
    .array(fc.tuple(part, fc.constantFrom('-', '/', '.')), { minLength: 1, maxLength: 6 })
    .map((parts) => `${parts.flat().join('')}end`);
  fc.assert(
    fc.property(
      fc.oneof(
        key,
        hex(64).map((hash) => `objects/${hash.slice(0, 2)}/${hash}`),
      ),
      (name) => {
        const stored = names.toStored(name);
        expect(names.fromStored(stored)).toBe(name);
        expect(stored).toHaveLength(name.length);
        expect(
          name.startsWith(name.slice(0, 7)) && stored.startsWith(names.storedPrefix(name.slice(0, 7))),
        ).toBe(true);
        if (/(?<![0-9a-z])(?:[0-9a-f]{16}|[0-9a-f]{64})(?![0-9a-z])/.test(name)) {
          expect(stored).not.toBe(name);
          expect(others.toStored(name)).not.toBe(stored);
        }
      },
    ),
  );
});
