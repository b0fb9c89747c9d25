import { formatBytes } from '../../../model/amounts.ts';
import {
  isoOfMicros,
  type Lsn,
  type StoredTimeline,
  type Timeline,
  type TimelineEnd,
  type TimelineEndCode,
} from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { permanent, transient } from '../../../model/errors.ts';
import { chainsOf } from '../../../planning/archive-window.ts';
import {
  ARCHIVE_FORMAT_VERSION,
  putTimeline,
  putTimelineEnd,
  readTimelines,
} from '../../../repository/archive.ts';
import { decoderKey } from '../../../repository/archive-names.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { archiveName } from '../server/archive-names.ts';
import { readServer, type Server } from '../server/server.ts';
import { resolveTarget, type Session, withSession } from '../server/session.ts';
import type { ArchiveContext } from './context.ts';
import { DECODE_SCRIPT } from './decode-script.ts';
import {
  readMoment,
  readSlot,
  readSnapshotXids,
  readSourceIdentity,
  type Slot,
  type SourceIdentity,
} from './server-state.ts';
import { createPublication, createSlot, dropPublication, dropSlot, PLUGIN, refuseBusy } from './slot.ts';
import { type ArchivableTables, archivableTables } from './tables.ts';
import { replicationLimits } from './yugabytedb-limits.ts';

/** How often a publication is made anew in one attempt. */
const PUBLISH_TRIES = 5;

