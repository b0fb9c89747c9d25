import { microsOfIso, type SegmentHeader, type Timeline } from '../../../model/archive.ts';
import { defined } from '../../../model/defined.ts';
import { permanent } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import type { ArchiveChain, ReplayReport, ReplayWish } from '../../../model/replay.ts';
import { type BasePlace, basePlace } from '../../../planning/archive/base-place.ts';
import { chainFrom, segmentsTo } from '../../../planning/archive/chain.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import { readTimeline } from '../../../repository/archive/archive.ts';
import { readManifest } from '../../../repository/backups/manifest.ts';
import type { RestoreContext } from '../../engine.ts';
import { replay } from '../archive/apply.ts';
import { Cut, describeTransaction, sightOf } from '../archive/cut.ts';
import { createPosition, readPosition } from '../archive/position.ts';
import { readMessages } from '../archive/read-segments.ts';
import { holdsLargeObjects } from '../large-objects.ts';
import { tableName } from '../server/identifiers.ts';
import type { Session } from '../server/session.ts';
import { readState, setState, withRestoreSession } from './bookkeeping.ts';
import { checkDatabase } from './check.ts';
import { type DatabaseJob, databaseOf, type RestoreJob, restoreJob } from './job.ts';

/**
 * Replays the archived changes of one database from its base to the instant that the request names. May be called again: it continues
 * where the previous attempt stopped, and does nothing when that attempt finished.
 *
 * Throws `RESTORE_NO_REPLAY`, `ARCHIVE_NO_CHAIN`, `RESTORE_DIFFERS` and what `replay` (archive/apply.ts) throws (permanent).
 */
export async function replayDatabase(context: RestoreContext, name: string): Promise<ReplayReport> {
  const job = await restoreJob(context);
  const database = databaseOf(job, name);
  const wish = requireWish(context);
  const known = await readReport(job, database);
  if (known !== undefined) return known;
  const { timeline, chain, place } = await findChain(context, wish, name);
  await compareBase(job, database);
  return await withRestoreSession(job, database, async (session) => {
    await createPosition(session);
    const report = await run(job, database, { session, wish, timeline, chain, place });
    await setState(session, 'replayed', JSON.stringify(report));
    return report;
  });
}

/** Reads the report of a database's replay; undefined before its end. */
export async function readReport(job: RestoreJob, database: DatabaseJob): Promise<ReplayReport | undefined> {
  const state = await withRestoreSession(job, database, readState);
  return state?.replayed === undefined ? undefined : (JSON.parse(state.replayed) as ReplayReport);
}

function requireWish({ request }: RestoreContext): ReplayWish {
  if (request.replay !== undefined) return request.replay;
  throw permanent(
    'RESTORE_NO_REPLAY',
    `Restore ${request.restore} names no instant to replay to`,
    'Start the restore again.',
  );
}

/**
 * Refuses, before anything is written, a replay that can't succeed: `RESTORE_REPLAY_WITH` when the request contradicts a replay,
 * `RESTORE_PROOF_SCRATCH` when a proof is not a scratch restore, `ARCHIVE_NO_CHAIN` when the archive doesn't reach the instant (all
 * permanent), and as `requireTrusted` for the timeline's description.
 */
export async function checkReplay(context: RestoreContext): Promise<void> {
  const { request, manifest } = context;
  const wish = requireWish(context);
  if (request.contents !== 'all' || manifest.contents !== 'all' || request.tolerate === true) {
    throw permanent(
      'RESTORE_REPLAY_WITH',
      'Archived changes can only follow a backup that is restored whole: with schema and data, and without tolerating what the server refuses',
      'Leave out --contents and --tolerate, or restore the backup itself.',
    );
  }
  if (wish.proves !== undefined && !request.scratch) {
    throw permanent(
      'RESTORE_PROOF_SCRATCH',
      'A proof replays what a later backup sees, which is no instant of the source, so it may only go into scratch databases',
      'Leave out `proves`.',
    );
  }
  for (const { name } of manifest.databases) await findChain(context, wish, name);
}

interface FoundChain {
  readonly timeline: Timeline;
  readonly chain: ArchiveChain;
  readonly place: BasePlace;
}

/** Finds the chain again in storage: its segments may have been deleted since the restore was planned. */
async function findChain(
  { store, manifest, signal }: Pick<RestoreContext, 'store' | 'manifest' | 'signal'>,
  { to, timelines, proves }: ReplayWish,
  database: string,
): Promise<FoundChain> {
  const id = { plan: manifest.plan, database };
  const name = timelines[database];
  const stored =
    name === undefined ? undefined : await readTimeline(store, id, name, { signal, signedBy: 'trusted' });
  if (stored === undefined) throw noChain(database, to, `the archive has no timeline ${name ?? 'of it'}`);
  const place = placeOf(manifest);
  const reasons: string[] = [];
  for (const interval of archiveWindow(database, [stored]).intervals) {
    const chain = chainFrom(
      // A proof may check a stretch again, or one next to a refuted stretch, so it ignores earlier proofs.
      { timeline: stored.timeline, interval, proofs: proves === undefined ? stored.proofs : [] },
      place,
    );
    if ('reason' in chain) reasons.push(chain.reason);
    else if (
      place !== undefined &&
      chain.fromMicros <= microsOfIso(to) &&
      microsOfIso(to) <= chain.toMicros
    ) {
      return { timeline: stored.timeline, chain, place };
    } else reasons.push('the instant lies outside of what the archive has without a gap');
  }
  throw noChain(database, to, reasons.join('; '));
}

