import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import * as fc from 'fast-check';
import { checkNode } from '../../../engines/universe/agent/check-node.ts';
import { fillTablets, inspectNode, unfilledTablets } from '../../../engines/universe/agent/fill-tablets.ts';
import { NodeAgent } from '../../../engines/universe/agent/node-agent.ts';
import { onNode } from '../../../engines/universe/agent/on-node.ts';
import { RateLimit } from '../../../engines/universe/agent/rate-limit.ts';
import { saveTablets } from '../../../engines/universe/agent/save-tablets.ts';
import { HoldfastError, permanent } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { TabletFill, TabletName } from '../../../model/tablets.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { ForwardingStore } from '../../../repository/forwarding-store.ts';
import { backupFolder, INDEX_FOLDER, OBJECTS_FOLDER } from '../../../repository/layout.ts';
import { condemn, decide, readCondemnations } from '../../../repository/objects/condemned.ts';
import { PART_BYTES } from '../../../repository/objects/object-writer.ts';
import {
  listTabletResults,
  readTabletResult,
  writeTabletList,
} from '../../../repository/objects/tablet-lists.ts';
import type { PutOptions, Store } from '../../../repository/store.ts';
import { crashingAt } from '../../repository/failing-store.ts';
import { eventually } from '../../support/processes.ts';
import {
  agentOf,
  contextOf,
  counting,
  filesIn,
  LIMITS,
  liveFolder,
  makeNode,
  type NodeFolder,
  newTablet,
  REF,
  snapshotAgain,
  snapshotFolder,
  writeTablet,
} from './node-folder.ts';

let scratch: ScratchFolder;
let count = 0;
beforeAll(async () => {
  scratch = await createScratchFolder('agent');
});
afterAll(() => scratch.remove());

async function emptyStore(): Promise<DirectoryStore> {
  const path = join(scratch.path, `store-${++count}`);
  await mkdir(path);
  return new DirectoryStore(path);
}

const newNode = (): Promise<NodeFolder> => makeNode(join(scratch.path, `node-${++count}`));

/** What RocksDB opens a database by. */
const OPENED_BY = {
  CURRENT: Buffer.from('MANIFEST-000004\n'),
  'MANIFEST-000004': Buffer.from('files'),
};

/** Files of many sizes: empty, small (packed), alone, and one in several parts. */
function someFiles(large = false): Readonly<Record<string, Uint8Array>> {
  return {
    ...OPENED_BY,
    '000010.sst': randomBytes(900),
    '000010.sst.sblock.0': randomBytes(70_000),
    '000012.sst.sblock.0': randomBytes(2_200_000),
    'intents/CURRENT': Buffer.from('MANIFEST-000005\n'),
    'intents/MANIFEST-000005': Buffer.from('other files'),
    'intents/000001.log': new Uint8Array(),
    ...(large ? { '000099.sst.sblock.0': randomBytes(2 * PART_BYTES + 12_345) } : {}),
  };
}

const save = (node: NodeFolder, store: Store, tablets: readonly TabletName[], task = 0, epoch = 1) =>
  saveTablets(node.agent, contextOf(store), { epoch, task, piece: 0, tablets, limits: LIMITS });

/** The manifest as far as an agent reads it. */
async function manifestOf(store: Store, epoch = 1): Promise<Manifest> {
  const lists = [];
  for (const [index, key] of (await listTabletResults(store, REF, epoch)).entries()) {
    lists.push(await writeTabletList(store, REF, index, await readTabletResult(store, key)));
  }
  return {
    plan: REF.plan,
    backup: REF.backup,
    tablets: { lists, count: 0, files: 0 },
  } as unknown as Manifest;
}

function filling(from: TabletName, to: TabletName, list = 0): TabletFill {
  return { ...to, from: from.tablet, list };
}