export interface OpenedTimeline {
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
 * @throws HoldfastError `ARCHIVE_NOT_POSTGRESQL`, `ARCHIVE_NO_TABLE` (permanent), `ARCHIVE_SLOT_BUSY` (transient)
 */
export async function openTimeline(context: ArchiveContext): Promise<OpenedTimeline> {
  const { request, store, signal } = context;
  const target = await resolveTarget(context, request.source.connection);
  return await withSession(target, request.database, signal, async (session) => {
    const server = await readServer(session);
    requirePostgres(server);
    const name = archiveName(request.plan, request.database);
    const timelines = await readTimelines(store, request, { signal });
    const newest = timelines.at(-1);
    const found: Found = {
      identity: await readSourceIdentity(session),
      slot: await readSlot(session, name),
      tables: await archivableTables(session, request.source, name),
    };
    if (newest === undefined) return await begin(context, session, { server, name, found });
    if (newest.end !== undefined) {
      return await begin(context, session, { server, name, found, ended: newest.end });
    }
    const obstacle = obstacleTo(newest, found, request.policy.maxSourceLagBytes);
    if (obstacle === undefined) return { stored: newest, end: archiveEnd(newest) };
    const ended = await endTimeline(context, newest, obstacle);
    return await begin(context, session, { server, name, found, ended });
  });
}

interface Found {
  readonly identity: SourceIdentity;
  readonly slot: Slot | undefined;
  readonly tables: ArchivableTables;
}

interface Obstacle {
  readonly code: TimelineEndCode;
  readonly reason: string;
  /** Absent: the archive's end. */
  readonly lsn?: Lsn;
}

export function requirePostgres({ product, version }: Server): void {
  if (product === 'postgresql') return;
  throw permanent(
    'ARCHIVE_NOT_POSTGRESQL',
    `An archive of changes is built for PostgreSQL 15 or newer, and the source is YugabyteDB ${version}. Of this release: ${replicationLimits(version).join('; ')}`,
    'Remove pointTime.archive from the plan. A plan of the universe (source.universe) reaches any second by pointTime.offCluster or pointTime.inCluster.',
  );
}

/** Why the newest timeline can't go on. */
function obstacleTo(
  stored: StoredTimeline,
  { identity, slot, tables }: Found,
  maxSourceLagBytes: number,
): Obstacle | undefined {
  const { timeline } = stored;
  const end = archiveEnd(stored);
  if (identity.systemIdentifier !== timeline.systemIdentifier) {
    return {
      code: 'other-source',
      reason: `The address leads to another server than before (system ${identity.systemIdentifier}, before ${timeline.systemIdentifier}).`,
    };
  }
  if (identity.databaseOid !== timeline.databaseOid) {
    return {
      code: 'other-source',
      reason: `Another database has the name now, on the same server (number ${identity.databaseOid}, before ${timeline.databaseOid}): a restore replaced it, or it was made anew.`,
    };
  }
  if (slot === undefined) {
    return {
      code: 'slot-lost',
      reason: `The source has no replication slot ${timeline.slot} any more: somebody dropped it, or the archive gave it up (maxSourceLag) while the repository could not be written.`,
    };
  }
  return slotObstacle(slot, end, maxSourceLagBytes) ?? schemaObstacle(stored, tables);
}

/** What of a slot's state ends a timeline. @param end everything before it is stored. */
export function slotObstacle(slot: Slot, end: Lsn, maxSourceLagBytes: number): Obstacle | undefined {
  if (slot.walStatus === 'lost') {
    return {
      code: 'slot-lost',
      reason: 'The source removed WAL that was not archived yet (max_slot_wal_keep_size).',
    };
  }
  if (slot.confirmedFlush > end) {
    return {
      code: 'gap',
      reason: `The slot was moved to ${slot.confirmedFlush}, past the archive's end at ${end}: what lies between was never sent.`,
    };
  }
  if (slot.keptBytes > maxSourceLagBytes) {
    return {
      code: 'source-lag',
      reason: `The slot kept ${formatBytes(slot.keptBytes)} of WAL on the source, more than maxSourceLag (${formatBytes(maxSourceLagBytes)}), and was given up.`,
    };
  }
  return undefined;
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

/** Writes why a timeline ends. The first reason stands. */
export async function endTimeline(
  { store, request, signal }: ArchiveContext,
  stored: StoredTimeline,
  { code, reason, lsn }: Obstacle,
): Promise<TimelineEnd> {
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

interface Beginning {
  readonly server: Server;
  readonly name: string;
  readonly found: Found;
  /** Of the timeline before. */
  readonly ended?: TimelineEnd;
}

/** A slot that is there has no timeline: an attempt died before it wrote one, or the timeline has ended. */
async function begin(
  context: ArchiveContext,
  session: Session,
  { server, name, found, ended }: Beginning,
): Promise<OpenedTimeline> {
  const { request, store, signal, lease } = context;
  await lease.hold({ signal });
  if (found.slot !== undefined) refuseBusy(found.slot, name);
  await dropSlot(session, name);
  const tables = await publish(context, session, name);
  context.log('begin an archive of changes', { database: request.database, slot: name });
  const startLsn = await createSlot(session, name);
  const moment = await readMoment(session);
  const createdAt = isoOfMicros(moment.micros);
  const timeline: Timeline = {
    formatVersion: ARCHIVE_FORMAT_VERSION,
    id: `${createdAt.replaceAll(/[-:.]/g, '')}-${startLsn}`,
    plan: request.plan,
    database: request.database,
    ...found.identity,
    slot: name,
    plugin: PLUGIN,
    publication: name,
    serverVersion: server.version,
    tables: tables.archived,
    notArchived: tables.notArchived.map(({ table, reason }) => ({ table, reason })),
    startLsn,
    createdAt,
    snapshotXids: await readSnapshotXids(session),
    // Read before the slot was there: if anything was altered since, the stream finds another fingerprint, and begins anew.
    schemaFingerprint: tables.schemaFingerprint,
    ...(ended === undefined ? {} : { previous: { timeline: ended.timeline, reason: ended.reason } }),
  };
  const script = Buffer.from(DECODE_SCRIPT);
  const decoder = { sha256: sha256Hex(script), ifAbsent: false, signal };
  await store.put(decoderKey(request.plan), script, decoder);
  await lease.hold({ signal });
  await putTimeline(store, timeline, { signal });
  return {
    stored: { timeline, segments: [] },
    end: startLsn,
    began: ended?.reason ?? 'The plan has an archive of changes from now on.',
    ...defined({ ended }),
  };
}

/** Makes the publication anew, and again where a table came meanwhile. Returns the tables that it has. */
async function publish(
  { request }: ArchiveContext,
  session: Session,
  name: string,
): Promise<ArchivableTables> {
  for (let tries = 1; ; tries += 1) {
    const wanted = await archivableTables(session, request.source, name);
    await createPublication(session, name, wanted);
    const tables = await archivableTables(session, request.source, name);
    if (tables.unpublished.length === 0) return tables;
    if (tries < PUBLISH_TRIES) continue;
    throw transient(
      'ARCHIVE_TABLES_COME',
      `Tables come to database "${request.database}" faster than they can be published: ${tables.unpublished.slice(0, 5).join(', ')}`,
      'It is tried again; or let the plan name the tables.',
    );
  }
}

/** Removes slot and publication, and ends the newest timeline. For a plan that has no archive any more. */
export async function closeArchive(context: ArchiveContext): Promise<void> {
  const { request, store, signal } = context;
  const target = await resolveTarget(context, request.source.connection);
  const name = archiveName(request.plan, request.database);
  await withSession(target, request.database, signal, async (session) => {
    await dropSlot(session, name);
    await dropPublication(session, name);
  });
  const newest = (await readTimelines(store, request, { signal })).at(-1);
  if (newest === undefined || newest.end !== undefined) return;
  await endTimeline(context, newest, {
    code: 'removed',
    reason: 'The plan has no archive of changes any more.',
  });
}
