import {
  type ArchivePolicy,
  isoOfMicros,
  type Lsn,
  microsOfIso,
  postgresLsn,
  type StoredTimeline,
  type Timeline,
  type TimelineEnd,
} from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { transient } from '../../../model/errors.ts';
import { chainsOf } from '../../../planning/archive/window.ts';
import {
  ARCHIVE_FORMAT_VERSION,
  putTimeline,
  putTimelineEnd,
  readTimelines,
} from '../../../repository/archive/archive.ts';
import { decoderKey } from '../../../repository/archive/names.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { archiveName } from '../server/archive-names.ts';
import { isNoSuchDatabase } from '../server/errors.ts';
import { readServer, type Server } from '../server/server.ts';
import { resolveTarget, type Session, withServerSession, withSession } from '../server/session.ts';
import { archiveSource } from './archive-source.ts';
import type { ArchiveContext } from './context.ts';
import { DECODE_SCRIPT } from './decode-script.ts';
import { createPublication, dropPublication, dropSlot } from './slot.ts';
import type { ArchiveSource, Moment, Obstacle, Slot, SourceIdentity } from './source-kind.ts';
import { type ArchivableTables, archivableTables } from './tables.ts';

/** How often a publication is made anew in one attempt. */
const PUBLISH_TRIES = 5;

export interface OpenedTimeline {
  readonly source: ArchiveSource;
  readonly stored: StoredTimeline;
  /** The archive's end: everything before it is stored. */
  readonly end: Lsn;
  /** It has just begun, so that nothing can be restored by it before there is a base backup. Why it began, one sentence. */
  readonly began?: string;
  /** Of one that has just begun: the end of the one before. */
  readonly ended?: TimelineEnd;
}

/** The most that the archive may go back to: everything before the end of the last segment is stored. */
export function archiveEnd({ timeline, segments }: StoredTimeline): Lsn {
  return chainsOf(segments).at(-1)?.at(-1)?.endLsn ?? timeline.startLsn;
}

/**
 * Goes on with the newest timeline where the slot still has everything behind the archive's end. Otherwise ends it with the reason, and
 * begins another: publication, slot, then the timeline's first object. May be killed at any point and called again.
 *
 * @throws HoldfastError `ARCHIVE_YUGABYTEDB_RELEASE`, `ARCHIVE_NO_TABLE` (permanent), `ARCHIVE_SLOT_BUSY` (transient)
 */
export async function openTimeline(context: ArchiveContext): Promise<OpenedTimeline> {
  const { request, store, signal } = context;
  const target = await resolveTarget(context, request.source.connection);
  return await withSession(target, request.database, signal, async (session) => {
    const server = await readServer(session);
    const source = archiveSource(server);
    const name = archiveName(request.plan, request.database);
    const timelines = await readTimelines(store, request, { signal });
    const newest = timelines.at(-1);
    const found: Found = {
      source,
      server,
      name,
      identity: await source.identify(session),
      moment: await source.readMoment(session),
      slot: await source.readSlot(session, name),
      tables: await archivableTables(session, source.tables, request.source, name),
      ...defined({ before: newest?.timeline.id }),
    };
    if (newest === undefined) return await begin(context, session, found);
    if (newest.end !== undefined) return await begin(context, session, found, newest.end);
    const obstacle = obstacleTo(newest, found, request.policy);
    if (obstacle === undefined) {
      await putDecoder(context);
      return { source, stored: newest, end: archiveEnd(newest) };
    }
    return await begin(context, session, found, await endTimeline(context, newest, obstacle));
  });
}

interface Found {
  readonly source: ArchiveSource;
  readonly server: Server;
  /** Of slot and publication. */
  readonly name: string;
  readonly identity: SourceIdentity;
  readonly moment: Moment;
  readonly slot: Slot | undefined;
  readonly tables: ArchivableTables;
  /** Id of the newest timeline. */
  readonly before?: string;
}

/** Why the newest timeline can't go on. */
function obstacleTo(
  stored: StoredTimeline,
  { source, identity, moment, slot, tables }: Found,
  policy: ArchivePolicy,
): Obstacle | undefined {
  const { timeline } = stored;
  const end = archiveEnd(stored);
  const other = otherSource(timeline, identity);
  if (other !== undefined) return { code: 'other-source', reason: other };
  // Nodes of YugabyteDB have clocks of their own, which may be behind a commit.
  if (source.positions === undefined && moment.lsn < end) {
    return {
      code: 'other-source',
      reason: `The source is at ${postgresLsn(moment.lsn)}, and the archive is further, at ${postgresLsn(end)}: the server was put back to an earlier state.`,
    };
  }
  if (slot === undefined) {
    return {
      code: 'slot-lost',
      reason: `The source has no replication slot ${timeline.slot} any more: somebody dropped it, or the archive gave it up (maxSourceLag) while the repository could not be written.`,
    };
  }
  return slotObstacle(source, slot, { timeline, end, policy }) ?? schemaObstacle(stored, tables);
}