describe('the agent of a tablet server', () => {
  it('saves every file of a snapshot and fills another tablet with them, byte for byte, from whichever disk to whichever', async () => {
    const [source, target, store] = [await newNode(), await newNode(), await emptyStore()];
    const [one, other, to] = [newTablet(), newTablet(), newTablet()];
    await writeTablet(source.disks[0] ?? '', one, someFiles(true));
    await writeTablet(source.disks[1] ?? '', other, someFiles());
    await expect(save(source, store, [one, other])).resolves.toMatchObject({ saved: 2, files: 17, left: [] });
    const manifest = await manifestOf(store);
    const live = liveFolder(target.disks[1] ?? '', to);
    await mkdir(live, { recursive: true });
    const fill = filling(one, to);
    await expect(
      unfilledTablets(target.agent, contextOf(store), manifest, { tablets: [fill] }),
    ).resolves.toEqual([to.tablet]);
    const request = { tablets: [fill], limits: LIMITS };
    await expect(fillTablets(target.agent, contextOf(store), manifest, request)).resolves.toMatchObject({
      filled: 1,
      left: [],
    });
    await expect(filesIn(snapshotFolder(target.disks[1] ?? '', to))).resolves.toEqual(
      await filesIn(snapshotFolder(source.disks[0] ?? '', one)),
    );
    await expect(
      unfilledTablets(target.agent, contextOf(store), manifest, { tablets: [fill] }),
    ).resolves.toEqual([]);
    await expect(fillTablets(target.agent, contextOf(store), manifest, request)).resolves.toMatchObject({
      fetchedBytes: 0,
    });
    await expect(readdir(dirname(snapshotFolder(target.disks[1] ?? '', to)))).resolves.toEqual([to.snapshot]);
  });

  it('leaves a snapshot folder that lacks what a tablet server opens it by to another replica', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    for (const missing of ['CURRENT', 'MANIFEST-000004', 'intents/CURRENT', 'intents/MANIFEST-000005']) {
      const tablet = newTablet();
      const { [missing]: _, ...files } = someFiles();
      await writeTablet(node.disks[0] ?? '', tablet, files);
      const { saved, left } = await save(node, store, [tablet]);
      expect([saved, left]).toEqual([
        0,
        [
          {
            tablet: tablet.tablet,
            reason: `the snapshot folder of tablet ${tablet.tablet} lacks ${missing}`,
          },
        ],
      ]);
    }
    const empty = newTablet();
    await mkdir(snapshotFolder(node.disks[0] ?? '', empty), { recursive: true });
    expect((await save(node, store, [empty])).left).toHaveLength(1);
  });

  it('sends nothing of a second snapshot of unchanged files, and asks the store for as little whatever the number of files', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const few = newTablet();
    const many = newTablet();
    const [disk = ''] = node.disks;
    await writeTablet(disk, few, OPENED_BY);
    const files = Array.from(
      { length: 500 },
      (_, file) => [`${file}.sst`, Buffer.from(`rows ${file}`)] as const,
    );
    await writeTablet(disk, many, { ...OPENED_BY, ...Object.fromEntries(files) });
    await save(node, store, [few], 0);
    await save(node, store, [many], 1);
    const asked = async (name: TabletName, task: number) => {
      const { store: counted, calls } = counting(store);
      const again = { ...node, agent: agentOf(node.path, node.disks) };
      const summary = await save(again, counted, [await snapshotAgain(disk, name)], task, 2);
      expect(summary).toMatchObject({ sentBytes: 0, sentObjects: 0 });
      return calls;
    };
    const calls = await asked(many, 1);
    expect(calls).toEqual(await asked(few, 0));
    expect(calls['put objects']).toBeUndefined();
    expect(Object.values(calls).reduce((sum, number) => sum + number, 0)).toBeLessThan(10);
  });

  it('sends again what a sweep deleted before the task could say that it relies on it, although it remembers having sent it', async () => {
    const [node, raw] = [await newNode(), await emptyStore()];
    const tablet = newTablet();
    await writeTablet(node.disks[0] ?? '', tablet, someFiles());
    const keys = async () => Array.fromAsync(raw.list(OBJECTS_FOLDER), ({ key }) => key);
    class SweptBefore extends ForwardingStore {
      override async put(key: string, body: Uint8Array, options: PutOptions): Promise<'created' | 'exists'> {
        if (key.startsWith(INDEX_FOLDER) && (await readCondemnations(raw)).length === 0) {
          await condemn(raw, 'sweep', await keys());
          await decide(raw, 'sweep', 'executed');
          await raw.delete(await keys());
        }
        return this.store.put(key, body, options);
      }
    }
    const saving = (attempt: number) =>
      saveTablets(
        node.agent,
        { ...contextOf(new SweptBefore(raw)), attempt },
        { epoch: 1, task: 0, piece: 0, tablets: [tablet], limits: LIMITS },
      );
    await expect(saving(1)).rejects.toMatchObject({ code: 'OBJECTS_SWEPT', transient: true });
    await expect(saving(2)).resolves.toMatchObject({ saved: 1, left: [] });
    const [result = ''] = await listTabletResults(raw, REF, 1);
    const { objects } = await readTabletResult(raw, result);
    expect(objects.map(({ key }) => key).sort()).toEqual((await keys()).sort());
  });

  it('that lost its memory hashes again and still sends nothing', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const tablet = newTablet();
    await writeTablet(node.disks[0] ?? '', tablet, someFiles());
    await save(node, store, [tablet]);
    await rm(join(node.path, 'state'), { recursive: true });
    const again = { ...node, agent: agentOf(node.path, node.disks) };
    await expect(save(again, store, [tablet], 1)).resolves.toMatchObject({ sentObjects: 0, sentBytes: 0 });
  });

  it('leaves a tablet that it does not have to another replica', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const [here, elsewhere] = [newTablet(), newTablet()];
    await writeTablet(node.disks[0] ?? '', here, someFiles());
    await expect(save(node, store, [elsewhere, here])).resolves.toMatchObject({
      saved: 1,
      left: [{ tablet: elsewhere.tablet, reason: expect.stringContaining('not here') }],
    });
  });

  it('saves from the other disks when one is gone, and says of what it lacks which one that is', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const [here, gone] = [newTablet(), newTablet()];
    await writeTablet(node.disks[0] ?? '', gone, someFiles());
    await writeTablet(node.disks[1] ?? '', here, someFiles());
    await rm(node.disks[0] ?? '', { recursive: true });
    await expect(save(node, store, [gone, here])).resolves.toMatchObject({
      saved: 1,
      left: [{ tablet: gone.tablet, reason: expect.stringContaining(node.disks[0] ?? '') }],
    });
  });

  it('leaves everything to others when its tablet server can not be asked for its disks, and nobody told it', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const agent = new NodeAgent({
      address: '127.0.0.1:9100',
      webPort: 1,
      stateDirectory: join(node.path, 'state'),
    });
    const tablet = newTablet();
    await expect(save({ ...node, agent }, store, [tablet])).resolves.toMatchObject({
      saved: 0,
      left: [{ tablet: tablet.tablet, reason: expect.stringContaining('127.0.0.1:1') }],
    });
  });

  it('tells what space its disks have, and what it may not write', async () => {
    const node = await newNode();
    await rm(join(node.disks[1] ?? '', 'yb-data/tserver/data'), { recursive: true });
    const report = await inspectNode(node.agent, {}, new AbortController().signal);
    expect(report.directories[0]?.freeBytes).toBeGreaterThan(0);
    expect(report.problems).toEqual([expect.stringContaining('disk-1')]);
  });

  it.each([
    ['fewer directories than its tablet server has', 1, 'tablets in 2 data directories'],
    ['as many, under paths of its own', 2, 'free'],
  ])('tells doctor where it was given %s', async (_what, given, expected) => {
    const node = await newNode();
    // The form of the page: src/yb/server/default-path-handlers.cc, `raw`.
    const page = 'Command-line Flags\n--fs_data_dirs=/mnt/d0,/mnt/d1\n--placement_region=datacenter1\n';
    const web = createServer((_request, response) => response.end(page)).listen(0, '127.0.0.1');
    await once(web, 'listening');
    const agent = new NodeAgent({
      address: '127.0.0.1:9100',
      dataDirectories: node.disks.slice(0, given),
      webPort: (web.address() as AddressInfo).port,
      stateDirectory: join(node.path, 'state'),
    });
    const location = { kind: 'directory' as const, path: (await emptyStore()).description };
    const { checks } = await checkNode(agent, { name: 'main', location }, new AbortController().signal);
    web.close();
    const disks = checks.find(({ name }) => name.endsWith('its data directories'));
    expect(disks?.detail).toContain(expected);
    expect(disks?.ok).toBe(given === 2);
  });

  it('does not vouch for a folder in which one byte of one file is another, and fetches that file again', async () => {
    const [source, target, store] = [await newNode(), await newNode(), await emptyStore()];
    const [from, to] = [newTablet(), newTablet()];
    await writeTablet(source.disks[0] ?? '', from, someFiles());
    await save(source, store, [from]);
    const manifest = await manifestOf(store);
    await mkdir(liveFolder(target.disks[0] ?? '', to), { recursive: true });
    const asked = { tablets: [filling(from, to)], limits: LIMITS };
    await fillTablets(target.agent, contextOf(store), manifest, asked);
    await expect(unfilledTablets(target.agent, contextOf(store), manifest, asked)).resolves.toEqual([]);
    const file = join(snapshotFolder(target.disks[0] ?? '', to), '000010.sst');
    const bytes = await readFile(file);
    await writeFile(file, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
    await expect(unfilledTablets(target.agent, contextOf(store), manifest, asked)).resolves.toEqual([
      to.tablet,
    ]);
    await fillTablets(target.agent, contextOf(store), manifest, asked);
    await expect(unfilledTablets(target.agent, contextOf(store), manifest, asked)).resolves.toEqual([]);
    expect(await readFile(file)).toEqual(bytes);
  });

  it('neither saves, fills nor vouches for anything in directories that belong to another tablet server', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const tablet = newTablet();
    await writeTablet(node.disks[0] ?? '', tablet, someFiles());
    await save(node, store, [tablet]);
    const manifest = await manifestOf(store);
    const to = newTablet();
    await mkdir(liveFolder(node.disks[0] ?? '', to), { recursive: true });
    const before = await filesIn(node.path);
    const asked = { tablets: [filling(tablet, to)], limits: LIMITS, server: 'f'.repeat(32) };
    const wrong = { code: 'AGENT_WRONG_NODE', message: expect.stringContaining('f'.repeat(32)) };
    await expect(fillTablets(node.agent, contextOf(store), manifest, asked)).rejects.toMatchObject(wrong);
    await expect(unfilledTablets(node.agent, contextOf(store), manifest, asked)).rejects.toMatchObject(wrong);
    const request = { epoch: 2, task: 1, piece: 0, tablets: [tablet], limits: LIMITS, server: asked.server };
    await expect(saveTablets(node.agent, contextOf(store), request)).resolves.toMatchObject({
      saved: 0,
      left: [{ tablet: tablet.tablet, reason: expect.stringContaining('f'.repeat(32)) }],
    });
    expect(await filesIn(node.path)).toEqual(before);
  });

  it.each([
    ['is missing', undefined, 'AGENT_NO_IDENTITY'],
    ['is damaged', (bytes: Buffer) => bytes.fill(1, 40, 41), 'AGENT_NO_IDENTITY'],
    ['is cut off', (bytes: Buffer) => bytes.subarray(0, -3), 'AGENT_NO_IDENTITY'],
  ])('knows nobody’s directories where the file `instance` of one %s', async (_what, change, code) => {
    const node = await newNode();
    const file = join(node.disks[1] ?? '', 'yb-data/tserver/instance');
    const bytes = await readFile(file);
    if (change === undefined) await rm(file);
    else await writeFile(file, change(bytes));
    await expect(node.agent.provenRoots(new AbortController().signal)).rejects.toMatchObject({ code });
  });

  it('refuses directories of two tablet servers', async () => {
    const [one, other] = [await newNode(), await newNode()];
    const agent = agentOf(one.path, [one.disks[0] ?? '', other.disks[1] ?? '']);
    await expect(agent.provenRoots(new AbortController().signal)).rejects.toMatchObject({
      code: 'AGENT_MIXED_DIRECTORIES',
    });
  });

  it('notices a damaged object by the file that it can not fill', async () => {
    const [source, target, store] = [await newNode(), await newNode(), await emptyStore()];
    const [from, to] = [newTablet(), newTablet()];
    await writeTablet(source.disks[0] ?? '', from, someFiles());
    await save(source, store, [from]);
    const manifest = await manifestOf(store);
    for await (const { key, sizeBytes } of store.list(OBJECTS_FOLDER)) {
      await writeFile(join(store.description, key), randomBytes(sizeBytes));
    }
    await mkdir(liveFolder(target.disks[0] ?? '', to), { recursive: true });
    await expect(
      fillTablets(target.agent, contextOf(store), manifest, { tablets: [filling(from, to)], limits: LIMITS }),
    ).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
    await expect(
      unfilledTablets(target.agent, contextOf(store), manifest, { tablets: [filling(from, to)] }),
    ).resolves.toEqual([to.tablet]);
  });
});

