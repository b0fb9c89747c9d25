import type { Client } from 'pg';

/** A transaction committed in a database since its slot was created, from PostgreSQL's logical decoding. It stands in for YugabyteDB's history of rows. */
export interface CommittedChange {
  readonly xid: number;
  /** Microseconds since 1970. */
  readonly micros: string;
  readonly statements: readonly ChangedRow[];
}

export interface ChangedRow {
  readonly schema: string;
  /** With its schema, quoted where necessary. */
  readonly table: string;
  readonly sql: string;
}

const SLOT_PREFIX = 'holdfast_sim_';

export const slotName = (schedule: string): string => `${SLOT_PREFIX}${schedule.replaceAll('-', '')}`;

/** Hides the slots that stand in for history from code that looks for change data capture: YugabyteDB keeps history without slots. */
export async function hideHistory(client: Client): Promise<void> {
  const { rows } = await client.query<{ definition: string }>(
    "SELECT pg_get_viewdef('pg_catalog.pg_replication_slots'::regclass) AS definition",
  );
  const definition = (rows[0]?.definition ?? '').replace(/;\s*$/, '');
  if (definition.includes(SLOT_PREFIX)) return;
  // PostgreSQL 11 accepts this setting only at its start.
  const allowed = await client.query<{ allow_system_table_mods: string }>('SHOW allow_system_table_mods');
  if (allowed.rows[0]?.allow_system_table_mods !== 'on')
    await client.query('SET allow_system_table_mods = on');
  await client.query(
    `CREATE OR REPLACE VIEW pg_catalog.pg_replication_slots AS ${definition} WHERE l.slot_name NOT LIKE '${SLOT_PREFIX}%'`,
  );
}

export async function openHistory(client: Client, schedule: string): Promise<void> {
  await client.query("SELECT pg_create_logical_replication_slot($1, 'test_decoding')", [slotName(schedule)]);
}

export async function closeHistory(client: Client, schedule: string): Promise<void> {
  await client.query(
    'SELECT pg_drop_replication_slot(slot_name) FROM pg_get_replication_slots() WHERE slot_name = $1',
    [slotName(schedule)],
  );
}

/** Returns what the current transaction sees: `xmin:xmax:xip,…`. */
export async function visibleNow(client: Client): Promise<string> {
  const { rows } = await client.query<{ snapshot: string }>(
    'SELECT txid_current_snapshot()::text AS snapshot',
  );
  return rows[0]?.snapshot ?? '';
}

export function isVisible(xid: number, snapshot: string): boolean {
  const [xmin = '0', xmax = '0', running = ''] = snapshot.split(':');
  if (xid < Number(xmin)) return true;
  if (xid >= Number(xmax)) return false;
  return !running.split(',').includes(String(xid));
}

/** Returns the transactions committed since the schedule's slot was created, in order of their commits, without consuming them. */
export async function committedChanges(
  client: Client,
  schedule: string,
): Promise<readonly CommittedChange[]> {
  const { rows } = await client.query<{ data: string }>(
    "SELECT data FROM pg_logical_slot_peek_changes($1, NULL, NULL, 'include-timestamp', 'on', 'include-xids', 'on')",
    [slotName(schedule)],
  );
  const changes: CommittedChange[] = [];
  let statements: ChangedRow[] = [];
  const keys = new Map<string, readonly string[]>();
  for (const { data } of rows) {
    const [, xid, time] = /^COMMIT (\d+) \(at (.+)\)$/.exec(data) ?? [];
    if (xid !== undefined && time !== undefined) {
      changes.push({ xid: Number(xid), micros: microsOfTimestamp(time), statements });
      statements = [];
    } else if (data.startsWith('table ')) {
      statements.push(await statementOf(client, data, keys));
    } else if (data.startsWith('BEGIN')) {
      statements = [];
    }
  }
  return changes;
}

/** Parses `2026-11-24 18:00:00.123456+00`. */
function microsOfTimestamp(text: string): string {
  const [, whole = '', fraction = '', zone = '+00'] =
    /^(.*?)(?:\.(\d+))?([+-]\d\d(?::\d\d)?)$/.exec(text) ?? [];
  const seconds = Date.parse(`${whole.replace(' ', 'T')}${zone.length === 3 ? `${zone}:00` : zone}`) / 1000;
  return String(BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0') || '0'));
}

const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

async function statementOf(
  client: Client,
  data: string,
  keys: Map<string, readonly string[]>,
): Promise<ChangedRow> {
  const [, table = '', kind = '', rest = ''] =
    /^table (.+?): (INSERT|UPDATE|DELETE|TRUNCATE): ?(.*)$/s.exec(data) ?? [];
  const schema = /^(?:"((?:[^"]|"")+)"|([^.]+))\./.exec(table);
  const name = (schema?.[1] ?? schema?.[2] ?? '').replaceAll('""', '"');
  if (kind === 'TRUNCATE') return { schema: name, table, sql: `TRUNCATE ${table}` };
  const [oldText, newText] = /^old-key: (.*?) new-tuple: (.*)$/s.exec(rest)?.slice(1) ?? [undefined, rest];
  const values = tuple(newText ?? '');
  if (values.length === 0)
    throw new Error(`history of ${table} has no rows (no primary key?): ${data.slice(0, 200)}`);
  const assigned = (pairs: readonly Column[], joint: string): string =>
    pairs.map(({ column, value }) => `${quote(column)} = ${value}`).join(joint);
  if (kind === 'INSERT') {
    const columns = values.map(({ column }) => quote(column)).join(', ');
    return {
      schema: name,
      table,
      sql: `INSERT INTO ${table} (${columns}) OVERRIDING SYSTEM VALUE VALUES (${values.map(({ value }) => value).join(', ')})`,
    };
  }
  if (kind === 'DELETE')
    return { schema: name, table, sql: `DELETE FROM ${table} WHERE ${assigned(values, ' AND ')}` };
  const key = await keyOf(client, table, keys);
  const old = oldText === undefined ? values.filter(({ column }) => key.includes(column)) : tuple(oldText);
  const changed = values.filter(({ value }) => value !== 'unchanged-toast-datum');
  return {
    schema: name,
    table,
    sql: `UPDATE ${table} SET ${assigned(changed, ', ')} WHERE ${assigned(old, ' AND ')}`,
  };
}

async function keyOf(
  client: Client,
  table: string,
  keys: Map<string, readonly string[]>,
): Promise<readonly string[]> {
  const known = keys.get(table);
  if (known !== undefined) return known;
  const { rows } = await client.query<{ name: string }>(
    `SELECT a.attname AS name FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
     WHERE i.indrelid = to_regclass($1) AND i.indisprimary`,
    [table],
  );
  const key = rows.map(({ name }) => name);
  keys.set(table, key);
  return key;
}

interface Column {
  readonly column: string;
  /** As an SQL literal. */
  readonly value: string;
}

/** Parses `id[integer]:1 "Na me"[text]:'it''s' gone[text]:null`. */
function tuple(text: string): readonly Column[] {
  const columns: Column[] = [];
  const item = /\s*(?:"((?:[^"]|"")+)"|([^\s[]+))\[((?:[^[\]]|\[\])*)\]:(B?'(?:[^']|'')*'|[^\s]+)/gy;
  for (;;) {
    const match = item.exec(text);
    if (match === null) return columns;
    const [, quotedName, plain, type = '', value = ''] = match;
    const column = (quotedName ?? plain ?? '').replaceAll('""', '"');
    const literal = value.startsWith("'") ? `E${value.replaceAll('\\', '\\\\')}::${type}` : value;
    columns.push({ column, value: literal });
  }
}
