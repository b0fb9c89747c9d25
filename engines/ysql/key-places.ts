import type { KeyRange } from '../../model/backup.ts';
import type { CutColumn, CutKey } from './cut-keys.ts';
import { shareBefore, valuesBetween } from './key-interpolation.ts';
import { type KeyPlace, selectRange } from './key-ranges.ts';
import type { Session } from './server/session.ts';
import { splitPlaces } from './split-clause.ts';

/*
 * Decides where to cut a table: at places of its key that lie a chunk's worth of rows apart.
 *
 * On YugabyteDB statistics may be missing, sizes lag (facts/yugabytedb-programs.md, section 9), and there is no TABLESAMPLE (issue 4288). The only way to learn
 * how many rows lie between two keys is to pass over them. So this code walks the table in key order, a chunk's rows at a time: the server reads only keys and
 * sends one row per chunk. The walk takes a small part of the backup's time and is bounded. After `CutBudget.walkMs` the rest is cut by cheap guesses: the
 * tablets' split points, the statistics of the key's first column, and values spread evenly between these.
 */

/** Limits the cost of cutting. */
export interface CutBudget {
  /** Limits for one table, and for all tables of a database together, milliseconds. */
  readonly walkMs: number;
  readonly allWalksMs: number;
  /** Number of places; a table that needs more gets larger chunks. */
  readonly maxPlaces: number;
  readonly now: () => number;
}

export const CUT_BUDGET: CutBudget = {
  walkMs: 60_000,
  allWalksMs: 600_000,
  maxPlaces: 50_000,
  now: Date.now,
};

/** How a table is cut, in the order of its key. */
export interface TableCut {
  /**
   * Strictly ascending in the key's order. Neighbours with equal leading values write these values as the same text. The first range begins before
   * the first place.
   */
  readonly places: readonly KeyPlace[];
  /** Estimated text of each range, bytes. There is one range more than places. */
  readonly rangeBytes: readonly number[];
  /** Why a part of the table, possibly a large one, couldn't be cut. Absent where all was cut. */
  readonly uncut?: string;
}

/** A table with the key that may cut it. */
interface KeyedTable {
  readonly oid: string;
  /** Quoted, with its schema. */
  readonly table: string;
  readonly key: CutKey;
  /** Estimated from statistics and files, in bytes of text; 0 where neither is known. */
  readonly estimatedBytes: number;
}

/** How many rows the first sample reads, and each later one. */
const FIRST_LOOK_ROWS = 100;
const LOOK_ROWS = 20;

/**
 * Finds where to cut a table into ranges of about `chunkBytes` of COPY text. `session` must see the table at the read point. `budget` limits the cost; memory
 * holds only the places.
 */
export async function cutByKey(
  session: Session,
  table: KeyedTable,
  chunkBytes: number,
  budget: CutBudget,
): Promise<TableCut> {
  const look = await rowsFrom(session, table, undefined, FIRST_LOOK_ROWS);
  if (look.rows < FIRST_LOOK_ROWS && look.bytes <= chunkBytes)
    return { places: [], rangeBytes: [look.bytes] };
  const walk = await walkTable(session, table, look, chunkBytes, budget);
  const walked = await inOrder(session, table.key, walk.places);
  if (walk.ended) {
    return { places: walked, rangeBytes: [...walked.map(() => chunkBytes), walk.lastBytes] };
  }
  return await cutTheRest(session, table, walked, chunkBytes, budget);
}

interface Look {
  readonly rows: number;
  readonly bytes: number;
}

const WHOLE_ROW = '"holdfast row"';
/** A whole row cast to text is about as long as its COPY text. */
const MEASURES = `count(*)::float8 AS rows, coalesce(sum(octet_length(${WHOLE_ROW}::text)), 0)::float8 AS bytes`;

function fromPlace(keys: CutKey, place: KeyPlace | undefined): KeyRange {
  return { kind: 'key', keys, from: place ?? null, to: null };
}