describe('the agent goes nowhere else', () => {
  it.each([
    ['a table', { table: '../../../etc' }],
    ['a tablet', { tablet: '..' }],
    ['a snapshot', { snapshot: '../../x' }],
  ])('than below its data directories: an id of %s that is none is refused', async (_what, wrong) => {
    const [node, store] = [await newNode(), await emptyStore()];
    await expect(save(node, store, [{ ...newTablet(), ...wrong }])).rejects.toMatchObject({
      code: 'AGENT_BAD_NAME',
    });
  });

  it('and follows no symbolic link below a data directory, to read or to write', async () => {
    const [node, store] = [await newNode(), await emptyStore()];
    const [disk = ''] = node.disks;
    const elsewhere = join(scratch.path, `elsewhere-${++count}`);
    await mkdir(elsewhere);
    await writeFile(join(elsewhere, 'secret'), 'secret');
    const [viaFolder, viaFile] = [newTablet(), newTablet()];
    await mkdir(dirname(snapshotFolder(disk, viaFolder)), { recursive: true });
    await symlink(elsewhere, snapshotFolder(disk, viaFolder));
    await writeTablet(disk, viaFile, OPENED_BY);
    await symlink(join(elsewhere, 'secret'), join(snapshotFolder(disk, viaFile), '000001.sst'));
    for (const tablet of [viaFolder, viaFile]) {
      await expect(save(node, store, [tablet])).rejects.toMatchObject({ code: 'AGENT_SYMBOLIC_LINK' });
    }
    await expect(Array.fromAsync(store.list(OBJECTS_FOLDER))).resolves.toEqual([]);
  });

  it.each(['../escaped', '/etc/escaped', 'a/../../escaped', 'a//b', '.', 'a\\..\\b', 'x\u0000y'])(
    'whatever a manifest calls a file: %j is refused',
    async (path) => {
      const [source, target, store] = [await newNode(), await newNode(), await emptyStore()];
      const [from, to] = [newTablet(), newTablet()];
      await writeTablet(source.disks[0] ?? '', from, { ...OPENED_BY, good: Buffer.from('bytes') });
      await save(source, store, [from]);
      const [key = ''] = await listTabletResults(store, REF, 1);
      const list = await readTabletResult(store, key);
      const hostile = {
        ...list,
        tablets: list.tablets.map((tablet) => ({
          ...tablet,
          files: tablet.files.map((file) => ({ ...file, path })),
        })),
      };
      const lists = [await writeTabletList(store, REF, 0, hostile)];
      const manifest = { ...REF, tablets: { lists, count: 1, files: 1 } } as unknown as Manifest;
      await mkdir(liveFolder(target.disks[0] ?? '', to), { recursive: true });
      const before = await filesIn(scratch.path);
      await expect(
        fillTablets(target.agent, contextOf(store), manifest, {
          tablets: [filling(from, to)],
          limits: LIMITS,
        }),
      ).rejects.toMatchObject({ code: 'STORE_DAMAGED' });
      expect(await filesIn(scratch.path)).toEqual(before);
    },
  );
});

