import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import * as fc from 'fast-check';
import { ChunkStore } from '../../engines/data-objects.ts';
import type { BackupContext } from '../../engines/engine.ts';
import { rowEngine } from '../../engines/row-engine.ts';
import { ysqlEngine } from '../../engines/ysql/engine.ts';
import type { BackupSummary, DataObject } from '../../model/backup.ts';
import { defined } from '../../model/defined.ts';
import { HoldfastError } from '../../model/errors.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';
import { readData } from '../../repository/backups/data-pieces.ts';
import { listBackups } from '../../repository/backups/list-backups.ts';
import { readDataObjects, readManifest } from '../../repository/backups/manifest.ts';
import { readSharedObjects } from '../../repository/backups/shared-objects.ts';
import { verifyBackup } from '../../repository/backups/verify.ts';
import { compressFrame } from '../../repository/backups/zstd-frames.ts';
import { copyBackup } from '../../repository/copy.ts';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { backupFolder, OBJECTS_FOLDER } from '../../repository/layout.ts';
import { sweepObjects } from '../../repository/objects/sweep-objects.ts';
import { ensureRepository } from '../../repository/repository.ts';
import { removeOrphans } from '../../repository/retention/sweep.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import type { Store } from '../../repository/store.ts';
import { backupContext } from '../support/engine-runs.ts';
import { wholeBackup } from '../support/whole-backup.ts';
import { ysqlSource } from '../ysql/harness.ts';
import { crashingAt, pausingAt } from './failing-store.ts';
import { deleteBackup } from './sample-tablets.ts';

/** In the future: everything is older. */
const NO_GRACE_MS = -60_000;
const PLAN = 'shop';

/** What a table holds, chunk by chunk: equal numbers are equal rows, whichever table has them. */
type Tables = readonly (readonly number[])[];

interface Rows {
  readonly body: Buffer;
  readonly sha256: string;
  readonly rows: number;
  readonly bytes: number;
}

const made = new Map<number, Rows>();

/** The rows of a version. Every ninth is larger than what a pack takes. */
function rowsOf(version: number): Rows {
  const known = made.get(version);
  if (known !== undefined) return known;
  const rows = version % 9 === 0 ? 30_000 : 1 + (version % 5);
  const lines = Array.from({ length: rows }, (_, row) =>
    createHash('sha256').update(`${version} ${row}`).digest('hex'),
  );
  const text = Buffer.from(lines.map((line) => `${line}\n`).join(''));
  const body = Buffer.from(compressFrame(text, 1));
  const result = { body, sha256: sha256Hex(body), rows, bytes: text.length };
  made.set(version, result);
  return result;
}

/** The engine `ysql`, but that its tables are these. */
function engineOf(tables: Tables) {
  const table = (index: number) => ({ database: 'd', schema: 's', table: `t${index}` });
  return rowEngine<YsqlSource>({
    ...ysqlEngine,
    openReadPoint: async (_verb, _source, epoch) => ({
      readPoint: {
        kind: 'yb-read-time',
        epoch: epoch > 0 ? 1 : epoch,
        micros: '1',
        takenAt: new Date().toISOString(),
      },
    }),
    export: async () => ({
      server: { product: 'postgresql', version: '15' },
      databases: [
        {
          name: 'd',
          owner: 'o',
          encoding: 'UTF8',
          collate: 'C',
          ctype: 'C',
          schemaObjects: [],
          tables: tables.map((_, index) => ({
            schema: 's',
            table: `t${index}`,
            rows: 0,
            bytes: 0,
            objects: 0,
          })),
        },
      ],
      commonObjects: [],
      chunks: tables.flatMap((versions, index) =>
        versions.map((version, place) => ({
          id: `t${index}-c${place}`,
          table: table(index),
          columns: ['"a"'],
          range: { kind: 'ctid' as const, from: version, to: null },
          estimatedBytes: 30 * 1024 * 1024,
        })),
      ),
    }),
    upload: async (verb, _source, readPoint, chunks) => {
      const objects: DataObject[] = [];
      for (const chunk of chunks) {
        const { body, sha256, rows, bytes } = rowsOf(chunk.range.kind === 'ctid' ? chunk.range.from : 0);
        const place = new ChunkStore(verb, readPoint, chunk, '.copy.zst', defined({ shared: verb.shared }));
        objects.push({ ...(await place.put(body, sha256)), rows, bytes });
      }
      return objects;
    },
    seal: async (_verb, _source, _readPoint, exported) => exported,
  });
}

