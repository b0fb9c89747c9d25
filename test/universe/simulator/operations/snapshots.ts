import { tablesOf } from '../catalog.ts';
import { localTime, padded, prettyJson, row } from '../format.ts';
import { encodeMetadata } from '../metadata.ts';
import { beginRestoration } from '../restorations.ts';
import { allTables, beginDeletion, createSnapshot, expiry, findSnapshot } from '../snapshots.ts';
import type { NamespaceState, SnapshotState } from '../state.ts';
import { Failure } from '../status.ts';
import type { World } from '../world.ts';
import { type Call, type Operation, parseNamespace, resolveNamespace, usageFailure } from './operation.ts';

const started = (id: string): string => `Started snapshot creation: ${id}\n`;

/** Parses the retention in hours; undefined when left out. Builds without retention reject such an argument. */
function retention(call: Call, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!call.world.profile.snapshotRetention || !/^\d+$/.test(text)) throw usageFailure();
  return Number(text);
}

async function snapshotOf(call: Call, kind: NamespaceState['kind']): Promise<string> {
  const [name = '', hours] = call.args;
  const parsed = parseNamespace(name);
  if (kind === 'ysql' && name.includes('.') && parsed.kind !== 'ysql') {
    throw new Failure('Invalid argument', `Wrong database type: ${parsed.kind}`);
  }
  if (kind === 'ycql' && parsed.kind !== 'ycql')
    throw new Failure('Invalid argument', `Wrong keyspace type: ${parsed.kind}`);
  const kept = retention(call, hours);
  const namespace = await resolveNamespace(call.world, `${kind}.${parsed.name}`);
  const snapshot = await createSnapshot(call.world, namespace, allTables(call.world, namespace), {
    expiresAt: expiry(call.world, kept),
  });
  return started(snapshot.id);
}

const withRetention = (name: string): string => `${name} [retention_duration_hours]`;