it('an agent that is killed at any moment sends again at most what was under way, and its successor finishes the tablets', async () => {
  let cases = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          crashAt: fc.integer({ min: 1, max: 40 }),
          kind: fc.constantFrom('before' as const, 'performed' as const),
        }),
        { minLength: 1, maxLength: 3 },
      ),
      async (crashes) => {
        cases++;
        const [node, store] = [await newNode(), await emptyStore()];
        const tablets = [newTablet(), newTablet()];
        for (const [place, tablet] of tablets.entries())
          await writeTablet(node.disks[place] ?? '', tablet, someFiles());
        let sent = 0;
        const seen = new Set<string>();
        const { store: counted } = watching(store, (key) => {
          if (!key.startsWith(OBJECTS_FOLDER)) return;
          sent++;
          seen.add(key);
        });
        for (const { crashAt, kind } of crashes) {
          const agent = agentOf(node.path, node.disks);
          await outcomeOf(save({ ...node, agent }, crashingAt(counted, crashAt, kind), tablets));
        }
        const agent = agentOf(node.path, node.disks);
        await save({ ...node, agent }, counted, tablets);
        // Four puts are under way at once, and a pack may be cut otherwise the next time.
        expect(sent).toBeLessThanOrEqual(seen.size + crashes.length * 5);
        const saved = [];
        for (const key of await listTabletResults(store, REF, 1)) {
          saved.push(...(await readTabletResult(store, key)).tablets.map(({ tablet }) => tablet));
        }
        expect(saved.sort()).toEqual(tablets.map(({ tablet }) => tablet).sort());
        const manifest = await manifestOf(store);
        const to = newTablet();
        await mkdir(liveFolder(node.disks[1] ?? '', to), { recursive: true });
        const [from] = tablets;
        if (from === undefined) throw new Error('no tablet');
        await fillTablets(agent, contextOf(store), manifest, {
          tablets: [filling(from, to)],
          limits: LIMITS,
        });
        await expect(filesIn(snapshotFolder(node.disks[1] ?? '', to))).resolves.toEqual(
          await filesIn(snapshotFolder(node.disks[0] ?? '', from)),
        );
        await store.delete(await Array.fromAsync(store.list(backupFolder(REF)), ({ key }) => key));
      },
    ),
    { seed: 20261124, numRuns: 6 },
  );
  console.log(`agent: ${cases} series of crashes tried`);
});

