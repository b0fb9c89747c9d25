import * as fc from 'fast-check';
import { encryptionProblem } from '../../../engines/universe/encryption.ts';
import { placeTablets } from '../../../engines/universe/placement.ts';
import { incompatibility } from '../../../engines/universe/restore/versions.ts';
import type { ReplicaRole, Tablet } from '../../../engines/universe/yb-admin/topology.ts';
import { replicasPerTablet } from '../../../engines/universe/yb-admin/upkeep.ts';
import { readDump } from '../../../engines/ysql/server/dump-script.ts';
import { withKnownTablespace } from '../../../engines/ysql/server/tablespaces.ts';
import { packBatch, unpackBatch } from '../../../model/tablets.ts';

const SNAPSHOT = '00000000-0000-4000-8000-000000000000';
const NODES = ['a:9100', 'b:9100', 'c:9100', 'd:9100', 'e:9100'];

const tablets = fc
  .array(
    fc.record({
      replicas: fc.uniqueArray(fc.constantFrom(...NODES), { maxLength: 4 }),
      roles: fc.array(
        fc.constantFrom<ReplicaRole>('LEADER', 'FOLLOWER', 'READ_REPLICA', 'LEARNER', 'OTHER'),
        {
          minLength: 4,
          maxLength: 4,
        },
      ),
      earlier: fc.option(
        fc.record({ replica: fc.constantFrom(...NODES), bytes: fc.integer({ min: 1, max: 1e9 }) }),
      ),
    }),
    { maxLength: 60 },
  )
  .map((drafts) => ({
    tablets: drafts.map(
      ({ replicas, roles }, index): Tablet => ({
        id: `t${index}`,
        tableId: `table${index % 3}`,
        replicas: replicas.map((address, place) => ({
          server: address,
          address,
          role: roles[place] ?? 'OTHER',
        })),
      }),
    ),
    earlier: new Map<string, { readonly replica: string; readonly bytes: number }>(
      drafts.flatMap(({ earlier }, index) => (earlier === null ? [] : [[`t${index}`, earlier] as const])),
    ),
  }));

const whole = ({ replicas }: Tablet) =>
  replicas.filter(({ role }) => role !== 'LEARNER' && role !== 'OTHER').map(({ address }) => address);

test('every tablet is placed once, on whole replicas alone, first on the one whose files are stored already', () => {
  let cases = 0;
  fc.assert(
    fc.property(tablets, ({ tablets: all, earlier }) => {
      cases++;
      const placed = placeTablets(all, () => SNAPSHOT, earlier);
      expect(placed.map(({ tablet }) => tablet).sort()).toEqual(all.map(({ id }) => id).sort());
      for (const { tablet, nodes } of placed) {
        const of = all.find(({ id }) => id === tablet);
        const possible = of === undefined ? [] : whole(of);
        expect([...nodes].sort()).toEqual([...possible].sort());
        const last = earlier.get(tablet)?.replica;
        if (last !== undefined && possible.includes(last)) expect(nodes[0]).toBe(last);
      }
      // As it travels through history, nothing is lost.
      expect(unpackBatch(packBatch(placed))).toEqual(placed);
    }),
    { seed: 20261124, numRuns: 200 },
  );
  console.log(`placement: ${cases} universes tried`);
});

test('tablets that nobody has saved yet are spread evenly, whoever leads them', () => {
  const all = Array.from({ length: 300 }, (_, index): Tablet => {
    const roles: ReplicaRole[] = ['LEADER', 'FOLLOWER', 'FOLLOWER'];
    const replicas = NODES.slice(0, 3).map((address, place) => ({
      server: address,
      address,
      role: roles[place] ?? 'OTHER',
    }));
    return { id: `t${index}`, tableId: 'table', replicas };
  });
  const counts = new Map<string, number>();
  for (const { nodes } of placeTablets(all, () => SNAPSHOT, new Map())) {
    counts.set(nodes[0] ?? '', (counts.get(nodes[0] ?? '') ?? 0) + 1);
  }
  expect([...counts.values()]).toEqual([100, 100, 100]);
});

