import { mkdirSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { verifyArchive } from '../../../engines/ysql/archive/verify.ts';
import { lsnOf } from '../../../model/archive.ts';
import { createScratchFolder, type ScratchFolder } from '../../../parts/scratch.ts';
import { putSegmentOfParts, putSegmentPart, putTimeline } from '../../../repository/archive/archive.ts';
import { segmentKey } from '../../../repository/archive/names.ts';
import { compressFrame } from '../../../repository/backups/zstd-frames.ts';
import { DirectoryStore } from '../../../repository/directory/store.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { openFrames } from '../../../repository/signing/signed-frames.ts';
import type { Store } from '../../../repository/store.ts';
import { Dice } from '../../crash/dice.ts';
import { ARCHIVE, putArchive, TIMELINE, writtenSegments } from '../../repository/damage/stored-archive.ts';
import { WRITTEN_WRONGLY } from '../../repository/damage/written-wrongly.ts';
import { newSigner, signedStore } from '../../repository/signing/signers.ts';
import '../../support/seeded-properties.ts';

/* A stored archive in a directory, sound, damaged, and written wrongly with right names, headers and checksums. */

let scratch: ScratchFolder;
let stores = 0;

beforeAll(async () => {
  scratch = await createScratchFolder('archive-verify');
});
afterAll(() => scratch.remove());

const emptyStore = () => {
  const root = path.join(scratch.path, `r${++stores}`);
  mkdirSync(root);
  return new DirectoryStore(root);
};
const signal = new AbortController().signal;
const verify = (store: Store, level: 'exists' | 'checksums' | 'content' = 'content') =>
  verifyArchive(store, ARCHIVE.plan, level, { signal });

const replace = async (store: Store, key: string, body: Uint8Array) =>
  void (await store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false }));

test('a sound archive is OK at each level, which says what was compared; none at all is INCONCLUSIVE', async () => {
  const store = emptyStore();
  await expect(verify(store)).resolves.toMatchObject({
    verdict: 'INCONCLUSIVE',
    problems: [expect.stringMatching(/no archive/)],
  });
  await putTimeline(store, TIMELINE);
  await expect(verify(store)).resolves.toMatchObject({
    verdict: 'INCONCLUSIVE',
    problems: [expect.stringMatching(/no segment/)],
  });
  const segments = writtenSegments(new Dice(1), 5);
  await putArchive(store, segments);
  const transactions = segments.reduce((sum, each) => sum + each.transactions, 0);
  await expect(verify(store)).resolves.toEqual({
    ...{ plan: 'ysql', level: 'content', verdict: 'OK', segments: 5, transactions, problems: [] },
    compared: `names, checksums and messages of 5 segments with ${transactions} transactions`,
  });
  await expect(verify(store, 'exists')).resolves.toMatchObject({
    verdict: 'OK',
    compared: 'the names of 5 segments',
  });
  await expect(verify(store, 'checksums')).resolves.toMatchObject({ verdict: 'OK' });
});

test('in a signed repository what nobody signed is INCONCLUSIVE, what is forged FAILED, and neither hides damage behind it', async () => {
  const raw = emptyStore();
  const worker = newSigner();
  const store = signedStore(raw, worker, [worker]);
  const stored = await putArchive(store, writtenSegments(new Dice(1), 5));
  await expect(verify(store)).resolves.toMatchObject({ verdict: 'OK', problems: [] });
  const [first, second, , , last] = stored;
  if (first === undefined || second === undefined || last === undefined) throw new Error();
  const renamed = async (key: string, segment: typeof first, body: Uint8Array) => {
    await raw.delete([key]);
    const sha256Start = sha256Hex(body).slice(0, 16);
    await replace(raw, segmentKey(ARCHIVE, TIMELINE.id, { ...segment, sha256Start }), body);
  };
  const bare = openFrames(raw, '', first.key, await raw.get(first.key));
  await renamed(first.key, first, bare);
  await expect(verify(store)).resolves.toMatchObject({
    verdict: 'INCONCLUSIVE',
    segments: 5,
    problems: [expect.stringContaining('is unsigned')],
  });
  // The signature of another segment.
  await renamed(second.key, second, await raw.get(last.key));
  await expect(verify(store)).resolves.toMatchObject({
    verdict: 'FAILED',
    problems: [expect.stringContaining('forged'), expect.stringContaining('is unsigned')],
  });
});

type Fault = (
  store: Store,
  stored: Awaited<ReturnType<typeof putArchive>>,
  at: { readonly one: number; readonly other: number; readonly middle: number },
) => Promise<unknown>;

