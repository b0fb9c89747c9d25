import fc from 'fast-check';
import { parseEntities } from '../../engines/universe/entities.ts';
import { parseTserverFlags } from '../../engines/universe/tserver.ts';
import { parseClones } from '../../engines/universe/yb-admin/clones.ts';
import { classify, YB_ADMIN } from '../../engines/universe/yb-admin/errors.ts';
import { parseImport } from '../../engines/universe/yb-admin/import.ts';
import { parseNamespaces, parseTables } from '../../engines/universe/yb-admin/namespaces.ts';
import { parseRestorations, parseStartedRestoration } from '../../engines/universe/yb-admin/restorations.ts';
import { parseCreatedSchedule, parseSchedules } from '../../engines/universe/yb-admin/schedules.ts';
import {
  parseCreatedSnapshot,
  parseExport,
  parseSnapshotsJson,
  parseSnapshotsText,
} from '../../engines/universe/yb-admin/snapshots.ts';
import { intervalMs, isoOfMicros, microsOf } from '../../engines/universe/yb-admin/times.ts';
import {
  parseMasters,
  parseTabletReplicas,
  parseTabletServers,
  parseTablets,
} from '../../engines/universe/yb-admin/topology.ts';
import {
  parseCatalogVersion,
  parseLoadBalancerState,
  parseSplittingComplete,
} from '../../engines/universe/yb-admin/upkeep.ts';
import { parseVersion } from '../../engines/universe/yb-admin/version.ts';
import { HoldfastError } from '../../model/errors.ts';
import { golden } from './golden.ts';

const documentation = (name: string) => golden('documentation', name);

const READERS: Readonly<Record<string, (output: string) => unknown>> = {
  'create-snapshot': (output) => parseCreatedSnapshot('create_snapshot', output),
  'list-snapshots': (output) => parseSnapshotsText(output, false),
  'list-snapshots-after-restore': (output) => [parseSnapshotsText(output, false), parseRestorations(output)],
  'list-snapshots-show-details': (output) => parseSnapshotsText(output, true),
  'list-snapshots-failed-restoration': parseRestorations,
  'export-snapshot': parseExport,
  'import-snapshot': parseImport,
  'restore-snapshot': parseStartedRestoration,
  'list-snapshot-restorations': parseRestorations,
  'create-snapshot-schedule': parseCreatedSchedule,
  'list-snapshot-schedules': parseSchedules,
  'list-tablets': (output) => parseTablets(output, 'table'),
  'list-all-masters': parseMasters,
  'list-clones': parseClones,
  'ysql-catalog-version': parseCatalogVersion,
};

/** Readers whose output the documentation doesn't show. */
const MORE_READERS: readonly ((output: string) => unknown)[] = [
  parseSnapshotsJson,
  parseTabletServers,
  parseTabletReplicas,
  parseNamespaces,
  parseTables,
  parseLoadBalancerState,
  parseSplittingComplete,
  parseVersion,
  parseEntities,
  parseTserverFlags,
];

