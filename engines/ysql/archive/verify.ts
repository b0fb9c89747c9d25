import { formatAmount } from '../../../model/amounts.ts';
import { postgresLsn, type StoredSegment, type StoredTimeline } from '../../../model/archive.ts';
import type { ArchiveCheck, ArchiveLevel } from '../../../model/archive-check.ts';
import { HoldfastError, messageOf } from '../../../model/errors.ts';
import { archiveWindow } from '../../../planning/archive/window.ts';
import {
  archivedDatabases,
  checkSegmentHashes,
  listSegments,
  readParts,
  readTimeline,
  timelineNames,
} from '../../../repository/archive/archive.ts';
import { type ArchiveId, timelineFolder } from '../../../repository/archive/names.ts';
import { FORGED, isDistrusted } from '../../../repository/signing/errors.ts';
import type { Store } from '../../../repository/store.ts';
import { readMessages } from './read-segments.ts';
import { SegmentCheck } from './segment-check.ts';

const MAX_PROBLEMS = 100;

const COMPARED: Readonly<Record<ArchiveLevel, string>> = {
  exists: 'the names',
  checksums: 'names and checksums',
  content: 'names, checksums and messages',
};

interface ArchiveVerification {
  readonly signal: AbortSignal;
  /** Told after each segment. */
  readonly progress?: (progress: { readonly segments: number; readonly problems: number }) => void;
  /** True: a transient failure of the store is thrown, and the caller tries again. Default: the failure becomes the verdict. */
  readonly throwsTransient?: boolean;
}

/**
 * Checks every segment of a plan's archive, and goes on after a problem, so that the report names all of them. What
 * retention drops meanwhile is no problem.
 *
 * Verdict `FAILED` where a segment is missing or damaged, is forged, or contradicts its name, its header or the messages in it, `INCONCLUSIVE` where
 * the store could not be asked, no trusted key signed what had to be read, or the repository has no archive of the plan or no segment of it, else `OK`. What only a replay can see (a row's message that is missing,
 * with everything else right) is left to the proof. Throws the reason of an abort, mistakes of the program, and what `throwsTransient` says.
 */
export async function verifyArchive(
  store: Store,
  plan: string,
  level: ArchiveLevel,
  options: ArchiveVerification,
): Promise<ArchiveCheck> {
  const check = new Check(store, level, options);
  try {
    for (const database of await archivedDatabases(store, plan, options)) {
      for (const name of await timelineNames(store, { plan, database }, options)) {
        await check.timeline({ plan, database }, name);
      }
    }
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof HoldfastError)) throw error;
    if (error.transient && options.throwsTransient === true) throw error;
    return check.report(plan, `${error.message} (${error.code})`);
  }
  return check.report(plan);
}

class Check {
  readonly #store: Store;
  readonly #level: ArchiveLevel;
  readonly #options: ArchiveVerification;
  readonly #problems: string[] = [];
  /** What no trusted key signed, where the plan says that the repository is signed. */
  readonly #doubts: string[] = [];
  #timelines = 0;
  #segments = 0;
  #transactions = 0;

  constructor(store: Store, level: ArchiveLevel, options: ArchiveVerification) {
    this.#store = store;
    this.#level = level;
    this.#options = options;
  }

