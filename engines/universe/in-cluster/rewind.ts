import { setTimeout as sleep } from 'node:timers/promises';
import { permanent, transient } from '../../../model/errors.ts';
import type { ConnectionTarget } from '../../ysql/server/connection-url.ts';
import { listNodes, onEveryNode } from '../../ysql/server/nodes.ts';
import type { Session } from '../../ysql/server/session.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import { findRestoration, listRestorations, type Restoration } from '../yb-admin/restorations.ts';
import { restoreSnapshotSchedule } from '../yb-admin/schedules.ts';
import {
  createDatabaseSnapshot,
  createKeyspaceSnapshot,
  findSnapshot,
  type SnapshotCreation,
} from '../yb-admin/snapshots.ts';
import { type NamedSchedule, namedSchedules } from './schedules.ts';

/** What a wait needs of its activity. */
export interface Waiting {
  readonly signal: AbortSignal;
  readonly heartbeat: (progress?: object) => void;
  readonly patienceMs: number;
}

const ASK_EVERY_MS = 1_000;

/**
 * Takes a snapshot of what is there now, with which the rewind can be undone (`yb-admin restore_snapshot ID`). The universe deletes it after
 * `retentionHours`. Returns its id once it is complete.
 */
export async function takeSafetySnapshot(
  admin: YbAdmin,
  namespace: string,
  options: SnapshotCreation,
  waiting: Waiting,
): Promise<string> {
  const [kind = '', name = ''] = splitNamespace(namespace);
  const create = kind === 'ysql' ? createDatabaseSnapshot : createKeyspaceSnapshot;
  const id = await create(admin, name, options);
  await until(waiting, `the safety snapshot ${id} is not complete`, async () => {
    const snapshot = await findSnapshot(admin, id);
    if (snapshot?.state === 'COMPLETE') return true;
    if (snapshot?.state === 'CREATING') return undefined;
    throw permanent(
      'SAFETY_SNAPSHOT_FAILED',
      `Nothing was overwritten, because the safety snapshot ${id} of ${namespace} is ${snapshot?.state ?? 'gone'}`,
      'See the log of the leading master; ask again, or with "safetyBackup": false.',
    );
  });
  return id;
}

function splitNamespace(namespace: string): readonly string[] {
  const dot = namespace.indexOf('.');
  return [namespace.slice(0, dot), namespace.slice(dot + 1)];
}

/**
 * Other sessions that write, or may at any moment, because they are active or in a transaction. On YugabyteDB: of this node alone. Empty if writes
 * have stopped. A session whose state the role may not see (it lacks pg_read_all_stats) counts.
 */
async function writersIn(session: Session): Promise<readonly string[]> {
  const rows = await session.query<{ who: string }>(
    `look for sessions in database "${session.database}"`,
    `SELECT format('session %s of %s (%s, %s)', pid, usename, coalesce(nullif(application_name, ''), 'no name'), coalesce(state, 'state unknown')) AS who
     FROM pg_catalog.pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND coalesce(backend_type, 'client backend') = 'client backend'
       AND state IS DISTINCT FROM 'idle'
     ORDER BY pid`,
  );
  return rows.map(({ who }) => who);
}

/** What decides whether a node that can't be asked may have sessions that write. */
export interface NodesAsked {
  readonly target: ConnectionTarget;
  readonly signal: AbortSignal;
  /** Hosts of tablet servers that are alive, as the masters say. A dead one has no sessions that write. */
  readonly aliveHosts: ReadonlySet<string>;
}

/**
 * Asks every node whether sessions still write to the database. Throws `WRITES_NOT_STOPPED` (permanent), naming who writes, or the node that can't
 * be asked.
 */
export async function checkWritesStopped(session: Session, asked: NodesAsked): Promise<void> {
  const { answers, silent } = await onEveryNode(session, asked.target, asked.signal, writersIn);
  const writers = [...new Set(answers.flat())];
  if (writers.length > 0) {
    throw permanent(
      'WRITES_NOT_STOPPED',
      `Database "${session.database}" is still worked in: ${writers.slice(0, 5).join('; ')}`,
      'Stop the applications that write to it (ALTER DATABASE … CONNECTION LIMIT 0, pg_terminate_backend on their node), then ask again.',
    );
  }
  const alive = silent.filter(({ node }) => asked.aliveHosts.has(node.slice(0, node.lastIndexOf(':'))));
  const [first] = alive;
  if (first === undefined) return;
  throw permanent(
    'WRITES_NOT_STOPPED',
    `${listNodes(alive)} can't be asked who works in database "${session.database}", and the masters say that it is alive: ${first.reason}`,
    'Let this worker reach the YSQL port of every node that yb_servers() lists, or stop that tablet server, then ask again.',
  );
}

