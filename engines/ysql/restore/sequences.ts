import { tableName } from '../server/identifiers.ts';
import { findScript, readScript } from '../server/scripts.ts';
import type { Session } from '../server/session.ts';
import { type Statement, scriptParts } from '../server/sql-text.ts';
import { withRestoreSession } from './bookkeeping.ts';
import type { DatabaseJob, RestoreJob } from './job.ts';

const STATEMENTS_AT_ONCE = 200;

/**
 * Sets every sequence to its value from the backup. In tables that were there before, only sequences that feed a restored table are set;
 * one that feeds no table is only moved forward, since others may have used it meanwhile. May be called again.
 */
export async function setSequences(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const object = findScript(database.manifest.schemaObjects, 'sequences');
  if (object === undefined || !job.withData) return;
  const script = await readScript(job.context, object);
  const statements = [...scriptParts(script)].flatMap((part) =>
    part.kind === 'statement' ? [part.statement] : [],
  );
  await withRestoreSession(job, database, async (session) => {
    const wanted = await ofExisting(session, statements);
    const texts = job.withSchema
      ? wanted.map(({ statement }) => statement.text)
      : await intoExisting(session, database, wanted);
    for (let at = 0; at < texts.length; at += STATEMENTS_AT_ONCE) {
      await session.query('set the sequences', texts.slice(at, at + STATEMENTS_AT_ONCE).join('\n'));
    }
  });
}

/** A statement of the script, and the sequence that it sets. */
interface Setting {
  readonly statement: Statement;
  readonly oid: string;
}

/** Keeps the statements whose sequence exists. Sequences of tables that are not selected don't, nor those of identity columns of tables that an older backup left out. */
async function ofExisting(session: Session, statements: readonly Statement[]): Promise<readonly Setting[]> {
  const settings: Setting[] = [];
  for (let at = 0; at < statements.length; at += STATEMENTS_AT_ONCE) {
    const some = statements.slice(at, at + STATEMENTS_AT_ONCE);
    const names = some.map(({ tokens }) => tokens.find(({ kind }) => kind === 'string')?.text ?? "''");
    const found = await session.query<{ oid: string | null }>(
      'look for the sequences',
      `SELECT to_regclass(name)::oid::text AS oid FROM unnest(ARRAY[${names.join(', ')}]::text[]) WITH ORDINALITY one(name, place) ORDER BY place`,
    );
    for (const [place, statement] of some.entries()) {
      const oid = found[place]?.oid ?? null;
      if (oid !== null) settings.push({ statement, oid });
    }
  }
  return settings;
}

/** The tables that a sequence feeds: by ownership, identity or a default, in the table itself or in one above it. */
const FED = `
  WITH RECURSIVE fed(sequence, relation) AS (
    SELECT d.objid, d.refobjid FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0 AND d.objid = ANY ($1::oid[])
    UNION SELECT d.refobjid, a.adrelid FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attrdef a ON a.oid = d.objid
    WHERE d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
      AND d.refobjid = ANY ($1::oid[])
    UNION SELECT f.sequence, i.inhrelid FROM fed f JOIN pg_catalog.pg_inherits i ON i.inhparent = f.relation)
  SELECT f.sequence::text AS sequence, n.nspname AS schema, t.relname AS table FROM fed f
  JOIN pg_catalog.pg_class t ON t.oid = f.relation JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace`;

/** Returns the statements for a database whose tables were there before. */
async function intoExisting(
  session: Session,
  { manifest, selection }: DatabaseJob,
  settings: readonly Setting[],
): Promise<readonly string[]> {
  const rows = await session.query<{ sequence: string; schema: string; table: string }>(
    'list the tables that sequences feed',
    FED,
    [settings.map(({ oid }) => oid)],
  );
  const fed = Map.groupBy(rows, ({ sequence }) => sequence);
  const restored = new Set(manifest.tables.filter(selection.includes).map(tableName));
  return settings.flatMap(({ statement, oid }) => {
    const tables = fed.get(oid);
    if (tables === undefined) return [forward(statement.text)];
    return tables.some((table) => restored.has(tableName(table))) ? [statement.text] : [];
  });
}

const VALUE = /^SELECT pg_catalog\.setval\((?<name>.*), (?<last>-?\d+), (?:true|false)\);$/s;

/** Limits the statement to a sequence that is not further than the backup's. */
function forward(text: string): string {
  const { name, last } = VALUE.exec(text)?.groups ?? {};
  if (name === undefined) return text;
  const now = 'pg_catalog.pg_sequence_last_value(q.seqrelid)';
  return `${text.slice(0, -1)} FROM pg_catalog.pg_sequence q WHERE q.seqrelid = ${name}::pg_catalog.regclass
    AND (${now} IS NULL OR CASE WHEN q.seqincrement > 0 THEN ${now} < ${last} ELSE ${now} > ${last} END);`;
}