let scratch: ScratchFolder;
let stores = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('shared-rows');
});
afterAll(() => scratch.remove());

async function emptyStore(): Promise<DirectoryStore> {
  const root = path.join(scratch.path, String(++stores));
  await mkdir(root);
  const store = new DirectoryStore(root);
  await ensureRepository(store);
  return store;
}

function contextOf(store: Store, backup: string, attempt = 1): BackupContext {
  const plain = backupContext(
    { store, path: '/nowhere', remove: async () => undefined },
    { secret: async () => '' },
  );
  const repository = { ...plain.ref.repository, shareRows: true };
  const ref = { repository, plan: PLAN, backup };
  return { ...plain, ref, folder: backupFolder(ref), attempt };
}

/** A backup, tried again as Temporal does it where the failure may pass. */
async function night(store: Store, backup: string, tables: Tables): Promise<BackupSummary> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await wholeBackup(engineOf(tables), contextOf(store, backup, attempt), ysqlSource());
    } catch (error) {
      if (!(error instanceof HoldfastError) || !error.transient || attempt === 5) throw error;
    }
  }
}

async function keysIn(store: Store, folder: string): Promise<string[]> {
  return (await Array.fromAsync(store.list(folder), ({ key }) => key)).sort();
}

/** Each table's chunks as the backup has them. */
async function contentsOf(store: Store, backup: string): Promise<readonly (readonly string[])[]> {
  const manifest = await readManifest(store, { plan: PLAN, backup });
  const tables = new Map<string, string[]>();
  for await (const object of readDataObjects(store, manifest)) {
    const bytes = await readData(store, backupFolder(manifest), object);
    const chunks = tables.get(object.table.table) ?? [];
    tables.set(object.table.table, [...chunks, sha256Hex(bytes)]);
  }
  return manifest.databases.flatMap((database) =>
    database.tables.map(({ table }) => tables.get(table) ?? []),
  );
}

async function expectHolds(store: Store, backup: string, tables: Tables): Promise<void> {
  expect(await contentsOf(store, backup)).toEqual(
    tables.map((versions) => versions.map((version) => rowsOf(version).sha256)),
  );
  const report = await verifyBackup(store, { plan: PLAN, backup }, 'content');
  expect(report).toMatchObject({ verdict: 'OK', problems: [] });
}

const SMALL_TABLES: Tables = [[1, 2], [3], [1]];
const THREE_TABLES: Tables = [[1, 9, 2], [3], [4, 1]];