it('a large file that was cut off half-way goes on with the part that was under way, on the way there and back', async () => {
  const [node, store] = [await newNode(), await emptyStore()];
  const [from, to] = [newTablet(), newTablet()];
  await writeTablet(node.disks[0] ?? '', from, someFiles(true));
  const goneAfter = (large: number, what: 'put' | 'get'): Store => {
    let left = large;
    const spend = (sizeBytes: number) => {
      if (sizeBytes >= PART_BYTES && left-- <= 0) throw permanent('TEST_CUT_OFF', 'cut off', 'Try again.');
    };
    return {
      ...counting(store).store,
      put: (key, body, options) => {
        if (what === 'put') spend(body.byteLength);
        return store.put(key, body, options);
      },
      get: (key, options) => {
        if (what === 'get') spend((options?.range?.end ?? 0) - (options?.range?.start ?? 0));
        return store.get(key, options);
      },
    };
  };
  const cutOff = { code: 'TEST_CUT_OFF' };
  await expect(save(node, goneAfter(1, 'put'), [from])).rejects.toMatchObject(cutOff);
  await eventually('the part that was under way is written down', async () => {
    const memory = Object.values(await filesIn(join(node.path, 'state'))).join('');
    return Buffer.from(memory, 'hex').toString().includes('@0"');
  });
  const again = { ...node, agent: agentOf(node.path, node.disks) };
  // One large part was left to send.
  await save(again, goneAfter(1, 'put'), [from]);

  const manifest = await manifestOf(store);
  await mkdir(liveFolder(node.disks[1] ?? '', to), { recursive: true });
  const request = { tablets: [filling(from, to)], limits: LIMITS };
  await expect(
    fillTablets(again.agent, contextOf(goneAfter(1, 'get')), manifest, request),
  ).rejects.toMatchObject(cutOff);
  const { fetchedBytes, bytes } = await fillTablets(
    again.agent,
    contextOf(goneAfter(1, 'get')),
    manifest,
    request,
  );
  expect(fetchedBytes).toBeLessThanOrEqual(bytes - PART_BYTES);
  await expect(filesIn(snapshotFolder(node.disks[1] ?? '', to))).resolves.toEqual(
    await filesIn(snapshotFolder(node.disks[0] ?? '', from)),
  );
});

