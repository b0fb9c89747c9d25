import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { query } from '../support/sql.ts';
import type { TestServer } from './harness.ts';

const run = promisify(execFile);

/**
 * What everybody does without Holdfast: `pg_dump -Fc | pg_restore` into a new database, whatever of it fails. Returns what pg_restore
 * said of that.
 */
export async function controlRestore(server: TestServer, from: string, to: string): Promise<string> {
  await query(server.url(), `CREATE DATABASE ${to} TEMPLATE template0`);
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-control-'));
  try {
    const file = join(folder, 'dump');
    await run(`${server.binDirectory}/pg_dump`, ['-Fc', '-f', file, server.url(from)]);
    // It ends with an error as soon as one object failed, and has restored the others.
    const restored = await run(`${server.binDirectory}/pg_restore`, ['-d', server.url(to), file]).catch(
      (error: unknown) => ({
        stderr: error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error),
      }),
    );
    return restored.stderr;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * What of `control` a restore lacks: rows of tables and filled views, row for row, and objects by name and definition. What is as in
 * `source`, where that is given, is right however `control` has it.
 */
export async function lostAgainst(
  control: string,
  restored: string,
  source?: string,
): Promise<readonly string[]> {
  const [wanted, found] = [await inventory(control), await inventory(restored)];
  const of = new Map(
    (await query(control, OBJECTS)).flatMap(({ name, of: table }) =>
      table === null ? [] : [[String(name), String(table)] as const],
    ),
  );
  const original = source === undefined ? new Map<string, readonly string[]>() : await inventory(source);
  const lost: string[] = [];
  for (const [name, content] of wanted) {
    // An index of a table without rows is easy to make.
    const rows = `rows of ${of.get(name)}`;
    if (of.has(name) && (wanted.get(rows)?.length ?? 0) < (found.get(rows)?.length ?? 0)) continue;
    if (original.get(name)?.toSorted().join() === found.get(name)?.toSorted().join()) continue;
    const here = new Map<string, number>();
    for (const line of found.get(name) ?? []) here.set(line, (here.get(line) ?? 0) + 1);
    const missing = content.filter((line) => {
      const left = here.get(line) ?? 0;
      here.set(line, left - 1);
      return left <= 0;
    });
    if (missing.length > 0 || !found.has(name))
      lost.push(`${name}: lacks ${missing.length} of ${content.length}`);
  }
  return lost;
}

const OBJECTS = `
  SELECT 'index ' || c.oid::regclass AS name, 'there' AS content, i.indrelid::regclass::text AS of FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE i.indisvalid AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT 'constraint ' || conname || ' of ' || conrelid::regclass, 'there', conrelid::regclass::text FROM pg_constraint
    WHERE conrelid <> 0 AND connamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT 'trigger ' || tgname || ' of ' || tgrelid::regclass, tgenabled::text, NULL FROM pg_trigger WHERE NOT tgisinternal
  UNION ALL SELECT 'view ' || c.oid::regclass, md5(pg_get_viewdef(c.oid)), NULL FROM pg_class c
    WHERE c.relkind IN ('v', 'm') AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT 'function ' || p.oid::regprocedure, md5(pg_get_functiondef(p.oid)), NULL FROM pg_proc p
    WHERE p.prokind IN ('f', 'p') AND p.pronamespace::regnamespace::text !~ '^(pg_|information_schema)'
  UNION ALL SELECT 'type ' || t.oid::regtype, 'there', NULL FROM pg_type t
    WHERE t.typnamespace::regnamespace::text !~ '^(pg_|information_schema)'`;

/** Lines by object: its definition, or a hash of each row. */
async function inventory(url: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  for (const { name, content } of await query(url, OBJECTS)) found.set(String(name), [String(content)]);
  const tables = await query(
    url,
    `SELECT c.oid::regclass::text AS name FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.relispopulated
       AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema)'`,
  );
  for (const { name } of tables) {
    const rows = await query(url, `SELECT md5(t::text) AS row FROM ONLY ${String(name)} t`);
    found.set(
      `rows of ${String(name)}`,
      rows.map(({ row }) => String(row)),
    );
  }
  return found;
}