describe('shared rows', () => {
  it('are stored once, whichever chunks, tables and backups have them', async () => {
    const store = await emptyStore();
    const first = await night(store, 'first', THREE_TABLES);
    const objects = await keysIn(store, OBJECTS_FOLDER);
    expect(first.newBytes).toBeGreaterThan(rowsOf(9).body.length);
    expect(await night(store, 'second', THREE_TABLES)).toMatchObject({
      newBytes: 0,
      storedBytes: expect.any(Number),
    });
    expect(await keysIn(store, OBJECTS_FOLDER)).toEqual(objects);
    expect(await keysIn(store, `backups/${PLAN}/second/data/`)).toEqual([]);
    const third = [...THREE_TABLES.slice(0, 2), [5, 1]];
    expect(await night(store, 'third', third)).toMatchObject({ newBytes: rowsOf(5).body.length });
    await expectHolds(store, 'first', THREE_TABLES);
    await expectHolds(store, 'second', THREE_TABLES);
    await expectHolds(store, 'third', third);
    expect(await readManifest(store, { plan: PLAN, backup: 'third' })).toMatchObject({ formatVersion: 3 });
  });

  it('that all lie in packs make a backup that older versions refuse, too', async () => {
    const store = await emptyStore();
    await night(store, 'first', SMALL_TABLES);
    expect(await readManifest(store, { plan: PLAN, backup: 'first' })).toMatchObject({ formatVersion: 3 });
    for (let sweep = 0; sweep < 3; sweep++)
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    await expectHolds(store, 'first', SMALL_TABLES);
  });

  it('are data objects with names of their own, where their bytes are equal', async () => {
    const store = await emptyStore();
    await night(store, 'first', [[7, 7], [7]]);
    const manifest = await readManifest(store, { plan: PLAN, backup: 'first' });
    const data = await Array.fromAsync(readDataObjects(store, manifest));
    expect(new Set(data.map(({ key }) => key)).size).toBe(1);
    expect(data.map(({ part }) => part)).toEqual(['t0-c0-0', 't0-c1-0', 't1-c0-0']);
    expect(manifest.totals).toMatchObject({ rows: 9, objects: 4 });
    await expectHolds(store, 'first', [[7, 7], [7]]);
  });

  it.each(['exists', 'checksums', 'content'] as const)(
    'are covered by verification with %s',
    async (level) => {
      const store = await emptyStore();
      await night(store, 'first', THREE_TABLES);
      const ref = { plan: PLAN, backup: 'first' };
      await expect(verifyBackup(store, ref, level)).resolves.toMatchObject({ verdict: 'OK' });
      const manifest = await readManifest(store, ref);
      const shared = await Array.fromAsync(readSharedObjects(store, manifest));
      const [whole, pack] = [
        shared.find(({ data }) => data !== undefined),
        shared.find(({ pieces }) => pieces !== undefined),
      ];
      if (whole === undefined || pack === undefined) throw new Error('the sample has too few objects');
      const file = path.join(store.description, pack.key);
      const bytes = await readFile(file);
      bytes[3] = (bytes[3] ?? 0) ^ 1;
      await writeFile(file, bytes);
      await store.delete([whole.key]);
      const { verdict, problems } = await verifyBackup(store, ref, level);
      expect(verdict).toBe('FAILED');
      expect(problems.join()).toContain(whole.key);
      // A listing does not read bytes.
      expect(problems.join().includes(pack.key)).toBe(level !== 'exists');
      if (level === 'content') expect(problems.join()).toContain('rows of s.t0');
    },
  );

  it('cost a backup nothing by damage in a piece that only another backup needs, which is told', async () => {
    const store = await emptyStore();
    await night(store, 'first', [[1, 2]]);
    await night(store, 'second', [[1]]);
    const [pack = '', ...others] = await keysIn(store, OBJECTS_FOLDER);
    expect(others).toEqual([]);
    const file = path.join(store.description, pack);
    const sound = await readFile(file);
    const reports = async () => [
      await verifyBackup(store, { plan: PLAN, backup: 'first' }, 'content'),
      await verifyBackup(store, { plan: PLAN, backup: 'second' }, 'content'),
    ];
    // The last byte is of the piece that the second backup doesn't need.
    const bent = Buffer.from(sound);
    bent.writeUInt8(bent.readUInt8(bent.length - 1) ^ 1, bent.length - 1);
    await writeFile(file, bent);
    await expect(reports()).resolves.toMatchObject([
      { verdict: 'FAILED', problems: [expect.stringContaining(pack), expect.stringContaining('t0-c1-0')] },
      { verdict: 'OK', problems: [], notes: [expect.stringContaining(pack)] },
    ]);
    await writeFile(file, Buffer.concat([sound, Buffer.from('x')]));
    await expect(reports()).resolves.toMatchObject([{ verdict: 'FAILED' }, { verdict: 'FAILED' }]);
  });

  it('that were damaged are healed for every backup, as docs/repository-format.md says', async () => {
    const store = await emptyStore();
    await night(store, 'first', THREE_TABLES);
    const manifest = await readManifest(store, { plan: PLAN, backup: 'first' });
    const [damaged] = await Array.fromAsync(readSharedObjects(store, manifest));
    if (damaged === undefined) throw new Error('the sample has no object');
    await writeFile(path.join(store.description, damaged.key), 'not what was written');
    await store.delete([damaged.key, ...(await keysIn(store, 'index/'))]);
    // Another worker: this one would believe for half a minute what it has read of the index.
    await night(new DirectoryStore(store.description), 'second', THREE_TABLES);
    await expectHolds(store, 'first', THREE_TABLES);
    await expectHolds(store, 'second', THREE_TABLES);
  });

  it('that a backup reuses are locked anew, as those that it stores', async () => {
    const store = await emptyStore();
    await night(store, 'first', THREE_TABLES);
    const held: string[] = [];
    const hold = (key: string) => {
      held.push(key);
      return Promise.resolve('extended' as const);
    };
    const plain = crashingAt(store, Number.POSITIVE_INFINITY, 'before');
    const locking: Store = { ...plain, locks: { forMs: 60_000, now: () => new Date(), hold } };
    await night(locking, 'second', THREE_TABLES);
    expect(held).toEqual(expect.arrayContaining(await keysIn(store, OBJECTS_FOLDER)));
    expect(held).toEqual(expect.arrayContaining(await keysIn(store, 'index/')));
  });

  it('go into a copy with their index, so that backups made there share them', async () => {
    const [from, to] = [await emptyStore(), await emptyStore()];
    await night(from, 'first', THREE_TABLES);
    await copyBackup(from, to, { plan: PLAN, backup: 'first' });
    await expectHolds(to, 'first', THREE_TABLES);
    expect(await night(to, 'second', THREE_TABLES)).toMatchObject({ newBytes: 0 });
  });

  it('go two sweeps after the last backup that names them, and never while one is under way that does', async () => {
    const store = await emptyStore();
    await night(store, 'first', THREE_TABLES);
    const before = await keysIn(store, OBJECTS_FOLDER);
    await deleteBackup(store, { plan: PLAN, backup: 'first' });
    // It stops before its manifest: what its results name is needed.
    const engine = { ...engineOf(THREE_TABLES), collect: () => Promise.reject(new Error('stopped')) };
    await expect(wholeBackup(engine, contextOf(store, 'second'), ysqlSource())).rejects.toThrow('stopped');
    for (let sweep = 0; sweep < 3; sweep++)
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    expect(await keysIn(store, OBJECTS_FOLDER)).toEqual(before);
    await wholeBackup(engineOf(THREE_TABLES), contextOf(store, 'second', 2), ysqlSource());
    await expectHolds(store, 'second', THREE_TABLES);
    await deleteBackup(store, { plan: PLAN, backup: 'second' });
    for (let sweep = 0; sweep < 3; sweep++)
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
    expect(await keysIn(store, OBJECTS_FOLDER)).toEqual([]);
    expect(await keysIn(store, 'index/')).toEqual([]);
  });
});