test.each<readonly [string, object, string | undefined]>([
  [
    'the same universe',
    { clusterUuid: 'a', encryptionInfo: { encryptionEnabled: true, latestVersionId: 'k1' } },
    undefined,
  ],
  [
    'the same, whose key was rotated',
    { clusterUuid: 'a', encryptionInfo: { encryptionEnabled: true, latestVersionId: 'k2' } },
    undefined,
  ],
  [
    'the same, which encrypts no more',
    { clusterUuid: 'a', encryptionInfo: { encryptionEnabled: false, latestVersionId: 'k1' } },
    undefined,
  ],
  [
    'another with that key',
    { clusterUuid: 'b', encryptionInfo: { encryptionEnabled: true, latestVersionId: 'k1' } },
    undefined,
  ],
  [
    'another with another key',
    { clusterUuid: 'b', encryptionInfo: { encryptionEnabled: true, latestVersionId: 'k2' } },
    'has the key k2',
  ],
  [
    'another that encrypts no more',
    { clusterUuid: 'b', encryptionInfo: { encryptionEnabled: false, latestVersionId: 'k1' } },
    'does not encrypt',
  ],
  ['one that never did', { clusterUuid: 'a' }, 'does not encrypt'],
])(
  'files that are encrypted with the key k1 of a universe are restored into %s, or refused',
  (_what, config, problem) => {
    const found = encryptionProblem({ encryption: 'k1', clusterUuid: 'a' }, config);
    if (problem === undefined) expect(found).toBeUndefined();
    else expect(found).toContain(problem);
    expect(encryptionProblem({ clusterUuid: 'a' }, config)).toBeUndefined();
  },
);

test.each([
  ['15.12-YB-2025.1.0.0-b0', '15.12-YB-2025.1.0.0-b0', true],
  ['11.2-YB-2024.1.3.0-b0', '15.12-YB-2025.2.0.0-b0', true],
  ['2.18.4.0', '2024.2.1.0', true],
  ['2025.2.0.0', '2025.1.9.0', false],
  ['2.20.1.0', '2.18.9.0', false],
  ['2.19.1.0', '2.20.0.0', false],
  ['2.21.0.0', '2.23.0.0', true],
  ['2.25.0.0', '2025.1.0.0', false],
  ['something else', '2025.1.0.0', true],
])('a backup of %s restores into %s: %s', (from, to, can) => {
  expect(incompatibility(from, to) === undefined).toBe(can);
});

test('a script names known tablespaces alone, and what only looks like a setting stays as it is', () => {
  const script = [
    'SET default_tablespace = fast;',
    'CREATE TABLE a ();',
    '\\set use_tablespaces true',
    '\\if :use_tablespaces',
    'SET default_tablespace = "far ""away""";',
    '\\endif',
    "SET default_tablespace = '';",
    'CREATE FUNCTION f() AS $$',
    'SET default_tablespace = far;',
    '$$;',
  ].join('\n');
  const known = (...names: readonly string[]) =>
    readDump(script).steps.map(({ statement }) => withKnownTablespace(statement.text, new Set(names)));
  const [fast, create, far, ...rest] = known('fast', 'far "away"');
  expect([fast, create, far]).toEqual([
    'SET default_tablespace = fast;',
    'CREATE TABLE a ();',
    'SET default_tablespace = "far ""away""";',
  ]);
  const none = "SET default_tablespace = '';";
  expect(known('fast')).toEqual([fast, create, none, ...rest]);
  expect(known()).toEqual([none, create, none, ...rest]);
});

test.each([
  [{ liveReplicas: { numReplicas: 3 } }, 3],
  [{ liveReplicas: { numReplicas: 5 }, readReplicas: [{ numReplicas: 1 }, { numReplicas: 2 }] }, 8],
  [{ liveReplicas: {} }, undefined],
  [{}, undefined],
])('a configuration of %j keeps %s replicas of a tablet', (replicationInfo, expected) => {
  expect(replicasPerTablet({ version: 1, replicationInfo })).toBe(expected);
});