/** Whether the address leads elsewhere than before, a sentence: what was archived may not be there, and what is there instead would be passed over by its position. */
function otherSource(timeline: Timeline, identity: SourceIdentity): string | undefined {
  if (identity.systemIdentifier !== timeline.systemIdentifier) {
    return `The address leads to another server than before (system ${identity.systemIdentifier}, before ${timeline.systemIdentifier}).`;
  }
  if (timeline.walTimeline !== undefined && identity.walTimeline !== timeline.walTimeline) {
    return `The address leads to a standby that was promoted, or to a server that recovered to an earlier time (timeline ${identity.walTimeline} of its WAL, before ${timeline.walTimeline}).`;
  }
  if (identity.databaseOid !== timeline.databaseOid) {
    return `Another database has the name now, on the same server (number ${identity.databaseOid}, before ${timeline.databaseOid}): a restore replaced it, or it was made anew.`;
  }
  return undefined;
}

interface Reading {
  readonly timeline: Timeline;
  /** Everything before it is stored. */
  readonly end: Lsn;
  readonly policy: ArchivePolicy;
}

/** What of a slot's state ends a timeline. */
export function slotObstacle(
  source: ArchiveSource,
  slot: Slot,
  { timeline, end, policy }: Reading,
): Obstacle | undefined {
  if (slot.streamId !== timeline.streamId) {
    return {
      code: 'slot-lost',
      reason: `The source has another replication slot of the name ${timeline.slot} than before: somebody dropped the archive's and made one.`,
    };
  }
  if (slot.lost !== undefined) return { code: 'slot-lost', reason: slot.lost };
  if (slot.confirmedEnd > end) {
    return {
      code: 'gap',
      reason: `The slot was moved to ${slot.confirmedEnd}, past the archive's end at ${end}: what lies between was never sent.`,
    };
  }
  return source.slotObstacle(slot, end, policy);
}

export function schemaObstacle(
  { timeline }: StoredTimeline,
  { schemaFingerprint }: ArchivableTables,
): Obstacle | undefined {
  if (schemaFingerprint === timeline.schemaFingerprint) return undefined;
  return {
    code: 'schema-changed',
    reason:
      'The tables, their columns, their replica identities or their publication changed, or an enumeration did.',
  };
}

/**
 * Writes why a timeline ends. The first reason stands. An archiver that was taken for dead must not: it sees what its successor did to the slot, and what
 * the successor stored behind the end would not count. Throws `ARCHIVE_LEASE_LOST`.
 */
export async function endTimeline(
  { store, request, signal, lease }: ArchiveContext,
  stored: StoredTimeline,
  { code, reason, lsn }: Obstacle,
): Promise<TimelineEnd> {
  await lease.hold({ signal });
  const end: TimelineEnd = {
    formatVersion: ARCHIVE_FORMAT_VERSION,
    timeline: stored.timeline.id,
    lsn: lsn ?? archiveEnd(stored),
    endedAt: new Date().toISOString(),
    code,
    reason,
  };
  await putTimelineEnd(store, request, end, { signal });
  return end;
}

/** A slot that is there has no timeline: an attempt died before it wrote one, or the timeline has ended. */
async function begin(
  context: ArchiveContext,
  session: Session,
  { source, server, name, identity, before }: Found,
  ended?: TimelineEnd,
): Promise<OpenedTimeline> {
  const { request, store, signal, lease } = context;
  await lease.hold({ signal });
  await dropOldSlot(context, source, session, name);
  const tables = await publish(context, source, session, name);
  context.log('begin an archive of changes', { database: request.database, slot: name });
  const slot = await source.createSlot(session, name);
  const createdAt = isoOfMicros((await source.readMoment(session)).micros);
  const timeline: Timeline = {
    formatVersion: ARCHIVE_FORMAT_VERSION,
    id: timelineId(createdAt, slot.startLsn, before),
    plan: request.plan,
    database: request.database,
    ...identity,
    slot: name,
    plugin: source.plugin,
    ...defined({ positions: source.positions }),
    publication: name,
    serverVersion: server.version,
    tables: tables.archived,
    notArchived: tables.notArchived.map(({ table, reason }) => ({ table, reason })),
    ...slot,
    createdAt,
    ...defined({ snapshotXids: await source.readSnapshotXids(session) }),
    // Read before the slot was there: if anything was altered since, the stream finds another fingerprint, and begins anew.
    schemaFingerprint: tables.schemaFingerprint,
    ...(ended === undefined ? {} : { previous: { timeline: ended.timeline, reason: ended.reason } }),
  };
  await putDecoder(context);
  await lease.hold({ signal });
  await putTimeline(store, timeline, { signal });
  return {
    source,
    stored: { timeline, segments: [] },
    end: slot.startLsn,
    began: ended?.reason ?? 'The plan has an archive of changes from now on.',
    ...defined({ ended }),
  };
}