export const snapshotOperations: readonly Operation[] = [
  {
    name: 'create_database_snapshot',
    usage: withRetention('[ysql.]<database_name>'),
    arity: [1, 2],
    prefix: ([name = '']) => `Unable to create snapshot of database: ${parseNamespace(name).name}`,
    run: async (call) => ({ stdout: await snapshotOf(call, 'ysql') }),
  },
  {
    name: 'create_keyspace_snapshot',
    usage: withRetention('[ycql.]<keyspace_name>'),
    arity: [1, 3],
    prefix: ([name = '']) => `Unable to create snapshot of keyspace: ${parseNamespace(name).name}`,
    run: async (call) => ({ stdout: await snapshotOf(call, 'ycql') }),
  },
  {
    name: 'create_snapshot',
    usage:
      '<table> [<table>]... [<flush_timeout_in_seconds> (default 60, set 0 to skip flushing)] [retention_duration_hours]',
    arity: [2, 1000],
    prefix: (args) =>
      `Unable to create snapshot of tables: [${args
        .slice(0, 2)
        .join('.')
        .replace(/^ycql\./, '')}]`,
    run: async (call) => ({ stdout: await snapshotOfTables(call) }),
  },
  {
    name: 'list_snapshots',
    usage: '[SHOW_DETAILS] [NOT_SHOW_RESTORED] [SHOW_DELETED] [JSON]',
    arity: [0, 4],
    prefix: () => 'Unable to list snapshots',
    run: async (call) => ({ stdout: list(call) }),
  },
  {
    name: 'export_snapshot',
    usage: '<snapshot_id> <file_name>',
    arity: [2, 2],
    prefix: ([id = '', file = '']) => `Unable to export snapshot ${id} to file ${file}`,
    run: async ({ world, args: [id = '', file = ''] }) => {
      const snapshot = world.state.snapshots.find((other) => other.id === id);
      if (snapshot === undefined) {
        throw new Failure('Internal error', `Response contained 0 entries but no entry for snapshot '${id}'`);
      }
      const saved = world.profile.newTexts ? 'Snapshot metadata' : 'Snapshot meta data';
      return {
        stdout: `Exporting snapshot ${id} (${snapshot.state}) to file ${file}\n${saved} was saved into file: ${file}\n`,
        writes: [
          {
            path: file,
            content: encodeMetadata(
              { snapshot, namespace: namespaceOf(world, snapshot) },
              world.profile.importSkips,
            ),
          },
        ],
      };
    },
  },
  {
    name: 'delete_snapshot',
    usage: '<snapshot_id>',
    arity: [1, 1],
    prefix: ([id = '']) => `Unable to delete snapshot ${id}`,
    run: async ({ world, args: [id = ''] }) => {
      beginDeletion(world, findSnapshot(world, id));
      return { stdout: `Deleted snapshot: ${id}\n` };
    },
  },
  {
    name: 'restore_snapshot',
    usage: '<snapshot_id> [{<timestamp> | minus {interval}}]',
    arity: [1, 3],
    prefix: ([id = '']) => `Unable to restore snapshot ${id}`,
    run: async ({ world, args: [id = '', at], timezone }) => {
      const micros = at !== undefined && /^\d+$/.test(at) ? at : undefined;
      const restoration = beginRestoration(world, findSnapshot(world, id), micros);
      const when = micros !== undefined ? `Restore at: ${localTime(micros, timezone)}\n` : '';
      return { stdout: `Started restoring snapshot: ${id}\nRestoration id: ${restoration.id}\n${when}` };
    },
  },
  {
    name: 'list_snapshot_restorations',
    usage: '[<restoration_id>]',
    arity: [0, 1],
    prefix: () => 'Unable to list snapshot restorations',
    run: async ({ world, args: [id] }) => ({
      stdout: prettyJson({
        restorations: world.state.restorations
          .filter((restoration) => id === undefined || restoration.id === id)
          .map((restoration) => ({
            id: restoration.id,
            snapshot_id: restoration.snapshotId,
            state: restoration.state,
          })),
      }),
    }),
  },
  {
    name: 'abort_snapshot_restore',
    usage: '[<restoration_id>]',
    arity: [0, 1],
    prefix: () => 'Unable to abort snapshot restore',
    run: async ({ world, args: [id] }) => {
      const running = world.state.restorations.filter(
        (restoration) => restoration.state === 'RESTORING' && (id === undefined || restoration.id === id),
      );
      for (const restoration of running) {
        restoration.state = 'FAILED';
        restoration.problem = 'aborted';
      }
      return {
        stdout: running.map((restoration) => `Aborted snapshot restore: ${restoration.id}\n`).join(''),
      };
    },
  },
];

async function snapshotOfTables(call: Call): Promise<string> {
  const { world, args } = call;
  const numbers = args.filter((arg) => /^\d+$/.test(arg));
  const names = args.filter((arg) => !/^\d+$/.test(arg) && arg !== 'skip_indexes');
  const { kind, name } = parseNamespace(names[0] ?? '');
  if (kind === 'ysql') {
    throw new Failure(
      'Invalid argument',
      'Cannot create snapshot of individual YSQL tables. Only database level is supported',
    );
  }
  const namespace = await resolveNamespace(world, `ycql.${name}`);
  const wanted = new Set(names.filter((_, index) => index % 2 === 1));
  const chosen = tablesOf(world, namespace).filter((table) => wanted.has(table.name));
  const [first] = chosen;
  if (first === undefined || chosen.length < wanted.size) {
    throw new Failure(
      'Not found',
      `Object does not exist: table_name: "${[...wanted][0] ?? ''}"`,
      'OBJECT_NOT_FOUND',
    );
  }
  const ids = new Set(chosen.map(({ id }) => id));
  const tables = tablesOf(world, namespace).filter(
    ({ id, indexedTableId }) => ids.has(id) || ids.has(indexedTableId ?? ''),
  );
  const snapshot = await createSnapshot(world, namespace, tables, {
    expiresAt: expiry(world, retention(call, numbers[1])),
  });
  const full = chosen.map((table) => `${namespace.name}.${table.name}`).join(', ');
  const flushed = world.profile.newTexts
    ? `Flushed [${full}] tables and associated indexes.\n`
    : `Started flushing table ${full}\nFlush request id: ${snapshot.id.replaceAll('-', '')}\nWaiting for flushing...\nFlushing complete: SUCCESS\n`;
  return `${numbers[0] === '0' ? '' : flushed}${started(snapshot.id)}`;
}