/** Counts and measures at most `limit` rows, starting at a place. */
async function rowsFrom(
  session: Session,
  { table, key }: KeyedTable,
  place: KeyPlace | undefined,
  limit: number,
): Promise<Look> {
  const range = selectRange(fromPlace(key, place), WHOLE_ROW, `${table} ${WHOLE_ROW}`, limit);
  const [look] = await session.query<{ rows: number; bytes: number }>(
    `measure rows of ${table} of database "${session.database}"`,
    `SELECT ${MEASURES} FROM (SELECT * FROM (${range}) r LIMIT ${limit}) s`,
  );
  return look ?? { rows: 0, bytes: 0 };
}

interface Walk {
  readonly places: readonly KeyPlace[];
  /** True when every row lies before the last place, or less than a chunk after it. */
  readonly ended: boolean;
  /** Bytes of the rows after the last place, when the walk reached the end. */
  readonly lastBytes: number;
}

/**
 * Walks the table one chunk's rows at a time. It measures the row size again at each place, since rows may grow along the key. It always takes the
 * first step, so that it recognises a table smaller than a chunk.
 */
async function walkTable(
  session: Session,
  table: KeyedTable,
  firstLook: Look,
  chunkBytes: number,
  budget: CutBudget,
): Promise<Walk> {
  const until = budget.now() + budget.walkMs;
  const places: KeyPlace[] = [];
  let look = firstLook;
  let place: KeyPlace | undefined;
  while (place === undefined || (places.length < budget.maxPlaces && budget.now() < until)) {
    const step = Math.max(1, Math.floor((chunkBytes * look.rows) / Math.max(1, look.bytes)));
    const next = await placeAfter(session, table, place, step);
    if (next === undefined) {
      const rows = await countRows(session, table, place, step);
      return { places, ended: true, lastBytes: Math.ceil((rows * look.bytes) / Math.max(1, look.rows)) };
    }
    // A value that the server doesn't read back as it wrote it leads to the same place again.
    if (place !== undefined && next.every((value, index) => value === place?.[index])) break;
    places.push(next);
    place = next;
    look = await rowsFrom(session, table, place, LOOK_ROWS);
  }
  return { places, ended: false, lastBytes: 0 };
}

/** Returns the key of the row that is `step` rows after `place`, or undefined when the table ends before that. */
async function placeAfter(
  session: Session,
  { table, key }: KeyedTable,
  place: KeyPlace | undefined,
  step: number,
): Promise<KeyPlace | undefined> {
  const names = key.map(({ column }) => column).join(', ');
  const range = selectRange(fromPlace(key, place), names, table, step + 1);
  const rows = await session.query<{ place: readonly string[] }>(
    `look for the next chunk of ${table} of database "${session.database}"`,
    `SELECT ${writtenPlace(key)} AS place FROM (SELECT * FROM (${range}) r OFFSET ${step} LIMIT 1) s`,
  );
  return rows[0]?.place;
}

/** Counts at most `limit` rows, starting at a place. */
async function countRows(
  session: Session,
  { table, key }: KeyedTable,
  place: KeyPlace | undefined,
  limit: number,
): Promise<number> {
  const range = selectRange(fromPlace(key, place), '1', table, limit);
  const [count] = await session.query<{ rows: number }>(
    `count rows of ${table} of database "${session.database}"`,
    `SELECT count(*)::float8 AS rows FROM (SELECT * FROM (${range}) r LIMIT ${limit}) s`,
  );
  return count?.rows ?? 0;
}

/** `format` writes values as COPY does; a cast to text may write them differently. */
function writtenPlace(columns: readonly CutColumn[]): string {
  return `ARRAY[${columns.map(({ column }) => `pg_catalog.format('%s', ${column})`).join(', ')}]::text[]`;
}