describe("the documentation's own transcripts", () => {
  test('are all understood', () => {
    const read = Object.entries(READERS).map(([name, reader]) => [name, reader(documentation(name))]);
    expect(Object.fromEntries(read)).toMatchInlineSnapshot(`
      {
        "create-snapshot": "4963ed18-fc1e-4f1b-a38c-8fcf4058b295",
        "create-snapshot-schedule": "6eaaa4fb-397f-41e2-a8fe-a93e0c9f5256",
        "export-snapshot": undefined,
        "import-snapshot": {
          "newSnapshot": "6beb9c0e-52ea-4f61-89bd-c160ec02c729",
          "oldSnapshot": "0d4b4935-2c95-4523-95ab-9ead1e95e794",
          "tables": [
            {
              "kind": "table",
              "namespace": {
                "newId": "00004000000030008000000000000000",
                "oldId": "00004000000030008000000000000000",
              },
              "newId": "00004000000030008000000000004001",
              "oldId": "00004000000030008000000000004003",
              "tablets": [
                {
                  "newId": "50046f422aa6450ca82538e919581048",
                  "oldId": "b0de9bc6a4cb46d4aaacf4a03bcaf6be",
                },
                {
                  "newId": "111ab9d046d449d995ee9759bf32e028",
                  "oldId": "27ce76cade8e4894a4f7ffa154b33c3b",
                },
              ],
            },
          ],
        },
        "list-all-masters": [
          {
            "address": "node8:7100",
            "alive": true,
            "leads": false,
            "uuid": "...",
          },
          {
            "address": "node7:7100",
            "alive": true,
            "leads": true,
            "uuid": "...",
          },
        ],
        "list-clones": [
          {
            "asOfMicros": "1723239775048663",
            "sequence": "2",
            "sourceNamespaceId": "00004000000030008000000000000000",
            "state": "COMPLETE",
            "target": "dev_clone_db",
          },
        ],
        "list-snapshot-restorations": [
          {
            "id": "26ed9053-0c26-4277-a2b8-c12d0fa4c8cf",
            "snapshot": "ca8f3763-5437-4594-818d-713fb0cddb96",
            "state": "RESTORED",
          },
        ],
        "list-snapshot-schedules": [
          {
            "deleted": false,
            "id": "6eaaa4fb-397f-41e2-a8fe-a93e0c9f5256",
            "intervalMs": 60000,
            "retentionMs": 600000,
            "snapshots": [
              {
                "id": "386740da-dc17-4e4a-9a2b-976968b1deb5",
                "timeMicros": "1619616932499002",
              },
              {
                "id": "aaf562ca-036f-4f96-b193-f0baead372e5",
                "previousMicros": "1619616932499002",
                "timeMicros": "1619616997501633",
              },
            ],
          },
        ],
        "list-snapshots": [
          {
            "id": "0d4b4935-2c95-4523-95ab-9ead1e95e794",
            "state": "COMPLETE",
            "timeMicros": "1681950038214201",
          },
        ],
        "list-snapshots-after-restore": [
          [
            {
              "id": "6beb9c0e-52ea-4f61-89bd-c160ec02c729",
              "state": "COMPLETE",
            },
          ],
          [
            {
              "id": "aa7c413b-9d6b-420a-b994-6626980240ca",
              "state": "RESTORED",
            },
          ],
        ],
        "list-snapshots-failed-restoration": [
          {
            "id": "5a9bc559-2155-4c38-ac8b-b6d0f7aa1af6",
            "state": "FAILED",
          },
        ],
        "list-snapshots-show-details": [
          {
            "id": "f566b03b-b85e-41a0-b903-875cd305c1c5",
            "objects": [
              {
                "colocated": false,
                "id": "8053dd55d478437cba57d9f67caac154",
                "kind": "ycql",
                "name": "yugabyte",
                "type": "NAMESPACE",
              },
              {
                "colocated": false,
                "id": "a7e940e724ef497ebe94bf69bfe507d9",
                "name": "tracking1",
                "namespaceId": "8053dd55d478437cba57d9f67caac154",
                "type": "TABLE",
                "version": 1,
              },
              {
                "colocated": false,
                "id": "b48f4d7695f0421e93386f7a97da4bac",
                "indexedTableId": "a7e940e724ef497ebe94bf69bfe507d9",
                "name": "tracking1_v_idx",
                "namespaceId": "8053dd55d478437cba57d9f67caac154",
                "type": "TABLE",
                "version": 0,
              },
            ],
            "state": "COMPLETE",
          },
        ],
        "list-tablets": [
          {
            "id": "cea3aaac2f10460a880b0b4a2a4b652a",
            "replicas": [
              {
                "address": "127.0.0.1:9100",
                "role": "LEADER",
                "server": "",
              },
            ],
            "tableId": "table",
          },
          {
            "id": "e509cf8eedba410ba3b60c7e9138d479",
            "replicas": [],
            "tableId": "table",
          },
        ],
        "restore-snapshot": "5a9bc559-2155-4c38-ac8b-b6d0f7aa1af6",
        "ysql-catalog-version": "1",
      }
    `);
  });
});

