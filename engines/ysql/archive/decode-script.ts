import { FRAMES_OF } from '../../kit-frames.ts';

/** `archive/<plan>/decode.mjs`: prints segments as SQL. Plain JavaScript that must run without Holdfast, on Node 22.15 or newer. */
export const DECODE_SCRIPT = `// Prints segments of an archive of changes as SQL, transaction by transaction, in the order of the names that are given:
//   node decode.mjs <database>/<timeline>/s-*  > changes.sql
//   psql -v ON_ERROR_STOP=1 -1 -f changes.sql
// SET session_replication_role = replica is part of the output, so a superuser has to run it. Give it the segments of one timeline, from the first that
// is needed on, without a gap.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';

const EPOCH_MICROS = 946684800000000n;
const identifier = (name) => '"' + name.replaceAll('"', '""') + '"';
const literal = (text) => (text === null ? 'NULL' : text.includes('\\\\') ? " E'" + text.replaceAll('\\\\', '\\\\\\\\').replaceAll("'", "''") + "'" : "'" + text.replaceAll("'", "''") + "'");

/** By these settings the values are written, and compared where a table has no key. */
const SETTINGS = [
  "client_encoding = 'UTF8'",
  'session_replication_role = replica',
  "DateStyle = 'ISO, MDY'",
  "IntervalStyle = 'postgres'",
  "TimeZone = 'UTC'",
  'extra_float_digits = 3',
  "bytea_output = 'hex'",
  "lc_monetary = 'C'",
  "xmloption = 'content'",
  'standard_conforming_strings = on',
  'array_nulls = on',
];
const files = process.argv.slice(2);
if (files.length === 0) {
  console.error('usage: node decode.mjs <segment> ...');
  process.exit(2);
}
for (const setting of SETTINGS) console.log('SET ' + setting + ';');
/** Where the last segment ends, and the place of the last commit: two segments may begin at one place, and hold the same transactions at first. */
let end;
let last = -1n;
for (const file of files.toSorted()) decode(file);

function stored(file, expected) {
  const bytes = readFileSync(file);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (!sha256.startsWith(expected)) throw new Error(file + ' is damaged: its SHA-256 is ' + sha256);
  return bytes;
}

function textOf(file) {
  const [, expected, kind] = /-([0-9a-f]{16})\\.(zst|parts\\.json)$/.exec(file) ?? [];
  if (expected === undefined) throw new Error(file + ' is not named as a segment');
  const bytes = stored(file, expected);
  if (kind === 'zst') return decompressed(bytes);
  const { parts } = JSON.parse(bytes);
  return Buffer.concat(
    parts.map(({ sha256 }) => decompressed(stored(join(dirname(file), 'parts', sha256 + '.zst'), sha256))),
  );
}

function decompressed(file) {
  return Buffer.concat([...framesOf(file)].map((frame) => zstdDecompressSync(frame)));
}

${FRAMES_OF}

function decode(file) {
  const text = textOf(file);
  const headerEnd = text.indexOf(10);
  const header = JSON.parse(text.subarray(0, headerEnd));
  if (end !== undefined && header.startLsn > end) throw new Error('the segments from ' + end + ' to ' + header.startLsn + ' are missing');
  if (end === undefined || header.endLsn > end) end = header.endLsn;
  console.log('-- segment ' + header.startLsn + ' to ' + header.endLsn + ', ' + header.transactions + ' transactions');
  const relations = new Map();
  let isKnown = false;
  for (let at = headerEnd + 1; at < text.length; ) {
    const length = text.readUInt32BE(at);
    const message = text.subarray(at + 4, at + 4 + length);
    const kind = String.fromCharCode(message[0]);
    if (kind === 'B') {
      const position = message.readBigUInt64BE(1);
      isKnown = position <= last;
      if (!isKnown) last = position;
    }
    if (!isKnown || kind === 'R') print(message, relations);
    at += 4 + length;
  }
  for (const { schema, name, lastValue } of header.sequences ?? []) {
    if (lastValue !== null) console.log('-- sequence ' + identifier(schema) + '.' + identifier(name) + ' was at ' + lastValue);
  }
}

function reader(bytes, start) {
  let at = start;
  const advance = (count) => (at += count) - count;
  return {
    byte: () => bytes[advance(1)],
    int16: () => bytes.readUInt16BE(advance(2)),
    int32: () => bytes.readUInt32BE(advance(4)),
    int64: () => bytes.readBigUInt64BE(advance(8)),
    text: (length) => bytes.toString('utf8', at, advance(length) + length),
    string: () => {
      const end = bytes.indexOf(0, at);
      const text = bytes.toString('utf8', at, end);
      at = end + 1;
      return text;
    },
  };
}

/** Values in order; undefined: unchanged and not sent. */
function tuple(from) {
  return Array.from({ length: from.int16() }, () => {
    const kind = String.fromCharCode(from.byte());
    return kind === 'n' ? null : kind === 'u' ? undefined : from.text(from.int32());
  });
}

function print(message, relations) {
  const from = reader(message, 1);
  switch (String.fromCharCode(message[0])) {
    case 'B': {
      const lsn = from.int64();
      const micros = from.int64() + EPOCH_MICROS;
      const time = new Date(Number(micros / 1000n)).toISOString();
      console.log('BEGIN; -- xid ' + from.int32() + ', commit at ' + lsn.toString(16).toUpperCase().padStart(16, '0') + ', ' + time);
      return;
    }
    case 'C':
      console.log('COMMIT;');
      return;
    case 'R': {
      const id = from.int32();
      const name = identifier(from.string() || 'pg_catalog') + '.' + identifier(from.string());
      const full = String.fromCharCode(from.byte()) === 'f';
      const columns = Array.from({ length: from.int16() }, () => {
        const isKey = (from.byte() & 1) === 1;
        const column = identifier(from.string());
        from.int32();
        from.int32();
        return { column, isKey };
      });
      relations.set(id, { name, full, columns });
      return;
    }
    case 'I': {
      const { name, columns } = relations.get(from.int32());
      from.byte();
      const values = tuple(from).map(literal).join(', ');
      console.log('INSERT INTO ' + name + ' (' + columns.map(({ column }) => column).join(', ') + ') OVERRIDING SYSTEM VALUE VALUES (' + values + ');');
      return;
    }
    case 'U': {
      const relation = relations.get(from.int32());
      let kind = from.byte();
      let old;
      if (String.fromCharCode(kind) !== 'N') {
        old = tuple(from);
        // YugabyteDB 2025.2 sends an old row of which nothing is set, where the key stays.
        if (old.every((value) => value === undefined)) old = undefined;
        kind = from.byte();
      }
      const values = tuple(from);
      const set = relation.columns.flatMap(({ column, isKey }, at) =>
        values[at] === undefined || (isKey && (old === undefined || old[at] === values[at])) ? [] : [column + ' = ' + literal(values[at])],
      );
      if (set.length > 0) console.log('UPDATE ONLY ' + relation.name + ' SET ' + set.join(', ') + where(relation, old ?? values) + ';');
      return;
    }
    case 'D': {
      const relation = relations.get(from.int32());
      from.byte();
      console.log('DELETE FROM ONLY ' + relation.name + where(relation, tuple(from)) + ';');
      return;
    }
    case 'T': {
      const count = from.int32();
      const options = from.byte();
      const names = Array.from({ length: count }, () => 'ONLY ' + relations.get(from.int32()).name);
      console.log('TRUNCATE ' + names.join(', ') + (options & 2 ? ' RESTART IDENTITY' : '') + ';');
    }
  }
}

/** By the key; without one, one row that is the same in all columns, as their types write it. */
function where({ name, full, columns }, values) {
  const terms = columns
    .flatMap(({ column, isKey }, at) => (isKey && values[at] !== undefined ? [[column, values[at]]] : []))
    .map(([column, value]) => (full ? isWritten(column, value) : column + ' = ' + literal(value)))
    .join(' AND ');
  return full ? ' WHERE ctid = (SELECT ctid FROM ONLY ' + name + ' WHERE ' + terms + ' LIMIT 1)' : ' WHERE ' + terms;
}

/** Of some types (boolean, char(n), inet) a cast to text is another text than their values are sent as. */
function isWritten(column, value) {
  if (value === null) return column + ' IS NOT DISTINCT FROM NULL';
  return '(' + column + " IS DISTINCT FROM NULL AND format('%s', " + column + ') = ' + literal(value) + ')';
}
`;