function namespaceOf(world: World, { namespaceId }: SnapshotState): NamespaceState {
  const found = world.state.namespaces.find(({ id }) => id === namespaceId);
  if (found === undefined) throw new Error(`no namespace ${namespaceId}`);
  return found;
}

const FLAGS = new Set(['SHOW_DETAILS', 'NOT_SHOW_RESTORED', 'SHOW_DELETED', 'JSON']);

function list({ world, args, timezone }: Call): string {
  const flags = args.map((arg) => arg.toUpperCase());
  const wrong = flags.find((flag) => !FLAGS.has(flag) || (flag === 'JSON' && !world.profile.snapshotsAsJson));
  if (wrong !== undefined) throw new Failure('Invalid argument', `Wrong flag: ${wrong}`);
  const snapshots = world.state.snapshots.filter(
    ({ state }) => state !== 'DELETED' || flags.includes('SHOW_DELETED'),
  );
  if (flags.includes('JSON')) {
    return prettyJson({
      snapshots: snapshots.map(({ id, state, micros, previousMicros }) => ({
        id,
        state,
        snapshot_time: localTime(micros, timezone),
        ...(previousMicros === undefined
          ? {}
          : { previous_snapshot_time: localTime(previousMicros, timezone) }),
      })),
    });
  }
  const timed = world.profile.creationTime;
  // The sources: printf "%-32s \tState \t \tCreation Time\n".
  const header = row(padded('Snapshot UUID', 32), 'State', ...(timed ? ['', 'Creation Time'] : []));
  const rows = snapshots.map((snapshot) => {
    const cells = [snapshot.id, snapshot.state, ...(timed ? [localTime(snapshot.micros, timezone)] : [])];
    return row(...cells) + (flags.includes('SHOW_DETAILS') ? details(world, snapshot) : '');
  });
  return (rows.length === 0 ? 'No snapshots\n' : header + rows.join('')) + restorations(world, flags);
}

function restorations(world: World, flags: readonly string[]): string {
  const all = world.state.restorations;
  const hide = flags.includes('NOT_SHOW_RESTORED');
  const shown = all.filter(({ state }) => !hide || state !== 'RESTORED');
  if (all.length === 0) return 'No snapshot restorations\n';
  const hidden = hide ? 'Not show fully RESTORED entries\n' : '';
  const rows = shown.map(({ id, state }) => row(id, state));
  return hidden + (rows.length === 0 ? '' : row(padded('Restoration UUID', 32), 'State') + rows.join(''));
}

/** Prints a line per object, with the namespace before each of its tables. Tablets are never shown. */
function details(world: World, snapshot: SnapshotState): string {
  const namespace = namespaceOf(world, snapshot);
  const head = {
    type: 'NAMESPACE',
    id: namespace.id,
    data: {
      name: namespace.name,
      database_type: namespace.kind === 'ysql' ? 'YQL_DATABASE_PGSQL' : 'YQL_DATABASE_CQL',
      colocated: namespace.colocated,
      state: 'RUNNING',
    },
  };
  return snapshot.objects
    .flatMap(({ id, name, kind, version = 0, indexedTableId, parentId }) => [
      head,
      {
        type: 'TABLE',
        id,
        data: {
          name,
          version,
          state: 'RUNNING',
          table_type: namespace.kind === 'ysql' ? 'PGSQL_TABLE_TYPE' : 'YQL_TABLE_TYPE',
          namespace_id: namespace.id,
          ...(kind === 'index'
            ? { indexed_table_id: indexedTableId, is_local_index: false, is_unique_index: false }
            : {}),
          ...(parentId === undefined && kind !== 'parent' ? {} : { colocated: true }),
        },
      },
    ])
    .map((object) => ` \t${JSON.stringify(object)}\n`)
    .join('');
}
