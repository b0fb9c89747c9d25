import { defined } from '../model/defined.ts';
import { scratchNameIn } from '../model/drill.ts';
import type { PruneInput } from '../model/prune.ts';
import type { Catalogue, CatalogueEntry } from '../model/recovery.ts';
import { DAY_MS } from '../model/time.ts';
import { archiveBase } from '../planning/archive/retention.ts';
import { decideRetention, type RetentionVerdict } from '../planning/retention.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { type Mark, readMarks } from '../repository/retention/marks.ts';
import { type Pin, readPins } from '../repository/retention/pins.ts';
import type { Store } from '../repository/store.ts';

/** Time between mark and deletion, unless the policy says otherwise. Milliseconds. */
export const DEFAULT_GRACE_MS = DAY_MS;

/** What a prune would do now. */
export interface Judgement {
  readonly catalogue: Catalogue;
  /** Newest instant first. */
  readonly verdicts: readonly RetentionVerdict[];
  /** New or changed marks. */
  readonly toMark: readonly Mark[];
  /** Backups that no rule keeps, of which too many came at once to be marked without approval. */
  readonly heldBack: ReadonlySet<string>;
  /** Marks to be removed: their backups are kept now, or are gone. */
  readonly toUnmark: readonly Mark[];
  /** Backups within their grace time; the one to be deleted first comes first. */
  readonly waiting: readonly Mark[];
  /** Marked backups whose grace time is over; oldest instant first. */
  readonly due: readonly Mark[];
  /** Pins whose reader is gone. A scratch restore's pin stays until the next drill has dropped what it left. */
  readonly deadPins: readonly Pin[];
}

/** Judges every backup of a plan by the policy, from what storage holds now. Changes nothing. */
export async function judge(
  store: Store,
  input: PruneInput,
  options: {
    readonly now: Date;
    readonly isLive: (pin: Pin) => Promise<boolean>;
    readonly signal?: AbortSignal;
  },
): Promise<Judgement> {
  const cancellable = defined({ signal: options.signal });
  const catalogue = await readCatalogue(store, input.repository, input.plan, cancellable);
  const marks = await readMarks(store, input.plan, cancellable);
  const protectedBackups: { readonly backup: string; readonly reader: string }[] = [];
  const deadPins: Pin[] = [];
  for (const pin of await readPins(store, { plan: input.plan }, cancellable)) {
    if (pin.ended !== true && (await options.isLive(pin))) protectedBackups.push(pin);
    else if (scratchNameIn(pin.workflowId) === undefined || pin.ended === true) deadPins.push(pin);
  }
  const { now } = options;
  const base = oldestBase(catalogue.entries, input.archiveRetentionMs, now);
  if (base !== undefined) protectedBackups.push({ backup: base.backup, reader: 'the archive of changes' });
  const verdicts = decideRetention(catalogue.entries, input.retention, {
    now,
    protectedBackups,
    ...defined({ historyMs: input.historyMs }),
  });
  const entries = new Map(catalogue.entries.map((entry) => [entry.backup, entry]));
  const dropped = verdicts.filter(({ keep }) => !keep);
  const heldBack = tooMany(
    dropped.map(({ backup }) => backup).filter((backup) => !marks.has(backup)),
    input.repository.deletion?.atOnce,
  );
  const wanted = dropped
    .filter(({ backup }) => !heldBack.has(backup))
    .map(({ backup }) => markOf(input, backup, marks.get(backup), now));
  const wantedBackups = new Set(dropped.map(({ backup }) => backup));
  const isDue = ({ deleteAfter }: Mark) => Date.parse(deleteAfter) <= now.getTime();
  return {
    catalogue,
    verdicts,
    heldBack,
    toMark: wanted.filter((mark) => differs(mark, marks.get(mark.backup))),
    toUnmark: [...marks.values()].filter(({ backup }) => !wantedBackups.has(backup)),
    waiting: wanted
      .filter((mark) => !isDue(mark))
      .sort((one, other) => Date.parse(one.deleteAfter) - Date.parse(other.deleteAfter)),
    due: wanted
      .filter((mark) => marks.has(mark.backup) && isDue(mark))
      .sort((one, other) => instantOf(entries.get(one.backup)) - instantOf(entries.get(other.backup))),
    deadPins,
  };
}

