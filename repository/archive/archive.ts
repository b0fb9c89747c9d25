import { z } from 'zod';
import type {
  SegmentName,
  StoredSegment,
  StoredTimeline,
  Timeline,
  TimelineEnd,
} from '../../model/archive.ts';
import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import { textOf } from '../backups/zstd-frames.ts';
import { Gathering } from '../gathering.ts';
import { LEASE_PART } from '../layout.ts';
import { openSealedJson } from '../sealed-json.ts';
import { checkFormatVersion, getSealed, getSealedIfThere } from '../sealed-object.ts';
import { sha256Hex } from '../sha256.ts';
import { openFrames, signFrames } from '../signing/signed-frames.ts';
import { getSigned, putSigned, requireTrusted, sealFor } from '../signing/signed-object.ts';
import type { Cancellable, Store } from '../store.ts';
import { damaged } from '../store-errors.ts';
import {
  type ArchiveId,
  databaseArchiveFolder,
  decodedName,
  parseSegmentKey,
  partKey,
  planArchiveFolder,
  segmentKey,
  segmentStem,
  stemOf,
  timelineEndKey,
  timelineFolder,
  timelineKey,
} from './names.ts';
import { listProofs } from './proofs.ts';

/** What this Holdfast writes, and the newest that it reads. */
export const ARCHIVE_FORMAT_VERSION = 1;

const lsnSchema = z.string().regex(/^[0-9A-F]{16}$/);

const versionSchema = z.object({ formatVersion: z.number() });

const timelineSchema: z.ZodType<Timeline> = z.object({
  formatVersion: z.literal(1),
  id: z.string(),
  plan: z.string(),
  database: z.string(),
  systemIdentifier: z.string(),
  databaseOid: z.number(),
  walTimeline: z.number().exactOptional(),
  slot: z.string(),
  plugin: z.string(),
  positions: z.literal('hybrid-time').exactOptional(),
  streamId: z.string().exactOptional(),
  publication: z.string(),
  serverVersion: z.string(),
  tables: z.array(z.object({ table: z.string(), identity: z.enum(['default', 'full', 'index', 'change']) })),
  notArchived: z.array(z.object({ table: z.string(), reason: z.string() })),
  startLsn: lsnSchema,
  createdAt: z.string(),
  snapshotXids: z.string().exactOptional(),
  schemaFingerprint: z.string(),
  previous: z.object({ timeline: z.string(), reason: z.string() }).exactOptional(),
});

const endSchema: z.ZodType<TimelineEnd> = z.object({
  formatVersion: z.literal(1),
  timeline: z.string(),
  lsn: lsnSchema,
  endedAt: z.string(),
  code: z.enum(['removed', 'source-lag', 'slot-lost', 'gap', 'other-source', 'schema-changed']),
  reason: z.string(),
});

const partsSchema = z.object({
  formatVersion: z.literal(1),
  parts: z.array(z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), sizeBytes: z.number() })),
});