/**
 * Takes the database back to an instant (microseconds since 1970), in place, and waits for the end. First waits for a rewind of the same database
 * that an earlier attempt left under way. Repeating the same instant changes nothing.
 *
 * @throws HoldfastError `REWIND_FAILED`, `IN_CLUSTER_NO_SCHEDULE` (permanent), `REWIND_STUCK` (transient)
 */
export async function rewind(
  admin: YbAdmin,
  namespace: string,
  atMicros: string,
  waiting: Waiting,
): Promise<void> {
  const schedule = await scheduleOf(admin, namespace);
  await endRewind(admin, namespace, await beginRewind(admin, schedule, atMicros, waiting), waiting);
}

/** Asks for a rewind, after one that is under way has ended. Returns the restoration's id. */
export async function beginRewind(
  admin: YbAdmin,
  schedule: NamedSchedule,
  atMicros: string,
  waiting: Waiting,
): Promise<string> {
  const earlier = await runningIn(admin, schedule);
  if (earlier !== undefined) await end(admin, earlier.id, waiting);
  return (await restoreSnapshotSchedule(admin, schedule.id, atMicros)).restoration;
}

/** Waits for a rewind to end well. Throws `REWIND_FAILED` (permanent), `REWIND_STUCK` (transient). */
export async function endRewind(
  admin: YbAdmin,
  namespace: string,
  restoration: string,
  waiting: Waiting,
): Promise<void> {
  const state = await end(admin, restoration, waiting);
  if (state === 'RESTORED') return;
  throw permanent(
    'REWIND_FAILED',
    `The rewind of ${namespace} (restoration ${restoration}) ended ${state}`,
    'See the log of the leading master for the reason; restore a backup of that instant, or the safety snapshot.',
  );
}

/** The snapshot schedule of a database or keyspace (`ysql.orders`). Throws `IN_CLUSTER_NO_SCHEDULE` (permanent). */
export async function scheduleOf(admin: YbAdmin, namespace: string): Promise<NamedSchedule> {
  const found = (await namedSchedules(admin)).find((schedule) => schedule.namespace === namespace);
  if (found !== undefined) return found;
  throw permanent(
    'IN_CLUSTER_NO_SCHEDULE',
    `${namespace} has no snapshot schedule (any more), so the universe keeps no history of it`,
    'Restore a backup; for the future apply the plan again (pointTime.inCluster).',
  );
}

async function runningIn(admin: YbAdmin, { snapshots }: NamedSchedule): Promise<Restoration | undefined> {
  const own = new Set(snapshots.map(({ id }) => id));
  return (await listRestorations(admin)).find(
    ({ snapshot, state }) => state === 'RESTORING' && own.has(snapshot ?? ''),
  );
}

async function end(admin: YbAdmin, restoration: string, waiting: Waiting): Promise<Restoration['state']> {
  return await until(waiting, `the restoration ${restoration} goes on`, async () => {
    const state = (await findRestoration(admin, restoration))?.state;
    return state === 'RESTORING' ? undefined : (state ?? 'DELETED');
  });
}

/** Asks until there is an answer. Throws `REWIND_STUCK` (transient). */
export async function until<T>(
  waiting: Waiting,
  what: string,
  ask: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = Date.now() + waiting.patienceMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) {
      throw transient(
        'REWIND_STUCK',
        `After ${waiting.patienceMs} ms ${what}`,
        'Check that all tablet servers are alive (yb-admin list_all_tablet_servers).',
      );
    }
    waiting.heartbeat();
    await sleep(ASK_EVERY_MS, undefined, { signal: waiting.signal });
  }
}

/** What must be done by hand after a rewind: to indexes that were being built at the instant, and to readers of changes. */
export async function choresAfter(session: Session): Promise<readonly string[]> {
  const indexes = await session.query<{ name: string }>(
    'look for invalid indexes',
    `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_catalog.pg_index i
     JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT i.indisvalid ORDER BY 1`,
  );
  const slots = await session.query<{ name: string }>(
    'look for replication slots',
    'SELECT slot_name AS name FROM pg_catalog.pg_replication_slots WHERE database = current_database() ORDER BY 1',
  );
  return [
    ...indexes.map(
      ({ name }) => `Index ${name} in ${session.database} is not valid: drop it and create it again.`,
    ),
    ...slots.map(
      ({ name }) =>
        `Change data capture slot ${name} of ${session.database} has read what was undone: drop it, and load its reader anew.`,
    ),
  ];
}
