import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { quoteIdentifier, quoteTable } from '../../engines/ysql/server/identifiers.ts';

export interface ComparedServer {
  readonly binDirectory: string;
}

/**
 * Every difference between two databases: the schema as pg_dump writes it (database properties, owners and grants included), the
 * content of every table, the value of every sequence, which materialized views are populated. Empty when they are equal.
 * Shares no code with what is tested but the quoting of names.
 */
export async function compareDatabases(
  server: ComparedServer,
  leftUrl: string,
  rightUrl: string,
  options: { readonly ignoreDatabaseProperties?: boolean } = {},
): Promise<readonly string[]> {
  const create = options.ignoreDatabaseProperties !== true;
  const [leftSchema, rightSchema] = await Promise.all([
    schemaText(server, leftUrl, create),
    schemaText(server, rightUrl, create),
  ]);
  const [left, right] = await Promise.all([contents(leftUrl), contents(rightUrl)]);
  const differences = lineDifferences(leftSchema, rightSchema);
  for (const name of new Set([...left.keys(), ...right.keys()])) {
    if (left.get(name) !== right.get(name)) {
      differences.push(`${name}: ${left.get(name) ?? 'absent'} against ${right.get(name) ?? 'absent'}`);
    }
  }
  return differences;
}

async function schemaText(server: ComparedServer, url: string, create: boolean): Promise<readonly string[]> {
  const args = ['--schema-only', ...(create ? ['--create'] : []), url];
  const { stdout } = await promisify(execFile)(`${server.binDirectory}/pg_dump`, args, {
    maxBuffer: 256 * 1024 * 1024,
  });
  const database = databaseName(url).replaceAll(/\W/g, '\\$&');
  const name = new RegExp(`\\b(DATABASE |connect )"?${database}"?|Name: ${database};`, 'g');
  return stdout
    .split('\n')
    .filter((line) => !/^\\(un)?restrict /.test(line))
    .map((line) => line.replace(name, 'DATABASE the_database'));
}

function databaseName(url: string): string {
  return decodeURIComponent(new URL(url).pathname.slice(1));
}

/** At most 20 lines that one side has and the other hasn't, or in another place. */
function lineDifferences(left: readonly string[], right: readonly string[]): string[] {
  const differences: string[] = [];
  const rightLines = new Set(right);
  const leftLines = new Set(left);
  differences.push(...left.filter((line) => !rightLines.has(line)).map((line) => `- ${line}`));
  differences.push(...right.filter((line) => !leftLines.has(line)).map((line) => `+ ${line}`));
  const moved = differences.length === 0 && left.join('\n') !== right.join('\n');
  return moved ? ['the schemas have the same lines in another order'] : differences.slice(0, 20);
}

/** A text for each table, sequence and materialized view that is equal exactly where the content is. */
async function contents(url: string): Promise<ReadonlyMap<string, string>> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(
      `SET extra_float_digits = 3; SET TimeZone = 'UTC'; SET lc_monetary = 'C'; SET search_path = ''`,
    );
    const found = await client.query<{
      schema: string;
      table: string;
      kind: string;
      populated: boolean;
      columns: string[];
    }>(
      `SELECT n.nspname AS schema, c.relname AS table, c.relkind AS kind, c.relispopulated AS populated,
         ARRAY(SELECT attname::text FROM pg_catalog.pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum) AS columns
       FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
       WHERE c.relkind IN ('r', 'm', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`,
    );
    const result = new Map<string, string>();
    for (const { schema, table, kind, populated, columns } of found.rows) {
      const name = `${schema}.${table}`;
      const from = `FROM ONLY ${quoteTable({ schema, table })}`;
      if (!populated) {
        result.set(name, 'not populated');
        continue;
      }
      const row = columns.map((column) => `${quoteIdentifier(column)}::text`).join(', ');
      const text =
        kind === 'S'
          ? await client.query(
              `SELECT last_value || ',' || is_called AS content FROM ${quoteTable({ schema, table })}`,
            )
          : await client.query(
              `SELECT count(*) || ' rows, ' || coalesce(md5(string_agg(h, '' ORDER BY h)), '') AS content
               FROM (SELECT md5(ROW(${row})::text) AS h ${from}) hashed`,
            );
      result.set(name, text.rows[0].content);
    }
    return result;
  } finally {
    await client.end();
  }
}