/** Damages of the store, with the first level that sees each. */
const DAMAGES: readonly (readonly [string, 'exists' | 'checksums' | 'content', Fault])[] = [
  [
    'a segment in the middle is dropped',
    'exists',
    (store, stored, { middle }) => store.delete([stored[middle]?.key ?? '']),
  ],
  [
    'the last segment of a timeline that has ended is dropped',
    'exists',
    (store, stored) => store.delete([stored.at(-1)?.key ?? '']),
  ],
  [
    'the description of the timeline is dropped',
    'exists',
    (store) => store.delete([`archive/ysql/shop/${TIMELINE.id}/timeline.json`]),
  ],
  [
    'a segment is doubled under a range that leads further',
    'content',
    async (store, stored, { middle }) => {
      const [segment, further] = [stored[middle], stored.at(-1)];
      if (segment === undefined || further === undefined) return;
      const name = { ...segment, endLsn: lsnOf(BigInt(`0x${further.endLsn}`) + 16n) };
      await replace(store, segmentKey(ARCHIVE, TIMELINE.id, name), await store.get(segment.key));
    },
  ],
  [
    'two segments have each other’s content',
    'checksums',
    async (store, stored, { one, other }) => {
      const [a, b] = [stored[one]?.key ?? '', stored[other]?.key ?? ''];
      const [bytesA, bytesB] = [await store.get(a), await store.get(b)];
      await replace(store, a, bytesB);
      await replace(store, b, bytesA);
    },
  ],
  [
    'a segment is cut off',
    'checksums',
    async (store, stored, { one }) => {
      const key = stored[one]?.key ?? '';
      const bytes = await store.get(key);
      await replace(store, key, bytes.subarray(0, Math.floor(bytes.length / 2)));
    },
  ],
];

const LEVELS = ['exists', 'checksums', 'content'] as const;

test.each(DAMAGES)('%s: found from level %s on', async (_name, first, damage) => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), async (seed) => {
      const dice = new Dice(seed);
      const store = emptyStore();
      const stored = await putArchive(store, writtenSegments(dice, 5));
      const middle = 1 + Math.floor(dice.between(0, 3));
      await damage(store, stored, { one: middle, other: middle - 1, middle });
      for (const level of LEVELS.slice(LEVELS.indexOf(first))) {
        const found = await verify(store, level);
        expect(found).toMatchObject({ verdict: 'FAILED' });
        expect(found.problems.length).toBeGreaterThan(0);
      }
    }),
    { numRuns: 8 },
  );
});

test.each(Object.entries(WRITTEN_WRONGLY))(
  '%s, with right checksums: found by its content',
  async (_name, wrong) => {
    await fc.assert(
      fc.asyncProperty(fc.nat(), async (seed) => {
        const dice = new Dice(seed);
        const store = emptyStore();
        const segments = writtenSegments(dice, 4);
        const at = segments.findIndex(({ transactions }) => transactions > 1);
        fc.pre(at >= 0);
        await putArchive(
          store,
          segments.map((segment, index) => (index === at ? wrong(segment) : segment)),
        );
        await expect(verify(store, 'checksums')).resolves.toMatchObject({ verdict: 'OK' });
        await expect(verify(store)).resolves.toMatchObject({
          verdict: 'FAILED',
          problems: [expect.stringContaining(lsnOf(BigInt(segments[at]?.start ?? 0)))],
        });
      }),
      { numRuns: 8 },
    );
  },
);

test('a part of a large transaction that is missing is found at each level', async () => {
  const store = emptyStore();
  await putTimeline(store, TIMELINE);
  const part = await putSegmentPart(store, ARCHIVE, TIMELINE.id, compressFrame(Buffer.from('{}\n'), 1));
  const micros = Date.parse(TIMELINE.createdAt) * 1000;
  const range = {
    startLsn: lsnOf(0x100n),
    endLsn: lsnOf(0x200n),
    minCommitMicros: micros,
    maxCommitMicros: micros,
  };
  await putSegmentOfParts(store, ARCHIVE, TIMELINE.id, range, [part]);
  await store.delete([`archive/ysql/shop/${TIMELINE.id}/parts/${part.sha256}.zst`]);
  for (const level of LEVELS) {
    await expect(verify(store, level)).resolves.toMatchObject({ verdict: 'FAILED' });
  }
});

test('what retention drops while it is read is no damage, and neither is an idle stretch', async () => {
  const store = emptyStore();
  const segments = writtenSegments(new Dice(3), 4);
  const end = segments.at(-1)?.end ?? 0;
  const micros = (segments.at(-1)?.maxMicros ?? 0) + 1_000_000;
  const idle = {
    start: end,
    end: end + 64,
    messages: [],
    transactions: 0,
    minMicros: micros,
    maxMicros: micros,
  };
  const stored = await putArchive(store, [...segments, idle]);
  let dropped: Promise<void> | undefined;
  const found = await verifyArchive(store, ARCHIVE.plan, 'content', {
    signal,
    // After the first is read, the second goes together with it.
    progress: ({ segments: read }) => {
      if (read === 1) dropped = store.delete(stored.slice(0, 2).map(({ key }) => key));
    },
  });
  await dropped;
  expect(found).toMatchObject({ verdict: 'OK', problems: [] });
});