export interface SegmentPart {
  /** Of the stored bytes. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

export async function putTimeline(
  store: Store,
  timeline: Timeline,
  options: Cancellable = {},
): Promise<'created' | 'exists'> {
  return putSigned(store, timelineKey(timeline, timeline.id), timeline, options);
}

/** The first end that is written stands. */
export async function putTimelineEnd(
  store: Store,
  id: ArchiveId,
  end: TimelineEnd,
  options: Cancellable = {},
): Promise<'created' | 'exists'> {
  return putSigned(store, timelineEndKey(id, end.timeline), end, options);
}

/**
 * Stores a segment. When this returns, its position may be acknowledged to the source. The caller holds the lease.
 *
 * @param body zstd frames: the header's line, then the framed messages.
 */
export async function putSegment(
  store: Store,
  id: ArchiveId,
  timeline: string,
  range: Omit<SegmentName, 'sha256Start' | 'isInParts'>,
  body: Uint8Array,
  options: Cancellable = {},
): Promise<StoredSegment> {
  const signed = await signFrames(store, segmentStem(id, timeline, range), body);
  return putSegmentObject(store, id, timeline, { ...range, isInParts: false }, signed, options);
}

/** One part of a transaction that is larger than a segment. Nothing refers to it until `putSegmentOfParts` does. */
export async function putSegmentPart(
  store: Store,
  id: ArchiveId,
  timeline: string,
  body: Uint8Array,
  options: Cancellable = {},
): Promise<SegmentPart> {
  const sha256 = sha256Hex(body);
  await store.put(partKey(id, timeline, sha256), body, { sha256, ifAbsent: true, ...options });
  return { sha256, sizeBytes: body.length };
}

/** @param parts in order; their bytes one after another are what a segment of one object holds. */
export async function putSegmentOfParts(
  store: Store,
  id: ArchiveId,
  timeline: string,
  range: Omit<SegmentName, 'sha256Start' | 'isInParts'>,
  parts: readonly SegmentPart[],
  options: Cancellable = {},
): Promise<StoredSegment> {
  const list = { formatVersion: ARCHIVE_FORMAT_VERSION, parts };
  const body = await sealFor(store, segmentStem(id, timeline, range), list);
  return putSegmentObject(store, id, timeline, { ...range, isInParts: true }, body, options);
}

async function putSegmentObject(
  store: Store,
  id: ArchiveId,
  timeline: string,
  range: Omit<SegmentName, 'sha256Start'>,
  body: Uint8Array,
  options: Cancellable,
): Promise<StoredSegment> {
  const sha256 = sha256Hex(body);
  const name = { ...range, sha256Start: sha256.slice(0, 16) };
  const key = segmentKey(id, timeline, name);
  await store.put(key, body, { sha256, ifAbsent: true, ...options });
  return { ...name, key, sizeBytes: body.length };
}

/** Names of the databases that the plan has an archive of, sorted. */
export async function archivedDatabases(
  store: Store,
  plan: string,
  options: Cancellable = {},
): Promise<readonly string[]> {
  const names = await Array.fromAsync(store.folders(planArchiveFolder(plan), options));
  return names.map(decodedName).sort();
}

/** Every timeline of a database, the oldest first, each with its listing. Throws `STORE_DAMAGED` or `FORMAT_TOO_NEW` (permanent). */
export async function readTimelines(
  store: Store,
  id: ArchiveId,
  options: Cancellable = {},
): Promise<readonly StoredTimeline[]> {
  const found: StoredTimeline[] = [];
  for (const name of await timelineNames(store, id, options)) {
    const timeline = await readTimeline(store, id, name, options);
    if (timeline !== undefined) found.push(timeline);
  }
  return found;
}

/** Names of the timelines' folders, the oldest first; also of one whose first object is missing. */
export async function timelineNames(
  store: Store,
  id: ArchiveId,
  options: Cancellable = {},
): Promise<readonly string[]> {
  const names = await Array.fromAsync(store.folders(databaseArchiveFolder(id), options));
  return names.filter((part) => part !== LEASE_PART).sort();
}

/**
 * Undefined where its first object is missing: nothing was stored, or everything was deleted.
 *
 * @param options.signedBy `trusted`: also throws what `requireTrusted` throws for its description, which says from where on every transaction is archived, and
 * of which tables. Default: `any`
 */
export async function readTimeline(
  store: Store,
  id: ArchiveId,
  name: string,
  { signedBy = 'any', ...options }: Cancellable & { readonly signedBy?: 'trusted' | 'any' } = {},
): Promise<StoredTimeline | undefined> {
  const key = timelineKey(id, name);
  const version = await getSealedIfThere(store, key, versionSchema, options);
  if (version === undefined) return undefined;
  checkFormatVersion(version.formatVersion, ARCHIVE_FORMAT_VERSION, `${key} in ${store.description}`);
  const read = signedBy === 'trusted' ? getSigned : getSealed;
  const timeline = await read(store, key, timelineSchema, options);
  const end = await getSealedIfThere(store, timelineEndKey(id, name), endSchema, options);
  const proofs = await listProofs(store, id, name, options);
  return {
    timeline,
    segments: await listSegments(store, id, name, options),
    ...defined({ end, proofs: proofs.length === 0 ? undefined : proofs }),
  };
}

/** In order of names. */
export async function listSegments(
  store: Store,
  id: ArchiveId,
  timeline: string,
  options: Cancellable = {},
): Promise<readonly StoredSegment[]> {
  const segments: StoredSegment[] = [];
  for await (const { key, sizeBytes } of store.list(`${timelineFolder(id, timeline)}s-`, options)) {
    const segment = parseSegmentKey(key, sizeBytes);
    if (segment !== undefined) segments.push(segment);
  }
  return segments.sort((a, b) => (a.key < b.key ? -1 : 1));
}

/**
 * The text of a segment in pieces: the header's line, then framed messages. Each object is checked by its SHA-256 before its bytes are
 * given, and the segment by its signature where the plan says that the repository is signed: its changes become SQL. Throws, permanent: `STORE_DAMAGED`,
 * `STORE_NOT_FOUND`, and as `requireTrusted`.
 */
export async function* readSegment(
  store: Store,
  segment: StoredSegment,
  options: Cancellable = {},
): AsyncGenerator<Buffer> {
  const body = await store.get(segment.key, options);
  requireOwnHash(store, segment, sha256Hex(body));
  if (!segment.isInParts) {
    yield* textOf(openFrames(store, stemOf(segment), segment.key, body));
    return;
  }
  await requireTrusted(store, stemOf(segment), body, options);
  for (const { key, ...expect } of partsOf(store, segment, body)) {
    yield* textOf(await store.get(key, { expect, ...options }));
  }
}

/**
 * Compares the SHA-256 of a segment's objects with its name and its list, as the store reports them; where the store can't, the object is
 * downloaded. Throws `STORE_DAMAGED` or `STORE_NOT_FOUND` (permanent).
 */
export async function checkSegmentHashes(
  store: Store,
  segment: StoredSegment,
  options: Cancellable = {},
): Promise<void> {
  if (!segment.isInParts) {
    requireOwnHash(store, segment, await hashOf(store, segment.key, options));
    return;
  }
  for (const { key, sha256 } of await readParts(store, segment, options)) {
    const found = await hashOf(store, key, options);
    if (found !== sha256) throw damaged(key, store.description, `its SHA-256 is ${found}`);
  }
}

/** The parts that a segment's list names, with their keys. Throws `STORE_DAMAGED` or `STORE_NOT_FOUND` (permanent). */
export async function readParts(
  store: Store,
  segment: StoredSegment,
  options: Cancellable = {},
): Promise<readonly (SegmentPart & { readonly key: string })[]> {
  const body = await store.get(segment.key, options);
  requireOwnHash(store, segment, sha256Hex(body));
  return partsOf(store, segment, body);
}

function partsOf(store: Store, { key }: StoredSegment, body: Uint8Array) {
  const { parts } = openSealedJson(body, partsSchema, `${key} in ${store.description}`);
  const folder = key.slice(0, key.lastIndexOf('/') + 1);
  return parts.map((part) => ({ ...part, key: `${folder}parts/${part.sha256}.zst` }));
}

function requireOwnHash(store: Store, { key, sha256Start }: StoredSegment, sha256: string): void {
  if (sha256.startsWith(sha256Start)) return;
  throw damaged(key, store.description, `its SHA-256 is ${sha256}, not as in its name`);
}

async function hashOf(store: Store, key: string, options: Cancellable): Promise<string> {
  const found = await store.head(key, { checksum: true, ...options });
  return found?.sha256 ?? sha256Hex(await store.get(key, options));
}

/** The header and the messages of a segment's text. Throws `ARCHIVE_BAD_SEGMENT` (permanent) where it isn't of the documented shape. */
export async function* framesOf(
  text: AsyncIterable<Buffer>,
  what: string,
): AsyncGenerator<Buffer, void, undefined> {
  const gathering = new Gathering();
  let isHeaderRead = false;
  for await (const piece of text) {
    const all = gathering.add(piece);
    if (all === undefined) continue;
    let at = 0;
    if (!isHeaderRead) {
      const newline = all.indexOf(0x0a);
      if (newline < 0) {
        gathering.keep(all, 0);
        continue;
      }
      yield all.subarray(0, newline);
      at = newline + 1;
      isHeaderRead = true;
    }
    let end = frameEnd(all, at);
    while (end <= all.length) {
      yield all.subarray(at + FRAME_LENGTH_BYTES, end);
      at = end;
      end = frameEnd(all, at);
    }
    gathering.keep(all.subarray(at), end - at);
  }
  if (!isHeaderRead || gathering.bytes > 0) {
    throw permanent(
      'ARCHIVE_BAD_SEGMENT',
      `${what} ends within ${isHeaderRead ? 'a message' : 'its header'}.`,
      'Restore to an instant before it; `holdfast window` names the intervals that are whole.',
    );
  }
}

const FRAME_LENGTH_BYTES = 4;

/** Where the framed message at `at` ends; where not even its length is there, where that ends. */
function frameEnd(text: Buffer, at: number): number {
  const from = at + FRAME_LENGTH_BYTES;
  return from > text.length ? from : from + text.readUInt32BE(at);
}