  async timeline(id: ArchiveId, name: string): Promise<void> {
    const stored = await this.#read(id, name);
    if (stored === undefined) return;
    this.#timelines += 1;
    const { holes } = archiveWindow(id.database, [stored]);
    // The end of a timeline is shown as a hole that lasts; it is a known end, and no damage.
    for (const { reason, toMicros } of holes) if (toMicros !== undefined) this.#problems.push(reason);
    const last = stored.segments.at(-1);
    if (stored.end !== undefined && last !== undefined && last.endLsn < stored.end.lsn) {
      this.#problems.push(
        `Segments from ${postgresLsn(last.endLsn)} to ${postgresLsn(stored.end.lsn)}, where timeline ${name} of ${id.database} ended, are missing.`,
      );
    }
    const parts = await this.#listParts(id, name);
    const failed: { readonly segment: StoredSegment; readonly problem: string }[] = [];
    // Also those beside the chain: an archiver that was taken for dead leaves sound ones, and a chain may lead over them tomorrow.
    for (const segment of stored.segments) {
      const problem = await this.#problemOf(segment, name, parts);
      if (problem !== undefined) failed.push({ segment, problem });
      this.#segments += 1;
      this.#options.progress?.({
        segments: this.#segments,
        problems: this.#problems.length + failed.length,
      });
    }
    if (failed.length === 0) return;
    // Retention drops from the beginning on: what lies before the first that is still there was dropped meanwhile.
    const [first] = await listSegments(this.#store, id, name, this.#options);
    for (const { segment, problem } of failed) {
      if (first !== undefined && segment.startLsn >= first.startLsn) this.#problems.push(problem);
    }
  }

  report(plan: string, unknown?: string): ArchiveCheck {
    const level = this.#level;
    const isFailed = this.#problems.length > 0;
    const nothing =
      this.#segments === 0 && !isFailed && unknown === undefined
        ? `the repository holds no ${this.#timelines === 0 ? 'archive of changes' : 'segment of an archive of changes'} of this plan`
        : undefined;
    const open = unknown ?? this.#doubts[0] ?? nothing;
    return {
      plan,
      level,
      verdict: isFailed ? 'FAILED' : open === undefined ? 'OK' : 'INCONCLUSIVE',
      segments: this.#segments,
      ...(level === 'content' ? { transactions: this.#transactions } : {}),
      compared: `${COMPARED[level]} of ${formatAmount(this.#segments, 'segment')}${level === 'content' ? ` with ${formatAmount(this.#transactions, 'transaction')}` : ''}`,
      problems: [
        ...this.#problems,
        ...this.#doubts,
        ...(open === undefined || open === this.#doubts[0] ? [] : [open]),
      ].slice(0, MAX_PROBLEMS),
    };
  }

  async #read(id: ArchiveId, name: string): Promise<StoredTimeline | undefined> {
    try {
      const stored = await readTimeline(this.#store, id, name, this.#options);
      if (stored !== undefined) return stored;
    } catch (error) {
      if (!isDamageOfArchive(error)) throw error;
      this.#problems.push(messageOf(error));
      return undefined;
    }
    const segments = await listSegments(this.#store, id, name, this.#options);
    if (segments.length > 0) {
      this.#problems.push(
        `${timelineFolder(id, name)} in ${this.#store.description} has ${formatAmount(segments.length, 'segment')} and no timeline.json.`,
      );
    }
    return undefined;
  }

  /** Sizes by key. */
  async #listParts(id: ArchiveId, name: string): Promise<ReadonlyMap<string, number>> {
    const sizes = new Map<string, number>();
    for await (const { key, sizeBytes } of this.#store.list(
      `${timelineFolder(id, name)}parts/`,
      this.#options,
    )) {
      sizes.set(key, sizeBytes);
    }
    return sizes;
  }

  /** A sentence; undefined where nothing is wrong. Throws where the store can't be asked. */
  async #problemOf(
    segment: StoredSegment,
    timeline: string,
    parts: ReadonlyMap<string, number>,
  ): Promise<string | undefined> {
    try {
      if (this.#level === 'content') await this.#readSegment(segment, timeline);
      else {
        if (this.#level === 'checksums') await checkSegmentHashes(this.#store, segment, this.#options);
        return await this.#missingPart(segment, parts);
      }
    } catch (error) {
      this.#options.signal.throwIfAborted();
      if (isUnvouched(error)) {
        this.#doubts.push(messageOf(error));
        return undefined;
      }
      if (!isDamageOfArchive(error)) throw error;
      const problem = messageOf(error);
      return problem.includes(segment.key) ? problem : `Segment ${segment.key}: ${problem}`;
    }
    return undefined;
  }

  async #missingPart(
    segment: StoredSegment,
    sizes: ReadonlyMap<string, number>,
  ): Promise<string | undefined> {
    if (!segment.isInParts) return undefined;
    const parts = await readParts(this.#store, segment, this.#options);
    const missing = parts.find(({ key, sizeBytes }) => sizes.get(key) !== sizeBytes);
    return missing && `${missing.key} in ${this.#store.description} is missing or of another size.`;
  }

  async #readSegment(segment: StoredSegment, timeline: string): Promise<void> {
    const check = new SegmentCheck(segment, `Segment ${segment.key} in ${this.#store.description}`);
    let transactions = 0;
    const messages = readMessages(this.#store, [segment], {
      signal: this.#options.signal,
      timeline,
      begun: (_segment, header) => {
        transactions = header.transactions;
      },
    });
    for await (const message of messages) check.take(message);
    check.end({ transactions });
    this.#transactions += check.transactions;
  }
}

const DAMAGE = [
  FORGED,
  'STORE_NOT_FOUND',
  'STORE_DAMAGED',
  'FORMAT_TOO_NEW',
  'DATA_NOT_ZSTD',
  'ARCHIVE_BAD_SEGMENT',
  'ARCHIVE_MESSAGE',
];

/** Whether nobody whom the plan trusts says who wrote the object, which may be as it should be. */
function isUnvouched(error: unknown): boolean {
  return isDistrusted(error) && error.code !== FORGED;
}

/** Whether the error says something of the object that was read, and not of the store. */
function isDamageOfArchive(error: unknown): boolean {
  if (error instanceof HoldfastError) return DAMAGE.includes(error.code);
  // The object has the hash of its name, and is no zstd: it was written wrongly.
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ZSTD_');
}
