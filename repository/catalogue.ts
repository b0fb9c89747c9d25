import type { VerifyReport } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { recover } from '../model/errors.ts';
import { windowOf } from '../model/history-window.ts';
import { instantOf, type Manifest, unreadIn } from '../model/manifest.ts';
import type { RepositorySpec, VerifyLevel } from '../model/pipeline.ts';
import type { Catalogue, CatalogueEntry } from '../model/recovery.ts';
import { rowsOf } from '../model/rows.ts';
import { isSafetyBackup } from '../model/safety-backup.ts';
import { isSuspect, listBackups } from './backups/list-backups.ts';
import { mapBounded } from './bounded.ts';
import { type BackupId, manifestKey } from './layout.ts';
import { readReports } from './ledger.ts';
import { findRepository } from './repository.ts';
import { holdText, isInForce, readHolds } from './retention/holds.ts';
import { readMarks } from './retention/marks.ts';
import { compareRegister } from './signing/register.ts';
import type { Cancellable, Store } from './store.ts';
import { isDamage } from './store-errors.ts';

const LEDGERS_AT_ONCE = 8;
const DAMAGED_NAMED = 20;
const PROBLEMS_NAMED = 20;

/** How many verifications of a backup are searched for a drill, and for damage that an OK of a lower level doesn't refute, from the newest on. */
const REPORTS_SEARCHED = 30;

/**
 * Reads what a repository holds of a plan, from manifests and the ledger alone. Throws errors of the store (unreachable, denied).
 * A backup with a damaged entry in the ledger counts as never verified, and its entry says so.
 */
export async function readCatalogue(
  store: Store,
  repository: RepositorySpec,
  plan: string,
  options: Cancellable = {},
): Promise<Catalogue> {
  const identity = await findRepository(store, options);
  const listing = await listBackups(store, plan, options);
  const { backups, unusable } = listing;
  const register = await compareRegister(store, plan, listing, options);
  const { location } = repository;
  const locks = location.kind === 's3' && location.objectLock !== undefined;
  const marks = await readMarks(store, plan, options);
  const holds = (await readHolds(store, { plan }, options)).filter(isInForce);
  const read = async (manifest: Manifest): Promise<CatalogueEntry> => {
    const held = holds.filter(({ backup }) => backup === manifest.backup).map(holdText);
    const mark = marks.get(manifest.backup);
    const marked = mark && { marked: { at: mark.markedAt, deleteAfter: mark.deleteAfter } };
    const locked = locks ? await lockOf(store, manifest, options) : {};
    return {
      ...entryOf(manifest),
      ...(await historyOf(store, manifest, options)),
      ...locked,
      ...marked,
      ...(held.length === 0 ? {} : { held: held.join('; ') }),
    };
  };
  return {
    plan,
    repository: repository.name,
    ...defined({ repositoryId: identity?.id }),
    entries: await Array.fromAsync(mapBounded(backups, LEDGERS_AT_ONCE, read)),
    unusable: unusable.length,
    ...(locks ? { locks } : {}),
    damaged: unusable
      .filter(isSuspect)
      .slice(0, DAMAGED_NAMED)
      .map(({ backup, problem }) => ({ backup, problem })),
    ...(register === undefined ? {} : { signed: { problems: register.problems.slice(0, PROBLEMS_NAMED) } }),
    total: backups.length,
    readAt: new Date().toISOString(),
  };
}

/**
 * The lock of the manifest, and until when everything that the backup needs is locked. The manifest is written last, so its own
 * lock ends last.
 */
async function lockOf(
  store: Store,
  manifest: Manifest,
  options: Cancellable,
): Promise<Pick<CatalogueEntry, 'lockedUntil' | 'wholeLockedUntil'>> {
  const lockedUntil = (await store.head(manifestKey(manifest), options))?.lockedUntil;
  if (lockedUntil === undefined) return {};
  const { locks } = manifest;
  const wholeMs = locks === undefined ? undefined : Math.min(lockedUntil.getTime(), Date.parse(locks.until));
  return {
    lockedUntil: lockedUntil.toISOString(),
    ...(wholeMs === undefined ? {} : { wholeLockedUntil: new Date(wholeMs).toISOString() }),
  };
}

type History = Pick<CatalogueEntry, 'verified' | 'lastGood' | 'lastBad' | 'drill' | 'problem'>;