/** All of these backups if they are more than may be marked at once, otherwise none. */
function tooMany(fresh: readonly string[], atOnce = Number.POSITIVE_INFINITY): ReadonlySet<string> {
  return new Set(fresh.length > atOnce ? fresh : []);
}

/**
 * As `judge`, for a command that asks no Temporal server. Only that knows whether a reader still runs, so every pin counts until it expires.
 */
export async function judgeByStorage(store: Store, input: PruneInput, now = new Date()): Promise<Judgement> {
  const isLive = async ({ expiresAt }: Pin) => Date.parse(expiresAt) > now.getTime();
  return await judge(store, input, { now, isLive });
}

/** The base of the oldest instant that the archive must keep: the newest backup before that instant. */
function oldestBase(
  entries: readonly CatalogueEntry[],
  archiveRetentionMs: number | undefined,
  now: Date,
): CatalogueEntry | undefined {
  if (archiveRetentionMs === undefined) return undefined;
  return archiveBase(entries, now.getTime() - archiveRetentionMs);
}

/** The mark of a backup by the present policy. Its grace time counts from when the backup was first marked. */
function markOf(input: PruneInput, backup: string, known: Mark | undefined, now: Date): Mark {
  const graceMs = input.retention?.graceMs ?? DEFAULT_GRACE_MS;
  const knownMs = known === undefined ? Number.POSITIVE_INFINITY : Date.parse(known.markedAt);
  // A wrong clock set a mark that lies in the future.
  const markedMs = Math.min(knownMs, now.getTime());
  return {
    plan: input.plan,
    backup,
    markedAt: new Date(markedMs).toISOString(),
    deleteAfter: new Date(markedMs + graceMs).toISOString(),
    ...(known?.deleting === true ? { deleting: true } : {}),
  };
}

function differs(mark: Mark, known: Mark | undefined): boolean {
  return known?.markedAt !== mark.markedAt || known.deleteAfter !== mark.deleteAfter;
}

function instantOf(entry: CatalogueEntry | undefined): number {
  return entry === undefined ? 0 : Date.parse(entry.instant);
}

/** What a prune would do with a backup now. */
export type BackupFate = RetentionVerdict &
  /** `ask`: no rule keeps it, and it stays until its deletion is asked for and approved. */
  (
    | { readonly fate: 'keep' | 'unmark' | 'ask' }
    /** Marked now; marked before and within its grace time; deleted now. */
    | { readonly fate: 'mark' | 'wait' | 'delete'; readonly deleteAfter: string }
  );

/** The judgement, backup by backup, newest instant first. */
export function fatesOf({
  verdicts,
  heldBack,
  toMark,
  toUnmark,
  waiting,
  due,
}: Judgement): readonly BackupFate[] {
  const marked = new Set(toMark.map(({ backup }) => backup));
  const unmarked = new Set(toUnmark.map(({ backup }) => backup));
  const waits = new Map(waiting.map((mark) => [mark.backup, mark]));
  const ends = new Map(due.map((mark) => [mark.backup, mark]));
  return verdicts.map((verdict): BackupFate => {
    const { backup } = verdict;
    const waitingMark = waits.get(backup);
    const dueMark = ends.get(backup);
    if (dueMark !== undefined) return { ...verdict, fate: 'delete', deleteAfter: dueMark.deleteAfter };
    if (waitingMark !== undefined) {
      return { ...verdict, fate: marked.has(backup) ? 'mark' : 'wait', deleteAfter: waitingMark.deleteAfter };
    }
    if (heldBack.has(backup)) return { ...verdict, fate: 'ask' };
    return { ...verdict, fate: unmarked.has(backup) ? 'unmark' : 'keep' };
  });
}
