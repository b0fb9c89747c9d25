import { permanent } from '../../../model/errors.ts';
import { BEHIND_ROWS } from '../dump-sections.ts';
import { describesDatabase } from '../server/database-entries.ts';
import { type DumpEntry, outlineDump } from '../server/dump-script.ts';

/** Where an entry of a slice belongs in the whole dump. */
type Place = 'tables' | 'keys' | 'triggers' | 'foreignKeys' | 'privileges';

const PLACES: Readonly<Record<string, Place>> = {
  TABLE: 'tables',
  SEQUENCE: 'tables',
  'SEQUENCE OWNED BY': 'tables',
  DEFAULT: 'tables',
  CONSTRAINT: 'keys',
  'CHECK CONSTRAINT': 'keys',
  INDEX: 'keys',
  TRIGGER: 'triggers',
  'FK CONSTRAINT': 'foreignKeys',
  ACL: 'privileges',
};

/** These types describe the entry before them. */
const REMARKS = new Set(['COMMENT', 'SECURITY LABEL']);

const PRIVILEGES = new Set(['ACL', 'DEFAULT ACL']);

/** Types that pg_dump writes after foreign keys; no foreign key needs them. */
const BEHIND_FOREIGN_KEYS = new Set([
  'EVENT TRIGGER',
  'MATERIALIZED VIEW DATA',
  'POLICY',
  'PUBLICATION',
  'PUBLICATION TABLE',
  'PUBLICATION TABLES IN SCHEMA',
  'STATISTICS DATA',
  'SUBSCRIPTION',
  ...PRIVILEGES,
  ...REMARKS,
]);

/**
 * Merges `script`, the dump of everything but the plain tables (`plain-tables.ts`), with the dumps of the plain tables into one dump. The order of
 * `script` stays as pg_dump wrote it. Plain tables come right after the schemas, since they need nothing else. Their keys and indexes come first
 * after the rows, since they need only their table. Their triggers and foreign keys come after all functions and all keys. Privileges come last.
 * Pure.
 *
 * @throws HoldfastError `DUMP_IN_SLICES` (permanent) where a slice holds an object of another kind
 */
export function mergeSlices(script: string, slices: readonly string[]): string {
  const parts = slices.map(partsOf);
  const { entries } = outlineDump(script);
  const keys = firstBehindRows(entries);
  const places = [
    { at: behindSchemas(entries), of: ['tables'] },
    { at: keys, of: ['keys'] },
    { at: Math.max(keys, firstBehindForeignKeys(entries)), of: ['triggers', 'foreignKeys'] },
    { at: entries.length, of: ['privileges'] },
  ] as const satisfies readonly { readonly at: number; readonly of: readonly Place[] }[];
  let merged = '';
  let done = 0;
  for (const { at, of } of places) {
    const next = entries[at];
    const offset = next === undefined ? script.length : lineBefore(script, next.start);
    merged += script.slice(done, offset);
    done = offset;
    for (const place of of) merged += parts.map((part) => part.get(place) ?? '').join('');
    // The settings of the next entry stand before this place, so they are written again.
    merged += (next?.settings ?? []).map((setting) => `${setting}\n`).join('');
  }
  return merged + script.slice(done);
}

/** Returns the texts of a slice by place, with the settings that apply to each. */
function partsOf(script: string): ReadonlyMap<Place, string> {
  const parts = new Map<Place, string>();
  const settings = new Map<Place, string>();
  let before: Place | undefined;
  for (const entry of outlineDump(script).entries) {
    const last = entry.statements.at(-1);
    if (last === undefined || entry.type === 'STATISTICS DATA') continue;
    const place = REMARKS.has(entry.type) ? before : PLACES[entry.type];
    if (place === undefined) throw unexpected(entry);
    before = place;
    const inForce = entry.settings.map((setting) => `${setting}\n`).join('');
    const set = settings.get(place) === inForce ? '' : inForce;
    settings.set(place, inForce);
    const text = script.slice(entry.start, last.end);
    parts.set(place, `${parts.get(place) ?? ''}${set}--\n${text};\n\n\n`);
  }
  return parts;
}

function unexpected({ type, schema, name }: DumpEntry): Error {
  return permanent(
    'DUMP_IN_SLICES',
    `The dump of single tables holds ${type} ${schema ?? '-'}.${name}, whose place in the whole dump is not known`,
    'Raise max_locks_per_transaction so far that all tables can be locked at once (doctor does the sum), and report this.',
  );
}

/** A header begins with an empty comment. */
function lineBefore(script: string, start: number): number {
  return script.slice(start - 3, start) === '--\n' ? start - 3 : start;
}

function behindSchemas(entries: readonly DumpEntry[]): number {
  const last = entries.findLastIndex(({ type }) => type === 'SCHEMA');
  const from = last < 0 ? -1 : last;
  const found = entries.findIndex(
    (entry, place) => place > from && !describesDatabase(entry) && !REMARKS.has(entry.type),
  );
  return found < 0 ? entries.length : found;
}

function firstBehindRows(entries: readonly DumpEntry[]): number {
  const found = entries.findIndex(
    (entry) => BEHIND_ROWS.has(entry.type) || (PRIVILEGES.has(entry.type) && !describesDatabase(entry)),
  );
  return found < 0 ? entries.length : found;
}

function firstBehindForeignKeys(entries: readonly DumpEntry[]): number {
  return entries.findLastIndex(({ type }) => !BEHIND_FOREIGN_KEYS.has(type)) + 1;
}
