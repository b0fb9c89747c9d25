import fc from 'fast-check';
import { DirectoryStore } from '../../repository/directory/store.ts';
import { ForwardingStore } from '../../repository/forwarding-store.ts';
import { type KeyVersion, lossOf, versionsByKey } from '../../repository/s3/versions.ts';
import type { LostObject, StoreVersions } from '../../repository/store.ts';
import { undoSince } from '../../repository/undo.ts';
import '../support/seeded-properties.ts';

const SECOND = 1_000;

/** What happened to one object: contents that were put (a letter), or a deletion (undefined), each some seconds after the one before. */
const anyHistory = fc.array(
  fc.record({
    contents: fc.option(fc.constantFrom('a', 'b', 'c'), { nil: undefined }),
    afterSeconds: fc.integer({ min: 0, max: 3 }),
  }),
  { minLength: 1, maxLength: 8 },
);

interface Event {
  readonly contents: string | undefined;
  readonly at: number;
}

function happened(
  steps: readonly { readonly contents: string | undefined; readonly afterSeconds: number }[],
): Event[] {
  let at = 0;
  // The store lists whole seconds, so two events of one second can't be told apart; the model has them a second apart.
  return steps.map(({ contents, afterSeconds }) => {
    at += (afterSeconds + 1) * SECOND;
    return { contents, at };
  });
}

const listed = (events: readonly Event[]): KeyVersion[] =>
  events.map(({ contents, at }, number) => ({
    ...{ key: 'objects/x', versionId: `v${number}`, isMarker: contents === undefined },
    ...{
      isLatest: number === events.length - 1,
      modifiedAt: new Date(at),
      sizeBytes: 1,
      etag: contents ?? '',
    },
  }));

test('what an object held at an instant is what is put back, and nothing where it holds that now', () => {
  const seen = { same: 0, lost: 0 };
  fc.assert(
    fc.property(
      anyHistory,
      fc.integer({ min: 0, max: 36 }),
      fc.infiniteStream(fc.nat()),
      (steps, seconds, order) => {
        const events = happened(steps);
        const since = seconds * SECOND;
        const then = events.findLast(({ at }) => at <= since)?.contents;
        const now = events.at(-1)?.contents;
        // Stores list in an order of their own.
        const shuffled = listed(events)
          .map((version) => ({ version, place: order.next().value as number }))
          .sort((one, other) => one.place - other.place)
          .map(({ version }) => version);
        const lost = lossOf(shuffled, new Date(since));
        if (then === undefined || then === now) {
          seen.same += 1;
          expect(lost).toBeUndefined();
          return;
        }
        seen.lost += 1;
        const found = events[Number(lost?.version.slice(1))];
        expect(found?.contents).toBe(then);
        expect(found?.at).toBeLessThanOrEqual(since);
        expect(lost?.happened).toBe(now === undefined ? 'deleted' : 'overwritten');
      },
    ),
  );
  expect(Math.min(seen.same, seen.lost)).toBeGreaterThan(20);
});

test('a key whose versions go on in the next page is looked at as a whole', async () => {
  const version = (key: string, number: number): KeyVersion => ({
    ...{ key, versionId: `${key}${number}`, isMarker: false, isLatest: number === 0 },
    ...{ modifiedAt: new Date(number), sizeBytes: 1, etag: '' },
  });
  async function* pages() {
    yield [version('a', 0), version('b', 0)];
    yield [version('b', 1), version('b', 2)];
    yield [version('b', 3), version('c', 0)];
  }
  const found = await Array.fromAsync(versionsByKey(pages()), (versions) =>
    versions.map(({ versionId }) => versionId),
  );
  expect(found).toEqual([['a0'], ['b0', 'b1', 'b2', 'b3'], ['c0']]);
});

test('an undo says how many key files it takes back to the recipients of then, and counts no deleted one', async () => {
  const lost = (key: string, happened: LostObject['happened']): LostObject => ({
    ...{ key, happened, version: 'v1', sizeBytes: 1, at: new Date(0) },
  });
  const back: string[] = [];
  class Versioned extends ForwardingStore {
    readonly versions: StoreVersions = {
      async *lostSince() {
        yield lost('backups/orders/b/manifest.json', 'overwritten');
        yield lost(`keys/${'1'.repeat(32)}.age`, 'overwritten');
        yield lost(`keys/${'2'.repeat(32)}.age`, 'deleted');
      },
      putBack: async ({ key }) => {
        back.push(key);
      },
    };
  }
  const store = new Versioned(new DirectoryStore('/nowhere'));
  for (const putBack of [false, true]) {
    await expect(undoSince(store, { since: new Date(), putBack })).resolves.toMatchObject({
      ...{ deleted: 1, overwritten: 2, keyFiles: 1 },
    });
  }
  expect(back).toHaveLength(3);
});
