import type { Client } from 'pg';
import { identifier, replaceRanges, type Statement, statements, type Token } from './sql.ts';
import { asking } from './superuser.ts';

/** One tablet server's PostgreSQL: it knows only its own sessions. */
export interface Node {
  readonly host: string;
  port: number;
  /** Upstream process ids of the sessions that came through it. */
  readonly backends: Set<number>;
  /** True: `yb_servers()` still lists it, but it answers nobody. */
  down: boolean;
  /** UUID of its tablet server in `yb_servers()`; empty: a generated one. */
  readonly uuid: () => string;
}

/** A node, and what it knows about the others: their addresses, by `yb_servers()`. */
export interface Place {
  readonly nodes: readonly Node[];
  readonly node: Node;
  /** A superuser's URL of any database of the upstream. */
  readonly upstreamUrl: string;
}

/** Statements that define objects keep their text. */
const DEFINITIONS: ReadonlySet<string> = new Set(['create', 'comment', 'insert', 'update', 'do', 'security']);

/**
 * Translates a node's view: `yb_servers()` lists all nodes, but `pg_stat_activity` and `pg_terminate_backend` know only this node's sessions
 * (facts yugabytedb-programs R12, YugabyteDB issue 13966).
 */
export function translateNodes(sql: string, place: Place): string {
  if (!/yb_servers|pg_stat_activity|pg_terminate_backend|pg_yb_catalog_version/i.test(sql)) return sql;
  return statements(sql)
    .map(({ sql: one, tokens }) =>
      DEFINITIONS.has(tokens[0]?.text ?? '') ? one : replaceRanges(one, edits(tokens, place)),
    )
    .join('; ');
}

type Edit = { readonly start: number; readonly end: number; readonly with: string };

const AFTER_A_TABLE: ReadonlySet<string> = new Set(
  'where join left right inner outer cross full natural on using order group having limit union for'.split(
    ' ',
  ),
);

function edits(tokens: readonly Token[], { nodes, node }: Place): readonly Edit[] {
  const own = `'{${[...node.backends].join(',')}}'::int[]`;
  return tokens.flatMap((token, index): readonly Edit[] => {
    const start = startOfName(tokens, index);
    const next = tokens[index + 1];
    if (token.text === 'yb_servers' && next?.text === '(') {
      const all = nodes.map(({ host, port }) => `${host}:${port}`).join(',');
      const uuids = nodes.map(({ uuid }) => uuid()).join(',');
      return [{ start, end: next.end, with: `pg_catalog.yb_servers_at('${all}', '${uuids}'` }];
    }
    if (token.text === 'pg_terminate_backend' && next?.text === '(') {
      return [{ start, end: next.end, with: `pg_catalog.yb_terminate_backend(${own}, ` }];
    }
    if (token.text === 'pg_yb_catalog_version') {
      return [{ start, end: token.end, with: 'pg_catalog.yb_catalog_versions()' }];
    }
    const isTable = ['from', 'join', ','].includes(tokenBeforeName(tokens, index)?.text ?? '');
    if (token.text !== 'pg_stat_activity' || !isTable) return [];
    const aliased = next !== undefined && next.kind === 'word' && !AFTER_A_TABLE.has(next.text);
    return [
      {
        start,
        end: token.end,
        with: `(SELECT * FROM pg_catalog.pg_stat_activity WHERE pid = ANY (${own}))${aliased ? '' : ' pg_stat_activity'}`,
      },
    ];
  });
}

function startOfName(tokens: readonly Token[], index: number): number {
  return tokens[isQualified(tokens, index) ? index - 2 : index]?.start ?? 0;
}

function tokenBeforeName(tokens: readonly Token[], index: number): Token | undefined {
  return tokens[isQualified(tokens, index) ? index - 3 : index - 1];
}

function isQualified(tokens: readonly Token[], index: number): boolean {
  return tokens[index - 1]?.text === '.' && tokens[index - 2]?.text === 'pg_catalog';
}

/**
 * Returns the statement to send to the upstream for a change of a database. YugabyteDB drops a database even if sessions of other
 * nodes use it (issues 7400, 33209). For a RENAME it counts only this node's sessions: those of other nodes stay and keep writing
 * under the new name, since they know the database by its oid (facts yugabytedb-programs R12).
 */
export async function changeDatabase(statement: Statement, place: Place): Promise<string> {
  const [verb, object, ...rest] = statement.tokens;
  if (place.nodes.length === 1 || object?.text !== 'database') return statement.sql;
  if (verb?.text === 'drop') {
    const name = rest
      .map(identifier)
      .find((word) => word !== undefined && word !== 'if' && word !== 'exists');
    await withUpstream(place, async (client) => {
      await client.query(
        'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid = ANY ($2)',
        [name, othersOf(place)],
      );
      await untilGone(client, name, othersOf(place));
    });
    return statement.sql;
  }
  const [from, rename, to, name] = rest;
  if (verb?.text !== 'alter' || rename?.text !== 'rename' || to?.text !== 'to') return statement.sql;
  const [oldName, newName] = [identifier(from), identifier(name)];
  return await withUpstream(place, async (client) => {
    const { rows } = await client.query<{ own: boolean; other: boolean }>(
      `SELECT bool_or(pid <> ALL ($2)) AS own, bool_or(pid = ANY ($2)) AS other FROM pg_stat_activity
       WHERE datname = $1 AND backend_type = 'client backend' AND application_name NOT LIKE 'yugabytedb %'`,
      [oldName, othersOf(place)],
    );
    if (rows[0]?.own === true || rows[0]?.other !== true) return statement.sql;
    return `UPDATE pg_catalog.pg_database SET datname = ${quoted(newName)} WHERE datname = ${quoted(oldName)}`;
  });
}

function othersOf({ nodes, node }: Place): readonly number[] {
  return nodes.flatMap((other) => (other === node ? [] : [...other.backends]));
}

async function untilGone(
  client: Client,
  database: string | undefined,
  pids: readonly number[],
): Promise<void> {
  for (let round = 0; round < 200; round += 1) {
    const { rowCount } = await client.query(
      'SELECT FROM pg_stat_activity WHERE datname = $1 AND pid = ANY ($2)',
      [database, pids],
    );
    if (rowCount === 0) return;
    await client.query('SELECT pg_sleep(0.01)');
  }
}

function quoted(name: string | undefined): string {
  return `'${(name ?? '').replaceAll("'", "''")}'`;
}

function withUpstream<T>(place: Place, work: (client: Client) => Promise<T>): Promise<T> {
  return asking(place.upstreamUrl, 'yugabytedb nodes', work);
}