it('slots of one node share its rate', async () => {
  const limit = new RateLimit();
  limit.set(1_000_000);
  const { signal } = new AbortController();
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: 10 }, () => limit.take(50_000, signal)));
  // Half a second's worth, of which nothing was saved up: it can't have gone faster.
  expect(performance.now() - startedAt).toBeGreaterThanOrEqual(400);
});

function watching(inner: Store, put: (key: string) => void): { readonly store: Store } {
  const { store } = counting(inner);
  return {
    store: {
      ...store,
      put: (key, body, options) => {
        put(key);
        return inner.put(key, body, options);
      },
    },
  };
}

async function outcomeOf(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
  }
}

test('what fails on a node names the node, and what its disk refuses is waited for', async () => {
  const failing = (error: unknown) => onNode('10.0.0.7:9100', () => Promise.reject(error));
  const refused = (code: string) =>
    Object.assign(new Error(`${code}: open '/mnt/d0/x'`), { code, syscall: 'open' });
  await expect(failing(permanent('STORE_DENIED', 'Can’t write', 'Allow it.'))).rejects.toMatchObject({
    code: 'STORE_DENIED',
    message: 'On the node of 10.0.0.7:9100: Can’t write',
    remedy: 'Allow it.',
    transient: false,
  });
  const waitedFor: readonly (readonly [errno: string, code: string])[] = [
    ['ENOSPC', 'AGENT_DISK_FULL'],
    ['EDQUOT', 'AGENT_DISK_FULL'],
    ['EROFS', 'AGENT_DENIED'],
    ['EACCES', 'AGENT_DENIED'],
    ['EIO', 'AGENT_DISK'],
  ];
  for (const [errno, code] of waitedFor) {
    const message = `On the node of 10.0.0.7:9100: ${errno}: open '/mnt/d0/x'`;
    await expect(failing(refused(errno))).rejects.toMatchObject({ code, message, transient: true });
  }
  const mistake = new TypeError('a mistake of ours');
  await expect(failing(mistake)).rejects.toBe(mistake);
});