async function historyOf(store: Store, ref: BackupId, options: Cancellable): Promise<History> {
  // The data may be whole. A restore must not fail because of a damaged record about it.
  return await recover(readHistory(store, ref, options), isDamage, ({ message }) => ({
    problem: `Its verifications can't be read: ${message}`,
  }));
}

async function readHistory(store: Store, ref: BackupId, options: Cancellable): Promise<History> {
  let newest: VerifyReport | undefined;
  const verdicts = new Verdicts();
  let drill: VerifyReport | undefined;
  let searched = 0;
  for await (const report of readReports(store, ref, options)) {
    newest ??= report;
    verdicts.add(report);
    if (report.level === 'restore') drill ??= report;
    searched += 1;
    // The search for the newest OK or FAILED has no limit, since retention depends on it.
    if (verdicts.isAny && searched >= REPORTS_SEARCHED) break;
    if (verdicts.areSettled && drill !== undefined) break;
  }
  const { good, bad } = verdicts;
  return {
    ...(newest === undefined
      ? {}
      : { verified: { level: newest.level, verdict: newest.verdict, at: newest.finishedAt } }),
    ...(bad === undefined
      ? good && { lastGood: { level: good.level, at: good.finishedAt } }
      : { lastBad: { level: bad.level, at: bad.finishedAt } }),
    ...(drill === undefined ? {} : { drill: drillOf(drill) }),
  };
}

/** Levels by what their OK refutes. */
const STRENGTH: Readonly<Record<VerifyLevel, number>> = { exists: 1, checksums: 2, content: 3, restore: 4 };

/** What the verifications of a backup say together. Takes them from the newest on. */
class Verdicts {
  /** The newest that found the backup good. */
  good: VerifyReport | undefined;
  /** The newest that found damage that no later one refutes. */
  bad: VerifyReport | undefined;
  #refuted = 0;

  add(report: VerifyReport): void {
    const { verdict, level } = report;
    if (this.bad !== undefined || verdict === 'INCONCLUSIVE') return;
    if (verdict === 'OK') {
      this.good ??= report;
      this.#refuted = Math.max(this.#refuted, STRENGTH[level]);
      return;
    }
    // A restore may have failed for another reason than damage: any later OK refutes it.
    if (this.#refuted < STRENGTH[level === 'restore' ? 'exists' : level]) this.bad = report;
  }

  get isAny(): boolean {
    return this.good !== undefined || this.bad !== undefined;
  }

  /** True: older verifications change nothing. */
  get areSettled(): boolean {
    return this.bad !== undefined || this.#refuted >= STRENGTH.content;
  }
}

function drillOf({
  verdict,
  startedAt,
  finishedAt,
  drill,
}: VerifyReport): NonNullable<CatalogueEntry['drill']> {
  // A verification of level `restore` doesn't measure its restore, so the time of the whole verification is used.
  const restoreMs = drill === undefined ? Date.parse(finishedAt) - Date.parse(startedAt) : drill.restoreMs;
  return { verdict, at: finishedAt, ...defined({ restoreMs }) };
}

function entryOf(manifest: Manifest): CatalogueEntry {
  const { bytes, storedBytes } = manifest.totals;
  const { rows } = rowsOf(manifest);
  return {
    backup: manifest.backup,
    instant: instantOf(manifest),
    completedAt: manifest.completedAt,
    rows,
    bytes,
    storedBytes,
    ...defined({ newBytes: manifest.newBytes }),
    durationMs: Date.parse(manifest.completedAt) - Date.parse(manifest.startedAt),
    contents: manifest.contents,
    ...(isSafetyBackup(manifest.backup) ? { kind: 'safety' } : {}),
    ...(unreadIn(manifest).length > 0 ? { isIncomplete: true } : {}),
    ...defined({ history: windowOf(manifest) }),
  };
}

/** Most characters of JSON that a catalogue may have in a workflow's history. */
const HISTORY_CHARACTERS = 240_000;
const HISTORY_ENTRIES = 1_000;

/** Cuts a catalogue to what may go into history: the newest backups. `total` says how many there are. */
export function forHistory(catalogue: Catalogue): Catalogue {
  let left = HISTORY_CHARACTERS;
  const entries = catalogue.entries.slice(0, HISTORY_ENTRIES).filter((entry) => {
    left -= JSON.stringify(entry).length + 1;
    return left >= 0;
  });
  return { ...catalogue, entries };
}