describe('what a failure means', () => {
  // First two from issues 13275 and 13030, third and sixth from 5492 and 2083 (old builds); the rest composed from the sources.
  const cases: readonly [string, string, boolean][] = [
    [
      'Error running import_snapshot: Invalid argument (yb/master/catalog_manager_ent.cc:1672): Unable to import snapshot meta file /tmp/x/SnapshotInfoPB: YSQL table not found: hints: OBJECT_NOT_FOUND (master error 3)',
      YB_ADMIN.notFound,
      false,
    ],
    [
      'Error running list_tablet_servers: Illegal state (yb/tools/yb-admin_client.cc:1330): Unable to list tablet servers of tablet a1: Incorrect number of locations 0 for tablet a1.',
      YB_ADMIN.busy,
      true,
    ],
    [
      'Error: Invalid argument (yb/master/catalog_manager.cc:7990): Unable to create snapshot of tables: [yugabyte.t]: Getting indexes for YSQL table is not supported: 000030a9000030008000000000004000 (master error 20)',
      YB_ADMIN.wrongState,
      false,
    ],
    [
      "Unable to establish connection to leader master at [10.0.0.1:7100]. Please verify the addresses and check if server is up, or if you're missing --certs_dir_name.\n\nTimed out (yb/rpc/outbound_call.cc:500): Could not locate the leader master",
      YB_ADMIN.unreachable,
      true,
    ],
    [
      "Invalid operation: clone_namespace\n\nRun 'yb-admin help' to list all operations.",
      YB_ADMIN.unsupported,
      false,
    ],
    [
      'Error: Not found (yb/master/catalog_manager.cc:2406): Unable to create snapshot of tables: [ydb.test]: Object does not exist: table_name: "test"',
      YB_ADMIN.notFound,
      false,
    ],
    [
      'Error running restore_snapshot: Not found (yb/master/catalog_manager_ext.cc:1): Unable to restore snapshot x: Could not find snapshot: x: SNAPSHOT_NOT_FOUND (master error 22)',
      YB_ADMIN.notFound,
      false,
    ],
    [
      'Error running restore_snapshot: Illegal state (yb/master/x.cc:1): Unable to restore snapshot x: The snapshot state is not complete: x: SNAPSHOT_IS_NOT_READY (master error 26)',
      YB_ADMIN.busy,
      true,
    ],
    [
      'Error running create_database_snapshot: Service unavailable (yb/master/scoped_leader_shared_lock.cc:90): Unable to create snapshot of database: d: Leader not yet ready to serve requests',
      YB_ADMIN.busy,
      true,
    ],
    [
      'Error running create_database_snapshot: Invalid argument (yb/tools/yb-admin_client.cc:1): Unable to create snapshot of database: empty: No tables found in namespace: empty\nUsage: yb-admin create_database_snapshot …',
      YB_ADMIN.noTables,
      false,
    ],
    [
      'Error running list_snapshots: Invalid argument (yb/tools/yb-admin_cli.cc:1): Wrong flag: JSONN',
      YB_ADMIN.usage,
      false,
    ],
    [
      'Error running list_tables: Timed out (yb/rpc/rpc.cc:224): Unable to list tables',
      YB_ADMIN.timedOut,
      true,
    ],
    [
      'Error running list_tables: Network error (yb/util/net/socket.cc:551): recvmsg error: Connection refused',
      YB_ADMIN.unreachable,
      true,
    ],
    [
      "Error running clone_namespace: The cluster doesn't support clone_namespace: Remote error",
      YB_ADMIN.unsupported,
      false,
    ],
    ['Illegal instruction', YB_ADMIN.failed, false],
  ];

  test.each(cases)('case %#: %.90s', (said, code, transient) => {
    const error = classify('op', said);
    expect({ code: error.code, transient: error.transient }).toEqual({
      code,
      transient,
    });
    expect(error.remedy).not.toBe('');
    expect(error.message).not.toContain('Usage:');
  });
});

test('times and intervals of every version', () => {
  expect(microsOf('2023-04-20 00:20:38.214201')).toBe('1681950038214201');
  expect(microsOf('2021-04-28T13:35:32.499002+0000')).toBe('1619616932499002');
  expect(microsOf('2021-04-28T15:35:32.499002+0200')).toBe('1619616932499002');
  expect(microsOf('soon')).toBeUndefined();
  expect(isoOfMicros('1681950038214201')).toBe('2023-04-20T00:20:38.214201Z');
  expect(['60 min', '60.000s', '1h', '5 hours', 'x'].map(intervalMs)).toEqual([
    3_600_000,
    60_000,
    3_600_000,
    18_000_000,
    undefined,
  ]);
});

describe('whatever the program prints', () => {
  const transcripts = Object.keys(READERS).map(documentation);
  const words = [...new Set(transcripts.join('\n').split(/(\s+)/))];
  const anyOutput = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.array(fc.constantFrom(...words), { maxLength: 60 }).map((parts) => parts.join('')),
    fc.json(),
    fc
      .tuple(
        fc.constantFrom(...transcripts),
        fc.array(fc.tuple(fc.nat(1000), fc.nat(40), fc.constantFrom(...words)), { maxLength: 4 }),
      )
      .map(([text, edits]) =>
        edits.reduce(
          (result, [at, length, word]) => result.slice(0, at) + word + result.slice(at + length),
          text,
        ),
      ),
  );

  test('a reader answers, or throws a classified error with a remedy', () => {
    let cases = 0;
    let understood = 0;
    fc.assert(
      fc.property(
        anyOutput,
        fc.constantFrom(...Object.values(READERS), ...MORE_READERS),
        (output, reader) => {
          cases += 1;
          try {
            reader(output);
            understood += 1;
          } catch (error) {
            expect(error).toBeInstanceOf(HoldfastError);
            expect((error as HoldfastError).remedy).not.toBe('');
          }
        },
      ),
      { numRuns: 5000 },
    );
    expect(understood).toBeGreaterThan(0);
    process.stdout.write(`yb-admin's output: ${cases} cases tried, ${understood} of them understood\n`);
  });

  test('a failure is classified, and its message is one line that shows no usage', () => {
    let cases = 0;
    fc.assert(
      fc.property(anyOutput, (said) => {
        cases += 1;
        const error = classify('op', said);
        expect(error).toBeInstanceOf(HoldfastError);
        expect(error.message).not.toMatch(/\n/);
      }),
      { numRuns: 1000 },
    );
    process.stdout.write(`yb-admin's failures: ${cases} cases tried\n`);
  });
});
