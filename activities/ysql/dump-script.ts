import { type Statement, scriptParts } from './sql-text.ts';

/** One object's part of a plain dump, under pg_dump's header comment. */
export interface DumpEntry {
  /** pg_dump's tag, e.g. `orders orders_pkey` for a constraint. */
  readonly name: string;
  /** e.g. `TABLE`, `FK CONSTRAINT`, `INDEX`, `ACL`. */
  readonly type: string;
  /** Undefined for objects outside of schemas. */
  readonly schema: string | undefined;
  /** Undefined where the object has no owner. */
  readonly owner: string | undefined;
  readonly statements: readonly Statement[];
  /** `SET default_tablespace = …` and their like that are in force for this entry. */
  readonly settings: readonly string[];
  /** Offsets in the script from the header to the next one. */
  readonly start: number;
  readonly end: number;
}

const HEADER =
  /^-- (?:Data for )?Name: (?<name>.*); Type: (?<type>[A-Z ]+); Schema: (?<schema>.*); Owner: (?<owner>.*?)(?:; Tablespace: .*)?$/s;

/** Settings that pg_dump changes between entries, before the header of the one they are for. */
const RUNNING_SETTINGS = new Set(['default_tablespace', 'default_table_access_method', 'search_path']);

/**
 * Takes a plain script of pg_dump or ysql_dump apart. Only comments between statements can be headers, so text inside function
 * bodies and strings can't be mistaken for one. Pure.
 */
export function dumpEntries(script: string): readonly DumpEntry[] {
  const entries: OpenEntry[] = [];
  const settings = new Map<string, string>();
  for (const part of scriptParts(script)) {
    if (part.kind === 'comment') {
      const header = HEADER.exec(part.text)?.groups;
      if (header !== undefined) entries.push(openEntry(header, part.start, settings));
    } else if (part.kind === 'statement') {
      const setting = runningSetting(part.statement);
      if (setting !== undefined) settings.set(setting, part.statement.text);
      else entries.at(-1)?.statements.push(part.statement);
    }
  }
  return entries.map((entry, index) => ({ ...entry, end: entries[index + 1]?.start ?? script.length }));
}

type OpenEntry = Omit<DumpEntry, 'end' | 'statements'> & { readonly statements: Statement[] };

function openEntry(
  header: Readonly<Record<string, string>>,
  start: number,
  settings: ReadonlyMap<string, string>,
): OpenEntry {
  const { name = '', type = '', schema = '-', owner = '' } = header;
  return {
    name,
    type,
    schema: schema === '-' ? undefined : schema,
    owner: owner === '' || owner === '-' ? undefined : owner,
    statements: [],
    settings: [...settings.values()],
    start,
  };
}

function runningSetting(statement: Statement): string | undefined {
  const [first, second] = statement.tokens;
  if (first?.text !== 'set' || second === undefined) return undefined;
  return RUNNING_SETTINGS.has(second.text) ? second.text : undefined;
}

/** The script without the entries that `drop` names and without psql's commands, which older versions of psql don't know. */
export function withoutEntries(script: string, drop: (entry: DumpEntry) => boolean): string {
  const cuts: { start: number; end: number }[] = dumpEntries(script)
    .filter(drop)
    .map(({ start, statements }) => {
      const end = statements.at(-1)?.end ?? endOfHeader(script, start);
      return { start, end: script[end] === ';' ? end + 1 : end };
    });
  for (const part of scriptParts(script)) {
    if (part.kind === 'command') cuts.push({ start: part.start, end: part.end });
  }
  cuts.sort((a, b) => a.start - b.start);
  let at = 0;
  const kept: string[] = [];
  for (const { start, end } of cuts) {
    if (end <= at) continue;
    kept.push(script.slice(at, Math.max(at, start)));
    at = end;
  }
  kept.push(script.slice(at));
  return kept.join('');
}

function endOfHeader(script: string, start: number): number {
  const end = script.indexOf('\n', start);
  return end < 0 ? script.length : end;
}
