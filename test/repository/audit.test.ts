import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readAudit, recordAct } from '../../repository/audit.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import { auditKey } from '../../repository/layout.ts';
import { openSealedJson, sealJson } from '../../repository/sealed-json.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { PutOptions } from '../../repository/store.ts';
import { newSigner, signedStore } from './signing/signers.ts';

const PLAN = 'orders';
const ACT = { action: 'hold', by: 'alice@office', subject: 'b1', reason: 'case 4711' } as const;

let scratch: ScratchFolder;
let folders = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('audit');
});
afterAll(() => scratch.remove());

async function newRaw(): Promise<{ readonly raw: DirectoryStore; fileOf(number: number): string }> {
  const folder = path.join(scratch.path, String(++folders));
  await mkdir(folder);
  return {
    raw: new DirectoryStore(folder),
    fileOf: (number) => path.join(folder, auditKey(PLAN, number)),
  };
}

test('entries are kept in order, with who, what and why, and each names the one before', async () => {
  const { raw, fileOf } = await newRaw();
  expect(await readAudit(raw, PLAN)).toEqual({ entries: [], problems: [] });
  await recordAct(raw, PLAN, ACT);
  await recordAct(raw, PLAN, { action: 'release', by: 'bob@office' });
  await recordAct(raw, 'other', ACT);
  const { entries, problems, head } = await readAudit(raw, PLAN);
  expect(problems).toEqual([]);
  const first = sha256Hex(await readFile(fileOf(1)));
  expect(entries).toMatchObject([
    { number: 1, plan: PLAN, ...ACT },
    { number: 2, plan: PLAN, action: 'release', by: 'bob@office', before: first },
  ]);
  expect(entries[0]).not.toHaveProperty('before');
  expect(head).toEqual({ number: 2, sha256: sha256Hex(await readFile(fileOf(2))) });
});

test('of writers at once none is lost, and the chain is whole', async () => {
  const { raw } = await newRaw();
  const who = Array.from({ length: 6 }, (_, index) => `writer-${index}`);
  await Promise.all(who.map((by) => recordAct(raw, PLAN, { action: 'pause', by })));
  const { entries, problems } = await readAudit(raw, PLAN);
  expect(problems).toEqual([]);
  expect(entries.map(({ by }) => by).sort()).toEqual(who);
});

test('an entry whose answer was lost is there once: the store says of it that somebody else was first', async () => {
  const { raw } = await newRaw();
  class Losing extends ForwardingStore {
    override async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
      await this.store.put(key, body, options);
      return 'exists';
    }
  }
  const signer = newSigner();
  for (const store of [new Losing(raw), signedStore(new Losing(raw), signer, [signer])]) {
    const before = (await readAudit(raw, PLAN)).entries.length;
    await expect(recordAct(store, PLAN, ACT)).resolves.toMatchObject({ number: before + 1, ...ACT });
    expect((await readAudit(raw, PLAN)).entries).toHaveLength(before + 1);
  }
});

describe('what was changed is found', () => {
  async function three() {
    const { raw, fileOf } = await newRaw();
    for (const by of ['a', 'b', 'c']) await recordAct(raw, PLAN, { ...ACT, by });
    return { raw, fileOf };
  }

  test('an entry that was rewritten, seal and all', async () => {
    const { raw, fileOf } = await three();
    const entry = openSealedJson(await readFile(fileOf(2)), z.looseObject({}), 'entry 2');
    const { sha256: _, ...rest } = entry;
    await writeFile(fileOf(2), sealJson({ ...rest, by: 'mallory' }));
    expect((await readAudit(raw, PLAN)).problems).toEqual([
      expect.stringContaining('Entry 3 does not follow the entry before it'),
    ]);
  });

  test('an entry that was taken out, and the first one', async () => {
    const { raw, fileOf } = await three();
    await rm(fileOf(2));
    expect((await readAudit(raw, PLAN)).problems).toEqual(['An entry is missing before entry 3.']);
    await rm(fileOf(1));
    expect((await readAudit(raw, PLAN)).problems).toEqual(['2 entries are missing before entry 3.']);
  });

  test('a flipped byte; and the log goes on behind it', async () => {
    const { raw, fileOf } = await three();
    const bytes = await readFile(fileOf(3));
    bytes[40] = (bytes[40] ?? 0) ^ 1;
    await writeFile(fileOf(3), bytes);
    await recordAct(raw, PLAN, { ...ACT, by: 'd' });
    const { entries, problems } = await readAudit(raw, PLAN);
    expect(entries.map(({ by }) => by)).toEqual(['a', 'b', 'd']);
    expect(problems).toEqual([expect.stringContaining('Entry 3: ')]);
  });

  test('an entry of another number or plan', async () => {
    const { raw, fileOf } = await three();
    await writeFile(fileOf(4), await readFile(fileOf(3)));
    expect((await readAudit(raw, PLAN)).problems).toEqual([
      'Entry 4 is that of another place: number 3 of plan orders.',
    ]);
  });
});

test('in a signed repository an entry that no trusted key signed is found, and one signs or does not write', async () => {
  const { raw } = await newRaw();
  const alice = newSigner('alice');
  const signed = signedStore(raw, alice, [alice]);
  await recordAct(signed, PLAN, ACT);
  expect((await readAudit(signed, PLAN)).problems).toEqual([]);
  await recordAct(raw, PLAN, { ...ACT, by: 'mallory' });
  const { problems } = await readAudit(signed, PLAN);
  expect(problems).toEqual([expect.stringContaining('Entry 2: ')]);
  await expect(recordAct(signedStore(raw, undefined, [alice]), PLAN, ACT)).rejects.toMatchObject({
    transient: false,
  });
  await recordAct(signed, PLAN, { ...ACT, by: 'alice' });
  // The signed chain goes on over what was put in between.
  expect((await readAudit(signed, PLAN)).entries.map(({ by }) => by)).toEqual(['alice@office', 'alice']);
});
