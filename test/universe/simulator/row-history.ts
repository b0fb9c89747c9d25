import type { Client } from 'pg';
import { databaseOf } from './catalog.ts';
import { readFolder, snapshotFolder } from './files.ts';
import { type CommittedChange, committedChanges, isVisible } from './history.ts';
import { listRelations, loadRows, quoted, readRows } from './rows.ts';
import { dumpSchema } from './schema-dump.ts';
import type { NamespaceState, SnapshotState } from './state.ts';
import { newId, type World } from './world.ts';

/**
 * One change in the history of rows that a tablet's files carry: what happened to each row since the schedule's previous snapshot. YugabyteDB keeps
 * old versions of rows in the same files (MVCC), at least as far back as that snapshot (facts, "Alternative for universes"); here they are in a
 * separate file.
 */
export interface RowChange {
  /** Time of the commit, microseconds since 1970. */
  readonly micros: string;
  readonly kind: '+' | '-';
  readonly hash: number;
  readonly line: string;
}

/**
 * Returns the row changes committed between two snapshots of a schedule, oldest first. It loads the rows of the previous snapshot into a scratch database
 * with the present schema, and repeats each transaction there. So rows from before a schema change get the present form. These are the wrong rows that
 * YugabyteDB returns without a warning, since it doesn't check whether the instant is recoverable.
 *
 * Throws when a transaction can't be repeated (a column was renamed or dropped).
 */
export async function rowHistory(
  world: World,
  namespace: NamespaceState,
  previous: SnapshotState,
  visible: string,
): Promise<readonly RowChange[]> {
  const commits = await world.connected(databaseOf(namespace), (client) =>
    committedChanges(client, previous.scheduleId ?? ''),
  );
  const own = commits
    .filter(({ xid }) => !isVisible(xid, previous.visible ?? '') && isVisible(xid, visible))
    .map(({ statements, ...commit }) => ({
      ...commit,
      statements: statements.filter(({ schema }) => namespace.kind === 'ysql' || schema === namespace.name),
    }))
    .filter(({ statements }) => statements.length > 0);
  if (own.length === 0) return [];
  const schema = await dumpSchema(world, namespace);
  // It is a template, so that it doesn't count as a database of the universe.
  const scratch = `history_${newId()}`;
  await world.connected('postgres', (client) =>
    client.query(`CREATE DATABASE ${scratch} TEMPLATE template0 IS_TEMPLATE true`),
  );
  try {
    return await world.connected(scratch, async (client) => {
      await client.query(schema);
      await client.query('RESET search_path; SET session_replication_role = replica; SET row_security = off');
      await loadPrevious(world, client, previous);
      return await repeat(client, own);
    });
  } finally {
    await world.connected('postgres', (client) =>
      client
        .query(`ALTER DATABASE ${scratch} IS_TEMPLATE false`)
        .then(() => client.query(`DROP DATABASE ${scratch}`)),
    );
  }
}

/** Loads the rows of the previous snapshot's files, in those columns that still exist. */
async function loadPrevious(world: World, client: Client, previous: SnapshotState): Promise<void> {
  const rows = new Map<string, string[]>();
  for (const { tablets } of previous.objects) {
    for (const { id } of tablets) {
      const tablet = world.state.tablets.find((other) => other.id === id);
      const replica = tablet?.replicas.find(({ server }) => world.isAlive(server));
      // Its table was dropped meanwhile.
      if (tablet === undefined) continue;
      if (replica === undefined) throw new Error(`tablet ${id} has no live replica`);
      const content = readFolder(snapshotFolder(replica, tablet, previous.id), tablet);
      if (content.problem !== undefined) throw new Error(content.problem);
      for (const line of content.lines) {
        const tab = line.indexOf('\t');
        const known = rows.get(line.slice(0, tab)) ?? [];
        rows.set(line.slice(0, tab), known);
        known.push(line.slice(tab + 1));
      }
    }
  }
  for (const { kind, schema, name, columns } of previous.objects) {
    if (kind !== 'table' || !(await exists(client, quoted(schema, name)))) continue;
    const { rows: present } = await client.query<{ name: string }>(
      'SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped',
      [quoted(schema, name)],
    );
    const kept = columns.flatMap((column, place) =>
      present.some((one) => one.name === column.name) ? [{ ...column, place }] : [],
    );
    const lines = (rows.get(JSON.stringify([schema, name])) ?? []).map((line) => {
      const values = line.split('\t');
      return kept.map(({ place }) => values[place] ?? '\\N').join('\t');
    });
    await loadRows(
      client,
      { schema, name },
      kept.map((column) => column.name),
      lines,
    );
  }
}

async function exists(client: Client, relation: string): Promise<boolean> {
  const { rows } = await client.query<{ found: string | null }>('SELECT to_regclass($1)::text AS found', [
    relation,
  ]);
  return rows[0]?.found !== null;
}

async function repeat(client: Client, commits: readonly CommittedChange[]): Promise<readonly RowChange[]> {
  const changes: RowChange[] = [];
  let before = await rowsNow(client);
  for (const { micros, statements } of commits) {
    // A transaction is one instant: nobody sees the states between its statements.
    await client.query('BEGIN');
    for (const { table, sql } of statements) if (await exists(client, table)) await client.query(sql);
    await client.query('COMMIT');
    const after = await rowsNow(client);
    for (const [line, { hash, count }] of before) {
      for (let lost = count - (after.get(line)?.count ?? 0); lost > 0; lost -= 1)
        changes.push({ micros, kind: '-', hash, line });
    }
    for (const [line, { hash, count }] of after) {
      for (let added = count - (before.get(line)?.count ?? 0); added > 0; added -= 1)
        changes.push({ micros, kind: '+', hash, line });
    }
    before = after;
  }
  return changes;
}

/** Counts the present rows by line; a table without a key may have a row twice. */
async function rowsNow(
  client: Client,
): Promise<ReadonlyMap<string, { readonly hash: number; readonly count: number }>> {
  const rows = new Map<string, { hash: number; count: number }>();
  for (const relation of await listRelations(client)) {
    if (relation.kind === 'matview') continue;
    for (const { hash, line } of await readRows(client, relation)) {
      const known = rows.get(line);
      if (known === undefined) rows.set(line, { hash, count: 1 });
      else known.count += 1;
    }
  }
  return rows;
}

/** Formats a change as in a file: time, kind, row. */
export function encodeChange({ micros, kind, line }: RowChange): string {
  return `${micros}\t${kind}\t${line}`;
}

/**
 * Computes the rows of a tablet at an instant from those at its snapshot. For an instant before all history it returns the oldest rows, for one after the
 * snapshot those of the snapshot, without an error (as in the facts).
 */
export function rowsAsOf(
  lines: readonly string[],
  history: readonly string[],
  micros: string,
): readonly string[] {
  const rows = new Map<string, number>();
  const count = (line: string, by: number) => rows.set(line, (rows.get(line) ?? 0) + by);
  for (const line of lines) count(line, 1);
  for (const change of history) {
    const [at = '0', kind] = change.split('\t', 2);
    if (BigInt(at) <= BigInt(micros)) continue;
    count(change.slice(at.length + 3), kind === '+' ? -1 : 1);
  }
  return [...rows].flatMap(([line, times]) => Array.from({ length: times }, () => line)).sort();
}