/**
 * Ids sort by when timelines began. Where the source's clock was put back since the one before, its time is taken: the newest must be the last, or another would
 * begin at each attempt.
 */
function timelineId(createdAt: string, startLsn: Lsn, before = ''): string {
  const idAt = (iso: string) => `${iso.replaceAll(/[-:.]/g, '')}-${startLsn}`;
  const id = idAt(createdAt);
  if (id > before) return id;
  const iso = before.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{6}Z).*$/, '$1-$2-$3T$4:$5:$6.$7');
  return idAt(isoOfMicros(microsOfIso(iso) + 1));
}

/** The script of this version reads what it stores; one of an older version may not. */
async function putDecoder({ request, store, signal }: ArchiveContext): Promise<void> {
  const script = Buffer.from(DECODE_SCRIPT);
  await store.put(decoderKey(request.plan), script, { sha256: sha256Hex(script), ifAbsent: false, signal });
}

/** On YugabyteDB this may take some minutes, which the lease is held for. On PostgreSQL whoever reads it won't go by waiting. */
async function dropOldSlot(
  { request, signal, lease, log, heartbeat }: ArchiveContext,
  source: ArchiveSource,
  session: Session,
  name: string,
): Promise<void> {
  await dropSlot(source, session, name, {
    signal,
    forMs: source.freesLate ? source.freeWithinMs : 0,
    waiting: async (reader) => {
      log('wait until the replication slot of the last archive can be dropped', { slot: name, reader });
      heartbeat({ database: request.database, waitsFor: `slot ${name} ${reader}` });
      await lease.hold({ signal });
    },
  });
}

/** Makes the publication anew, and again where a table came meanwhile. Returns the tables that it has. */
async function publish(
  { request }: ArchiveContext,
  source: ArchiveSource,
  session: Session,
  name: string,
): Promise<ArchivableTables> {
  for (let tries = 1; ; tries += 1) {
    const wanted = await archivableTables(session, source.tables, request.source, name);
    await createPublication(session, name, wanted);
    const tables = await archivableTables(session, source.tables, request.source, name);
    if (tables.unpublished.length === 0) return tables;
    if (tries < PUBLISH_TRIES) continue;
    throw transient(
      'ARCHIVE_TABLES_COME',
      `Tables come to database "${request.database}" faster than they can be published: ${tables.unpublished.slice(0, 5).join(', ')}`,
      'It is tried again; or let the plan name the tables.',
    );
  }
}

/**
 * Removes slot and publication, and ends the newest timeline. For a plan that has no archive any more. Throws `ARCHIVE_LEASE_LOST`
 * where another archiver has the lease: the slot is that one's.
 */
export async function closeArchive(context: ArchiveContext): Promise<void> {
  const { request, store, signal, lease } = context;
  await lease.hold({ signal });
  const target = await resolveTarget(context, request.source.connection);
  const name = archiveName(request.plan, request.database);
  const removeIn = async (session: Session) => {
    const source = archiveSource(await readServer(session));
    await dropOldSlot(context, source, session, name);
    await dropPublication(session, name);
  };
  try {
    await withSession(target, request.database, signal, removeIn);
  } catch (error) {
    if (!isNoSuchDatabase(error)) throw error;
    // It was dropped, and took both with it; or it has another name now, and its slot, which any database can drop, would keep WAL for ever.
    await withServerSession(target, signal, removeIn);
  }
  const newest = (await readTimelines(store, request, { signal })).at(-1);
  if (newest === undefined || newest.end !== undefined) return;
  await endTimeline(context, newest, {
    code: 'removed',
    reason: 'The plan has no archive of changes any more.',
  });
}
