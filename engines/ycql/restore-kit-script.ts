import { FRAMES_OF } from '../kit-frames.ts';

/** `load.mjs` of a restore kit: plain JavaScript that runs without Holdfast, with only what `npm install cassandra-driver` brings. */
export const LOAD_SCRIPT = `// Writes the rows of this backup into a cluster whose tables are there; see RESTORE.md.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { zstdDecompressSync } from 'node:zlib';

const { Client, types } = createRequire(process.cwd() + '/load.mjs')('cassandra-driver');
const [host, port, localDataCenter, ...renames] = process.argv.slice(2);
const names = new Map(renames.map((rename) => rename.split('=')));
const username = process.env.CQL_USER;
const withTimes = process.env.WRITE_TIMES !== 'no';
const client = new Client({
  contactPoints: [host],
  localDataCenter,
  protocolOptions: { port: Number(port), maxVersion: 4 },
  isMetadataSyncEnabled: false,
  ...(username ? { credentials: { username, password: process.env.CQL_PASSWORD ?? '' } } : {}),
});
await client.connect();

const manifest = JSON.parse(readFileSync('manifest.json', 'utf8'));
const inList = (list) => JSON.parse(zstdDecompressSync(whole(list)));
const objects = manifest.data.inline ?? manifest.data.lists.flatMap(inList);
const quote = (name) => '"' + name.replaceAll('"', '""') + '"';
let underWay = [];
let written = 0;
/** The partition whose static columns are written; every row of it repeats them. */
let partitionKey = '';

for (const object of objects) {
  await loadObject(object);
  console.log(object.key, object.rows + ' rows');
}
await settle();
await client.shutdown();
console.log(written + ' rows written');

/** The bytes of an object, which must be those that the manifest names. */
function whole({ key, sha256 }) {
  const bytes = readFileSync(key);
  if (createHash('sha256').update(bytes).digest('hex') === sha256) return bytes;
  throw new Error(key + ' is not as it was written; nothing of it was loaded');
}

async function loadObject(object) {
  const bytes = Buffer.concat([...framesOf(whole(object))].map((frame) => zstdDecompressSync(frame)));
  const headerEnd = 12 + bytes.readUInt32BE(8);
  const { keyspace, table, columns } = JSON.parse(bytes.subarray(12, headerEnd).toString());
  const into = quote(names.get(keyspace) ?? keyspace) + '.' + quote(table);
  const at = (kind) => columns.flatMap((column, index) => (column.kind === kind ? [index] : []));
  const beside = (name, kind) => columns.findIndex((column) => column.kind === kind && column.name === name);
  const [partition, clustering] = [at('partition_key'), at('clustering')];
  for (let page = headerEnd; page < bytes.length; ) {
    const rows = bytes.readUInt32BE(page);
    const elapsed = Math.floor((Date.now() - Number(bytes.readBigInt64BE(page + 8))) / 1000);
    let cell = page + 16;
    for (let row = 0; row < rows; row += 1) {
      const cells = columns.map(() => {
        const length = bytes.readInt32BE(cell);
        cell += 4 + Math.max(0, length);
        return length < 0 ? null : bytes.subarray(cell - length, cell);
      });
      await writeRow(into, columns, cells, elapsed, partition, clustering, beside);
      written += 1;
    }
    page += 16 + bytes.readUInt32BE(page + 4);
  }
}

${FRAMES_OF}

async function writeRow(into, columns, cells, elapsed, partition, clustering, beside) {
  const keyAt = [...partition, ...clustering];
  const isRow = clustering.every((index) => cells[index] !== null);
  const present = into + partition.map((index) => cells[index].toString('hex')).join('/');
  const isFirst = present !== partitionKey;
  partitionKey = present;
  let lapsed = false;
  for (const [index, { name, type, kind }] of columns.entries()) {
    const value = cells[index];
    if ((kind !== 'regular' && kind !== 'static') || value === null) continue;
    if (kind === 'static' && !isFirst) continue;
    const where = kind === 'static' ? partition : keyAt;
    const key = where.map((each) => cells[each]);
    const conditions = where.map((each) => quote(columns[each].name) + ' = ?').join(' AND ');
    if (type === 'counter') {
      await send('UPDATE ' + into + ' SET ' + quote(name) + ' = ' + quote(name) + ' + ? WHERE ' + conditions, [value, ...key]);
      continue;
    }
    const timeAt = beside(name, 'writetime');
    const time = timeAt < 0 ? null : first(cells[timeAt], columns[timeAt].type);
    const ttlAt = beside(name, 'ttl');
    const { live, left } = living(type, value, ttlAt < 0 ? null : cells[ttlAt], columns[ttlAt]?.type, elapsed);
    if (live === null) {
      lapsed = true;
      continue;
    }
    const timed = withTimes && time !== null;
    const using = ' USING ' + (timed ? 'TIMESTAMP ? AND ' : '') + 'TTL ?';
    const usingValues = [...(timed ? [time] : []), int32(left)];
    if (kind === 'static') {
      await send('UPDATE ' + into + using + ' SET ' + quote(name) + ' = ? WHERE ' + conditions, [...usingValues, live, ...key]);
    } else {
      const list = [...where.map((each) => quote(columns[each].name)), quote(name)];
      const text = 'INSERT INTO ' + into + ' (' + list.join(', ') + ') VALUES (' + list.map(() => '?').join(', ') + ')' + using;
      await send(text, [...key, live, ...usingValues]);
    }
  }
  const hasRegular = columns.some(({ kind }, index) => kind === 'regular' && cells[index] !== null);
  if (isRow && !hasRegular && !lapsed && !columns.some(({ type }) => type === 'counter')) {
    const list = keyAt.map((each) => quote(columns[each].name));
    await send('INSERT INTO ' + into + ' (' + list.join(', ') + ') VALUES (' + list.map(() => '?').join(', ') + ')', keyAt.map((each) => cells[each]));
  }
}

/** The oldest time of writing of a cell or of the elements of one. */
function first(cell, type) {
  if (cell === null || !isOfElements(type)) return cell;
  const times = elements(cell).filter((time) => time !== null);
  return times.sort((one, other) => (one.readBigInt64BE(0) < other.readBigInt64BE(0) ? -1 : 1))[0] ?? null;
}

/**
 * What of a value hasn't expired, null where nothing is left, and the seconds that are left of it, 0 without expiry. Of elements that
 * differ in it, those that are left lose it.
 */
function living(type, value, ttl, ttlType, elapsed) {
  if (ttl === null) return { live: value, left: 0 };
  if (!isOfElements(ttlType)) {
    const left = seconds(ttl) - elapsed;
    return left > 0 ? { live: value, left } : { live: null, left: 0 };
  }
  const all = elements(ttl).map((each) => (each === null ? 0 : Math.max(-1, seconds(each) - elapsed || -1)));
  const isMap = type.startsWith('map<');
  const isList = /^(list|set)</.test(type);
  const parts = isMap || isList ? elements(value) : fields(value);
  const place = (at) => (isMap ? at >> 1 : at);
  const isThere = parts.map((part, at) => part !== null && all[place(at)] !== -1);
  const lefts = new Set(isThere.flatMap((is, at) => (is ? [all[place(at)] ?? 0] : [])));
  if (lefts.size === 0) return { live: null, left: 0 };
  const left = lefts.size === 1 ? [...lefts][0] : 0;
  if (!isMap && !isList) return { live: joined(parts.map((part, at) => (isThere[at] ? part : null))), left };
  const kept = parts.filter((_part, at) => isThere[at]);
  return { live: Buffer.concat([int32(isMap ? kept.length / 2 : kept.length), joined(kept)]), left };
}

/** A server returns a list for a value whose elements are cells of their own. The backup's header says which values those are. */
function isOfElements(type) {
  return type.startsWith('list<');
}

/** The elements of a list or set, or the keys and values of a map in turn. Their count stands before them. */
function elements(cell) {
  return fields(cell.subarray(4));
}

/** Each with its length before it; a user-defined type has no count. */
function fields(bytes) {
  const list = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readInt32BE(at);
    list.push(length < 0 ? null : bytes.subarray(at + 4, at + 4 + length));
    at += 4 + Math.max(0, length);
  }
  return list;
}

function joined(parts) {
  return Buffer.concat(parts.flatMap((part) => (part === null ? [int32(-1)] : [int32(part.length), part])));
}

/** Cassandra gives TTLs as 32 bits, YugabyteDB as 64. */
function seconds(ttl) {
  return ttl.length === 8 ? Math.min(Number(ttl.readBigInt64BE(0)), 2147483647) : ttl.readInt32BE(0);
}

function int32(value) {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

async function send(query, params) {
  underWay.push(client.execute(query, params, { prepare: true, consistency: types.consistencies.localQuorum }));
  if (underWay.length >= 128) await settle();
}

async function settle() {
  await Promise.all(underWay);
  underWay = [];
}
`;