/** Cuts the part of the table that the walk didn't reach. */
async function cutTheRest(
  session: Session,
  table: KeyedTable,
  walked: readonly KeyPlace[],
  chunkBytes: number,
  budget: CutBudget,
): Promise<TableCut> {
  const [first] = table.key;
  if (first === undefined) throw new RangeError('a key without columns');
  const known = [
    ...(await tabletPlaces(session, table.oid)),
    ...(await statisticsPlaces(session, table.oid, first)),
  ];
  const marked = await inOrder(session, table.key, [...walked, ...known]);
  const last = walked.at(-1);
  const reached = last === undefined ? 0 : marked.findIndex((place) => equalTexts(place, last)) + 1;
  const ends = await endsOf(session, table);
  const restBytes = estimateRest(table, first, {
    walked,
    marked,
    ends,
    walkedBytes: walked.length * chunkBytes,
  });
  const wanted = Math.min(budget.maxPlaces, Math.ceil((restBytes ?? 0) / chunkBytes));
  const ahead = wanted === 0 ? marked.slice(reached) : evenly(marked.slice(reached), wanted);
  const guessed = guessedBetween(first, { last, ahead, ends, known: marked }, wanted);
  const places = await inOrder(session, table.key, [...walked, ...ahead, ...guessed]);
  const restRanges = places.length - walked.length + 1;
  const each = Math.max(chunkBytes, (restBytes ?? 0) / restRanges);
  return {
    places,
    rangeBytes: [...walked.map(() => chunkBytes), ...Array<number>(restRanges).fill(each)],
    ...(restRanges > 1
      ? {}
      : {
          uncut: `what lies behind its first ${walked.length} chunks is read in one: its key's values can't be guessed, and it has neither statistics nor tablets to go by (ANALYZE helps)`,
        }),
  };
}

/** Keeps at most `most` of the items, spread evenly. */
function evenly<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items;
  return items.filter(
    (_, index) => Math.floor(((index + 1) * most) / items.length) > Math.floor((index * most) / items.length),
  );
}

function equalTexts(one: KeyPlace, other: KeyPlace): boolean {
  return one.length === other.length && one.every((value, index) => value === other[index]);
}

interface Ends {
  readonly first: string;
  readonly last: string;
}

/** Reads the key's first column of the first and of the last row. */
async function endsOf(session: Session, { table, key }: KeyedTable): Promise<Ends | undefined> {
  const [first] = key;
  if (first === undefined) return undefined;
  const at = (order: 'before' | 'after') =>
    `(SELECT pg_catalog.format('%s', ${first.column}) FROM ONLY ${table} ORDER BY ${key.map((column) => `${column.column} USING ${column[order]}`).join(', ')} LIMIT 1)`;
  const [ends] = await session.query<{ first: string | null; last: string | null }>(
    `look for the ends of ${table} of database "${session.database}"`,
    `SELECT ${at('before')} AS first, ${at('after')} AS last`,
  );
  return ends?.first == null || ends.last === null ? undefined : { first: ends.first, last: ends.last };
}

/** Estimates the bytes after the walk's end; undefined where nothing gives an estimate. */
function estimateRest(
  { estimatedBytes }: KeyedTable,
  first: CutColumn,
  {
    walked,
    marked,
    ends,
    walkedBytes,
  }: {
    readonly walked: readonly KeyPlace[];
    readonly marked: readonly KeyPlace[];
    readonly ends: Ends | undefined;
    readonly walkedBytes: number;
  },
): number | undefined {
  const at = walked.at(-1)?.[0];
  const known = marked.flatMap(([value]) => value ?? []);
  const share =
    at === undefined || ends === undefined
      ? undefined
      : shareBefore(first.type, { from: ends.first, at, to: ends.last, known });
  const byDensity = share === undefined ? 0 : (walkedBytes * (1 - share)) / share;
  const rest = Math.max(estimatedBytes - walkedBytes, byDensity);
  return rest > 0 ? rest : undefined;
}

/** Guesses places evenly between the known places ahead, so that there are about `wanted` in all. */
function guessedBetween(
  { type }: CutColumn,
  {
    last,
    ahead,
    ends,
    known,
  }: {
    readonly last: KeyPlace | undefined;
    readonly ahead: readonly KeyPlace[];
    readonly ends: Ends | undefined;
    readonly known: readonly KeyPlace[];
  },
  wanted: number,
): readonly KeyPlace[] {
  if (ends === undefined) return [];
  const stops = [last?.[0] ?? ends.first, ...ahead.flatMap(([value]) => value ?? []), ends.last];
  const pieces = Math.ceil(wanted / (stops.length - 1));
  const values = known.flatMap(([value]) => value ?? []);
  return stops.slice(1).flatMap((to, index) => {
    const from = stops[index];
    return from === undefined
      ? []
      : valuesBetween(type, { from, to, known: values }, pieces).map((value) => [value]);
  });
}