describe('whatever becomes of nights and sweeps', () => {
  const SEED = Number(process.env.PROPERTY_SEED ?? 20261130);
  const change = fc.record({ table: fc.nat(2), chunk: fc.nat(2), version: fc.integer({ min: 1, max: 14 }) });
  const step = fc.record({
    who: fc.constantFrom('night' as const, 'night' as const, 'sweep' as const, 'delete' as const),
    changes: fc.array(change, { maxLength: 2 }),
    crashAt: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
    kind: fc.constantFrom('before' as const, 'performed' as const),
  });

  it('each kept backup has exactly its rows, unchanged tables take nothing, and what nobody needs goes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 10 }), async (steps) => {
        const store = await emptyStore();
        let tables: Tables = THREE_TABLES;
        const nights: { readonly backup: string; readonly tables: Tables }[] = [];
        for (const { who, changes, crashAt, kind } of steps) {
          const seen = crashAt === undefined ? store : crashingAt(store, crashAt, kind);
          if (who === 'night') {
            tables = changed(tables, changes);
            const backup = `n${String(nights.length)}`;
            nights.push({ backup, tables });
            await outcomeOf(night(seen, backup, tables));
          } else if (who === 'sweep')
            await outcomeOf(sweepObjects(seen, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }));
          else {
            const [oldest] = (await listBackups(store, PLAN)).backups.slice(-1);
            if (oldest !== undefined) await outcomeOf(deleteBackup(seen, oldest));
          }
          await expectAllHold(store, nights);
        }
        const last = `n${String(nights.length)}`;
        await night(store, last, tables);
        nights.push({ backup: last, tables });
        const objects = await keysIn(store, OBJECTS_FOLDER);
        expect(await night(store, 'again', tables)).toMatchObject({ newBytes: 0 });
        nights.push({ backup: 'again', tables });
        expect(await keysIn(store, OBJECTS_FOLDER)).toEqual(objects);
        await expectNothingLeftOver(store);
        await expectAllHold(store, nights);
      }),
      { seed: SEED, numRuns: 12 },
    );
  });

  it('a backup that stands still while a sweep condemns, wherever that is, relies on nothing that goes', async () => {
    for (let pauseAt = 1, asleep = true; asleep; pauseAt++) {
      const store = await emptyStore();
      await night(store, 'first', SMALL_TABLES);
      await deleteBackup(store, { plan: PLAN, backup: 'first' });
      const [slept, awake] = [Promise.withResolvers<'asleep'>(), Promise.withResolvers<void>()];
      const paused = pausingAt(store, pauseAt, () => slept.resolve('asleep'), awake.promise);
      const writing = night(paused, 'second', SMALL_TABLES);
      asleep = (await Promise.race([slept.promise, writing])) === 'asleep';
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
      awake.resolve();
      await writing;
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
      await expectHolds(store, 'second', SMALL_TABLES);
    }
  });

  it('a sweep that stands still while a backup is made, wherever that is, deletes nothing that it needs', async () => {
    for (let pauseAt = 1; ; pauseAt++) {
      const store = await emptyStore();
      await night(store, 'first', SMALL_TABLES);
      await deleteBackup(store, { plan: PLAN, backup: 'first' });
      await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
      const [slept, awake] = [Promise.withResolvers<'asleep'>(), Promise.withResolvers<void>()];
      const paused = pausingAt(store, pauseAt, () => slept.resolve('asleep'), awake.promise);
      const sweep = outcomeOf(sweepObjects(paused, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS }));
      if ((await Promise.race([slept.promise, sweep])) !== 'asleep') return;
      await night(store, 'second', SMALL_TABLES);
      awake.resolve();
      await sweep;
      await expectHolds(store, 'second', SMALL_TABLES);
    }
  });
});

