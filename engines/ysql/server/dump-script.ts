import { DumpGuards } from './dump-guards.ts';
import { agrees, type DumpHeader, headerReadings } from './dump-headers.ts';
import { type Repair, type Statement, scriptParts, unreadable, withRepairs } from './sql-text.ts';

/** One object's part of a plain dump, under pg_dump's header comment. */
export interface DumpEntry extends DumpHeader {
  readonly statements: readonly Statement[];
  /** Settings in force for this entry, such as `SET default_tablespace = …`. */
  readonly settings: readonly string[];
  /** Offsets in the script from the header to the next one. */
  readonly start: number;
  readonly end: number;
}

/** One statement of a dump, in the order in which it is to be run. */
export interface DumpStep {
  readonly statement: Statement;
  /** Undefined for settings, and for statements before and after all objects. */
  readonly entry: DumpEntry | undefined;
}

/** The parts of a plain script of pg_dump, ysql_dump or ysql_dumpall. */
export interface Dump {
  readonly entries: readonly DumpEntry[];
  /** Everything that is to be run. */
  readonly steps: readonly DumpStep[];
  /** Ranges that only psql understands: its commands, the queries that end in one, and branches that are not run. */
  readonly shell: readonly { readonly start: number; readonly end: number }[];
  readonly repairs: readonly Repair[];
}

/** Settings that pg_dump changes between entries. It writes them before the header of the entry that they apply to. */
const RUNNING_SETTINGS = new Set(['default_tablespace', 'default_table_access_method', 'search_path']);

/**
 * Parses a plain script of pg_dump, ysql_dump or ysql_dumpall. Only comments between statements can be headers, so it never
 * mistakes text inside function bodies or strings for one. It evaluates ysql_dump's conditions (`DumpGuards`). Pure. Throws
 * `DUMP_UNREADABLE` (permanent) when the script may not mean what it seems to mean: a statement without an end, a psql command that
 * no dump needs, a header that can be read in more than one way.
 */
export function readDump(script: string): Dump {
  return readParts(script, (statement) => statement);
}

/**
 * As `readDump`, for callers that look at few statements: each reads its tokens again from its `text` whenever they are asked for, and their offsets count
 * from the beginning of that text. Kept, the tokens of 12,000 small tables take 46 MiB of 65. Pure.
 */
export function outlineDump(script: string): Dump {
  return readParts(script, (statement) => new LightStatement(statement));
}

/** `tokens` is the class's, not the object's, so that it takes no memory. */
class LightStatement implements Statement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
  readonly endedBy: Statement['endedBy'];
  readonly repairs: readonly Repair[];

  constructor({ start, end, text, endedBy, repairs }: Statement) {
    this.start = start;
    this.end = end;
    this.text = text;
    this.endedBy = endedBy;
    this.repairs = repairs;
  }

  get tokens(): Statement['tokens'] {
    for (const part of scriptParts(this.text)) if (part.kind === 'statement') return part.statement.tokens;
    return [];
  }
}

/** @param keep what is kept of a statement that was read */
function readParts(script: string, keep: (statement: Statement) => Statement): Dump {
  const reader = new DumpReader(script, keep);
  let query: Statement | undefined;
  for (const part of scriptParts(script)) {
    if (query !== undefined && part.kind !== 'command') throw cutOff(script, query);
    if (part.kind === 'comment') reader.comment(part.text, part.start);
    else if (part.kind === 'command') {
      reader.command(part, query);
      query = undefined;
    } else if (part.statement.endedBy === 'semicolon') reader.statement(part.statement);
    else if (part.statement.endedBy === 'command') query = part.statement;
    else throw cutOff(script, part.statement);
  }
  return reader.finish();
}

/** Returns the entries of a script, as `readDump` finds them. */
export function dumpEntries(script: string): readonly DumpEntry[] {
  return readDump(script).entries;
}

interface OpenEntry {
  readonly readings: readonly DumpHeader[];
  readonly start: number;
  readonly settings: readonly string[];
  readonly statements: Statement[];
}

class DumpReader {
  readonly #script: string;
  readonly #keep: (statement: Statement) => Statement;
  readonly #guards: DumpGuards;
  readonly #opened: OpenEntry[] = [];
  readonly #steps: { readonly statement: Statement; readonly entry: OpenEntry | undefined }[] = [];
  readonly #shell: { readonly start: number; readonly end: number }[] = [];
  readonly #repairs: Repair[] = [];
  readonly #settings = new Map<string, string>();
  #entry: OpenEntry | undefined;

  constructor(script: string, keep: (statement: Statement) => Statement) {
    this.#script = script;
    this.#keep = keep;
    this.#guards = new DumpGuards(script);
  }

  comment(text: string, start: number): void {
    const readings = headerReadings(text);
    if (readings.length === 0) return;
    this.#entry = { readings, start, settings: [...this.#settings.values()], statements: [] };
    this.#opened.push(this.#entry);
  }