/** Reads where YugabyteDB split the table into tablets. Empty where the server reports nothing, as for a colocated table. */
async function tabletPlaces(session: Session, oid: string): Promise<readonly KeyPlace[]> {
  const [known] = await session.query<{ known: boolean }>(
    'look for the function that tells split points',
    "SELECT to_regprocedure('yb_get_range_split_clause(oid)') IS NOT NULL AS known",
  );
  if (known?.known !== true) return [];
  const [row] = await session.query<{ clause: string | null }>(
    `read the split points of a table of database "${session.database}"`,
    `SELECT CASE WHEN NOT p.is_colocated AND p.num_tablets > 1 THEN yb_get_range_split_clause($1::oid)::text END AS clause
     FROM yb_table_properties($1::oid) p`,
    [oid],
  );
  return splitPlaces(row?.clause ?? null);
}

/** Reads the values that divide the rows evenly by the key's first column, as the last ANALYZE found them and as far as this role may see them. */
async function statisticsPlaces(
  session: Session,
  oid: string,
  { name }: CutColumn,
): Promise<readonly KeyPlace[]> {
  const [row] = await session.query<{ bounds: readonly string[] | null }>(
    `read the statistics of a table of database "${session.database}"`,
    `SELECT s.histogram_bounds::text::text[] AS bounds FROM pg_catalog.pg_stats s
     JOIN pg_catalog.pg_namespace n ON n.nspname = s.schemaname
     JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = s.tablename
     WHERE c.oid = $1::oid AND s.attname = $2 AND NOT s.inherited`,
    [oid, name],
  );
  return (row?.bounds ?? []).map((bound) => [bound]);
}

/**
 * Sorts places in the key's order and removes duplicates. Where two neighbours have equal leading values, both get the same text for them, since `1.0` and
 * `1.00` are one place. Only the server can compare values, so it does the sorting.
 */
async function inOrder(
  session: Session,
  key: CutKey,
  places: readonly KeyPlace[],
): Promise<readonly KeyPlace[]> {
  if (places.length < 2) return places;
  const value = (index: number) => `${quoteColumn(index)}::${key[index]?.type ?? ''}`;
  const columns = key.map((_, index) => quoteColumn(index));
  const typed = key.map((column, index) => `(${value(index)})${column.collate} AS "v${index}"`);
  const same = key.map(
    ({ equal }, index) => `coalesce("v${index}" ${equal} lag("v${index}") OVER sorted, false)`,
  );
  const order = key.map(({ before }, index) => `"v${index}" USING ${before} NULLS FIRST`).join(', ');
  const rows = await session.query<{ place: readonly (string | null)[]; same: readonly boolean[] }>(
    `sort the places at which a table of database "${session.database}" is cut`,
    `SELECT ARRAY[${columns.join(', ')}] AS place, ARRAY[${same.join(', ')}] AS same
     FROM (SELECT ${[...columns, ...typed].join(', ')} FROM unnest(${key.map((_, index) => `$${index + 1}::text[]`).join(', ')}) u(${columns.join(', ')})) t
     WINDOW sorted AS (ORDER BY ${order}) ORDER BY ${order}`,
    key.map((_, index) => places.map((place) => place[index] ?? null)),
  );
  const sorted: KeyPlace[] = [];
  let previous: KeyPlace = [];
  for (const row of rows) {
    const texts = row.place.flatMap((text) => text ?? []);
    const firstOther = texts.findIndex((_, index) => row.same[index] !== true);
    const shared = firstOther < 0 ? texts.length : firstOther;
    const place = texts.map((text, index) => (index < shared ? (previous[index] ?? text) : text));
    if (sorted.length === 0 || place.length !== previous.length || shared < place.length) sorted.push(place);
    previous = place;
  }
  return sorted;
}

function quoteColumn(index: number): string {
  return `"t${index}"`;
}