function changed(
  tables: Tables,
  changes: readonly { readonly table: number; readonly chunk: number; readonly version: number }[],
): Tables {
  return tables.map((versions, table) =>
    versions.map(
      (version, chunk) =>
        changes.find((one) => one.table === table && one.chunk === chunk)?.version ?? version,
    ),
  );
}

async function expectAllHold(
  store: Store,
  nights: readonly { readonly backup: string; readonly tables: Tables }[],
): Promise<void> {
  for (const { backup } of (await listBackups(store, PLAN)).backups) {
    const known = nights.find((one) => one.backup === backup);
    if (known === undefined) throw new Error(`nobody made ${backup}`);
    await expectHolds(store, backup, known.tables);
  }
}

async function expectNothingLeftOver(store: Store): Promise<void> {
  for (let sweep = 0; sweep < 2; sweep++) await removeOrphans(store, PLAN, NO_GRACE_MS);
  for (let sweep = 0; sweep < 3; sweep++)
    await sweepObjects(store, { graceMs: NO_GRACE_MS, decisionMs: NO_GRACE_MS });
  const named = new Set<string>();
  for (const manifest of (await listBackups(store, PLAN)).backups) {
    for await (const { key } of readSharedObjects(store, manifest)) named.add(key);
  }
  expect(await keysIn(store, OBJECTS_FOLDER)).toEqual([...named].sort());
  expect(await keysIn(store, 'condemned/')).toEqual([]);
}

async function outcomeOf(work: Promise<unknown>): Promise<'done' | 'crashed'> {
  try {
    await work;
    return 'done';
  } catch (error) {
    if (error instanceof HoldfastError) return 'crashed';
    throw error;
  }
}