  command(
    command: {
      readonly kind: 'command';
      readonly start: number;
      readonly end: number;
      readonly text: string;
    },
    query: Statement | undefined,
  ): void {
    this.#repairs.push(...(query?.repairs ?? []));
    this.#shell.push({ start: query?.start ?? command.start, end: command.end });
    // The statements after `\connect` set up the new connection and describe no object.
    if (this.#guards.apply(command, query) === 'connect') this.#entry = undefined;
  }

  statement(statement: Statement): void {
    // Repair it even in a branch that is not run here: psql may run it.
    this.#repairs.push(...statement.repairs);
    if (!this.#guards.active || isForNewerServers(statement)) {
      this.#shell.push({ start: statement.start, end: statement.end + 1 });
      return;
    }
    const setting = runningSetting(statement);
    if (setting !== undefined) this.#settings.set(setting, statement.text);
    const entry = setting !== undefined || isOfNoObject(statement) ? undefined : this.#entry;
    const kept = this.#keep(statement);
    entry?.statements.push(kept);
    this.#steps.push({ statement: kept, entry });
  }

  finish(): Dump {
    this.#guards.finish();
    const closed = new Map<OpenEntry, DumpEntry>();
    for (const [index, entry] of this.#opened.entries()) {
      const end = this.#opened[index + 1]?.start ?? this.#script.length;
      const { start, statements, settings } = entry;
      closed.set(entry, { ...readingOf(this.#script, entry), statements, settings, start, end });
    }
    return {
      entries: [...closed.values()],
      steps: this.#steps.map(({ statement, entry }) => ({
        statement,
        entry: entry === undefined ? undefined : closed.get(entry),
      })),
      shell: this.#shell,
      repairs: this.#repairs,
    };
  }
}

function readingOf(script: string, { readings, start, statements }: OpenEntry): DumpHeader {
  const [only, ...others] = readings;
  if (only !== undefined && others.length === 0) return only;
  const statement = statements.find(({ tokens }) => !setsNextOid(tokens));
  const fitting = readings.filter((reading) => statement !== undefined && agrees(reading, statement));
  const [one, ...more] = fitting;
  // The owner may differ between readings: it is taken from the statements.
  const isSame = ({ type, schema, name }: DumpHeader) =>
    type === one?.type && schema === one.schema && name === one.name;
  if (one !== undefined && more.every(isSame)) return one;
  throw unreadable(
    script,
    start,
    `a comment can be read in ${readings.length} ways: ${script.slice(start, script.indexOf('\n', start))}`,
  );
}

/** True for `SELECT pg_catalog.binary_upgrade_set_next_…`, which `--include-yb-metadata` writes before a statement. */
function setsNextOid(tokens: Statement['tokens']): boolean {
  return tokens[0]?.text === 'select' && tokens[3]?.text.startsWith('binary_upgrade_set_') === true;
}

/**
 * True for `SET transaction_timeout = 0`. pg_dump 17 and newer write it for any server, but servers before 17 refuse it. It is not needed: the
 * sessions that apply a script have no such timeout.
 */
function isForNewerServers({ tokens }: Statement): boolean {
  return tokens[0]?.text === 'set' && tokens[1]?.text === 'transaction_timeout';
}

function runningSetting({ tokens: [first, second] }: Statement): string | undefined {
  if (first?.text !== 'set' || second === undefined) return undefined;
  return RUNNING_SETTINGS.has(second.text) ? second.text : undefined;
}

/**
 * True for settings, and for the DO block by which ysql_dump turns auto-analyze off for the load. Only `SET SESSION AUTHORIZATION`
 * belongs to an object, namely to its grants.
 */
function isOfNoObject({ tokens: [first, second, , third] }: Statement): boolean {
  if (first?.text === 'do') return true;
  if (first?.text === 'set') return second?.text !== 'session';
  return first?.text === 'select' && third?.text === 'set_config';
}

function cutOff(script: string, { start, text }: Statement): Error {
  return unreadable(script, start, `a statement has no end: ${JSON.stringify(text.slice(0, 60))}`);
}

/**
 * Returns the script without the entries that `drop` selects, without the parts that only psql understands, and with the quotes that
 * the dump program left out. So `psql -f` can run it too and finds no psql command in it.
 *
 * @param dump the parsed script, if it was parsed already: thousands of tables take a while
 */
export function withoutEntries(
  script: string,
  drop: (entry: DumpEntry) => boolean,
  { entries, shell, repairs }: Dump = outlineDump(script),
): string {
  const cuts = entries.filter(drop).map(({ start, statements }): Repair => {
    const end = statements.at(-1)?.end ?? endOfHeader(script, start);
    return { start, end: script[end] === ';' ? end + 1 : end, with: '' };
  });
  const edits = [...cuts, ...shell.map((range): Repair => ({ ...range, with: '' })), ...repairs];
  edits.sort((one, other) => one.start - other.start || other.end - one.end);
  let at = 0;
  const apart = edits.filter(({ start, end }) => {
    if (start < at) return false;
    at = end;
    return true;
  });
  return withRepairs(script, apart);
}

/**
 * Returns the script for psql: it adds the quotes that the dump program left out and changes nothing else. Throws
 * `DUMP_UNREADABLE` (permanent) when the script holds a psql command that no dump needs.
 */
export function withQuotedNames(script: string): string {
  return withRepairs(script, readDump(script).repairs);
}

function endOfHeader(script: string, start: number): number {
  const end = script.indexOf('\n', start);
  return end < 0 ? script.length : end;
}