/** Where a backup stands among the server's transactions. Undefined when it doesn't say so. */
function placeOf({ readPoint, databases }: Manifest): BasePlace | undefined {
  return basePlace(
    readPoint,
    databases.map(({ name }) => name),
  );
}

function noChain(database: string, to: string, reason: string): Error {
  return permanent(
    'ARCHIVE_NO_CHAIN',
    `Database "${database}" can't be replayed from the backup to ${to}: ${reason}`,
    'Ask for another instant: `holdfast status PLAN` shows which can be had.',
  );
}

/** Compares the base with the manifest, once and before the first change: after it the manifest no longer describes the rows. */
async function compareBase(job: RestoreJob, database: DatabaseJob): Promise<void> {
  const state = await withRestoreSession(job, database, readState);
  if (state?.compared !== undefined) return;
  const differences = await checkDatabase(job, database);
  if (differences.length > 0) {
    throw permanent(
      'RESTORE_DIFFERS',
      `Before any change was replayed, the restored data differs from the backup: ${differences.slice(0, 5).join('; ')}`,
      'Verify the backup, or restore from another one.',
    );
  }
  await withRestoreSession(job, database, (session) =>
    setState(session, 'compared', new Date().toISOString()),
  );
}

/** How much further a proof reads: the transactions that the later backup sees may not come first. */
const BEYOND_MICROS = 60_000_000;

/** Reads which transactions the later backup of a proof sees. Throws `ARCHIVE_NO_CHAIN` (permanent) when it doesn't say so. */
async function placeOfLater({ store, manifest, signal }: RestoreContext, backup: string, database: string) {
  const later = await readManifest(store, { plan: manifest.plan, backup }, { signal });
  const place = placeOf(later);
  if (place?.databases.includes(database) !== true) {
    throw noChain(database, backup, 'that backup does not say which transactions it holds');
  }
  return { sees: sightOf(place, database), micros: BigInt(microsOfIso(place.seenBy)) };
}

interface Replaying extends FoundChain {
  readonly session: Session;
  readonly wish: ReplayWish;
}

async function run(
  job: RestoreJob,
  database: DatabaseJob,
  { session, wish, timeline, chain, place }: Replaying,
): Promise<ReplayReport> {
  const { store, signal, heartbeat } = job.context;
  const name = database.manifest.name;
  const instantMicros = microsOfIso(wish.to);
  const until = wish.proves === undefined ? undefined : await placeOfLater(job.context, wish.proves, name);
  const from = await readPosition(session);
  const cut = new Cut({
    instantMicros: BigInt(instantMicros),
    sees: sightOf(place, name),
    byHybridTime: timeline.positions === 'hybrid-time',
    baseMicros: BigInt(microsOfIso(place.seenBy)),
    applied: from,
    until,
  });
  const segments = segmentsTo(chain, instantMicros + (until === undefined ? 0 : BEYOND_MICROS));
  let read = 0;
  let sequences: SegmentHeader['sequences'];
  const messages = readMessages(store, segments, {
    signal,
    timeline: timeline.id,
    begun: (segment, header) => {
      read += 1;
      // Sequence values are read when a segment is closed, so those of the segment that holds the cut are never too old.
      sequences = header.sequences ?? sequences;
      heartbeat({ database: name, segment: segment.key, segments: read, of: segments.length });
    },
  });
  const position = await replay(session, messages, {
    cut,
    from,
    includes: database.selection.includes,
    progress: ({ transactions, changes }) =>
      heartbeat({ database: name, segments: read, of: segments.length, transactions, changes }),
  });
  const archived = new Set(timeline.tables.map(({ table }) => table));
  return {
    database: name,
    timeline: timeline.id,
    to: wish.to,
    segments: read,
    transactions: position?.transactions ?? 0,
    changes: position?.changes ?? 0,
    ...defined({
      lastTaken: cut.lastTaken && describeTransaction(cut.lastTaken),
      firstLeftOut: cut.firstLeftOut && describeTransaction(cut.firstLeftOut),
    }),
    notArchived: database.manifest.tables
      .filter((table) => database.selection.includes(table) && !holdsLargeObjects(table))
      .map(tableName)
      .filter((table) => !archived.has(table)),
    sequences: (sequences ?? []).flatMap(({ schema, name: sequence, lastValue }) =>
      lastValue === null ? [] : [{ schema, name: sequence, lastValue }],
    ),
  };
}
