import { activityInfo } from '@temporalio/activity';
import type { VerbContext } from '../engines/engine.ts';
import { defined } from '../model/defined.ts';
import { recover } from '../model/errors.ts';
import { type DeleteSummary, MAX_PRUNE_NAMES, type OrphanSummary, type PruneInput } from '../model/prune.ts';
import { archiveLimit } from '../planning/archive/retention.ts';
import { dropOldSegments } from '../repository/archive/retention.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { type LeaseHolder, releaseLease, takeLease } from '../repository/lease.ts';
import { sweepNotes } from '../repository/notes.ts';
import { type SweepObjectsOptions, sweepObjects } from '../repository/objects/sweep-objects.ts';
import { type DeleteOutcome, deleteBackup, forgetIfGone } from '../repository/retention/delete-backup.ts';
import { type Mark, putMark, removeMark } from '../repository/retention/marks.ts';
import type { Pin } from '../repository/retention/pins.ts';
import { removePin } from '../repository/retention/pins.ts';
import { DEFAULT_GRACE_MS as ORPHAN_GRACE_MS, removeOrphans } from '../repository/retention/sweep.ts';
import { isDistrusted } from '../repository/signing/errors.ts';
import type { Store } from '../repository/store.ts';
import { isDamage } from '../repository/store-errors.ts';
import type { Activities } from './contract.ts';
import { approvedDeletions, deleteApproved } from './delete-approved.ts';
import type { Pins } from './pins.ts';
import { judge } from './prune.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** The lease is renewed at most this often: well before it ends, but not for every backup. */
const RENEW_LEASE_MS = 60_000;

interface Pruning extends VerbContext {
  readonly store: Store;
  /** Renews the lease. Throws `PRUNE_RUNNING` if another run holds it by now: then nothing more may be deleted. */
  readonly holdLease: () => Promise<void>;
  readonly now: Date;
}

/**
 * The two phases of retention, and the sweep. Each holds the plan's lease, and decides from what storage holds when it begins.
 */
export function pruneActivities(
  repositories: Repositories,
  pins: Pins,
): Pick<Activities, 'markBackups' | 'deleteBackups' | 'sweepOrphans' | 'endPrune'> {
  const inPrune = <T>(input: PruneInput, body: (pruning: Pruning) => Promise<T>): Promise<T> =>
    asActivity(async (verb) => {
      const store = await repositories.open(input.repository);
      let heldMs = 0;
      const holdLease = async () => {
        if (Date.now() - heldMs < RENEW_LEASE_MS) return;
        await takeLease(store, input.plan, leaseHolder(), { signal: verb.signal });
        heldMs = Date.now();
      };
      await holdLease();
      return body({ ...verb, store, holdLease, now: new Date() });
    });
  const isLive = (pin: Pin) => pins.isLive(pin);

  return {
    markBackups: (input) =>
      inPrune(input, async ({ store, signal, now, holdLease }) => {
        const judgement = await judge(store, input, { now, isLive, signal });
        const { heldBack, toMark, toUnmark, verdicts, waiting, due, deadPins } = judgement;
        for (const pin of deadPins) await removePin(store, pin, { signal });
        const there = new Set(verdicts.map(({ backup }) => backup));
        for (const mark of toUnmark) {
          await holdLease();
          if (there.has(mark.backup)) await removeMark(store, mark, { signal });
          else await forgetIfGone(store, mark, { signal });
        }
        for (const mark of toMark) {
          await holdLease();
          await putMark(store, mark, { signal });
        }
        const next = waiting[0]?.deleteAfter;
        const approved = await approvedDeletions(store, input, verdicts, signal);
        const goes = new Set(approved.map(({ backup }) => backup));
        const unapproved = [...heldBack].filter((backup) => !goes.has(backup)).length;
        return {
          backups: verdicts.length,
          kept: verdicts.filter(({ keep }) => keep).length,
          marked: namesOf(toMark),
          unmarked: namesOf(toUnmark.filter(({ backup }) => there.has(backup))),
          waiting: waiting.length,
          ...defined({
            nextDeletion: next,
            heldBack: unapproved === 0 ? undefined : unapproved,
          }),
          due: due.length + approved.length,
        };
      }),

    deleteBackups: (input) =>
      inPrune(input, async ({ store, signal, heartbeat, now, holdLease }) => {
        const { due, verdicts } = await judge(store, input, { now, isLive, signal });
        // An earlier attempt's deletions belong in the summary too, though the catalogue no longer has those backups.
        const before = activityInfo().heartbeatDetails as DeleteSummary | undefined;
        let summary: DeleteSummary =
          before?.deleted === undefined
            ? { deleted: [], deletedBackups: 0, deletedObjects: 0, deletedBytes: 0, inUse: [] }
            : before;
        for (const mark of due) {
          await holdLease();
          const reason = `no rule of the plan's retention kept it, and it was marked at ${mark.markedAt}`;
          const ended = await deleteBackup(store, mark, { reason, isLive, signal, heartbeat });
          summary = deletedAlso(summary, mark.backup, ended);
          heartbeat(summary);
        }
        for (const { backup, ended } of await deleteApproved(
          { store, signal, heartbeat, holdLease, now },
          input,
          { verdicts, isLive },
        )) {
          summary = deletedAlso(summary, backup, ended);
          heartbeat(summary);
        }
        return summary;
      }),

    sweepOrphans: (input) =>
      inPrune(input, async ({ store, signal, heartbeat }) => {
        const graceMs = input.orphanGraceMs ?? ORPHAN_GRACE_MS;
        const beat = () => heartbeat();
        const { orphans, ...removed } = await removeOrphans(store, input.plan, graceMs, {
          signal,
          heartbeat: beat,
        });
        await sweepNotes(store, input.plan, { signal });
        const archive = await pruneArchive(store, input, { signal, heartbeat: beat });
        return {
          ...removed,
          ...defined({ archive }),
          ...(await sweepShared(store, { graceMs, heartbeat: beat, signal })),
          orphans: orphans
            .slice(0, MAX_PRUNE_NAMES)
            .map(({ backup, kind, objects, bytes }) => ({ backup, kind, objects, bytes })),
        };
      }),

    endPrune: (input) =>
      asActivity(async ({ signal }) => {
        const store = await repositories.open(input.repository);
        await releaseLease(store, input.plan, leaseHolder(), { signal });
      }),
  };
}

function deletedAlso(summary: DeleteSummary, backup: string, ended: DeleteOutcome): DeleteSummary {
  if (ended.outcome === 'inUse') {
    return { ...summary, inUse: [...summary.inUse, backup].slice(0, MAX_PRUNE_NAMES) };
  }
  return {
    ...summary,
    deleted: [...summary.deleted, backup].slice(0, MAX_PRUNE_NAMES),
    deletedBackups: summary.deletedBackups + 1,
    deletedObjects: summary.deletedObjects + ended.deletedObjects,
    deletedBytes: summary.deletedBytes + ended.deletedBytes,
  };
}

/** Drops the oldest segments of the plan's archive. A backup that can't be judged keeps all segments that it might need. */
async function pruneArchive(
  store: Store,
  { plan, repository, archiveRetentionMs }: PruneInput,
  options: { readonly signal: AbortSignal; readonly heartbeat: () => void },
): Promise<OrphanSummary['archive']> {
  if (archiveRetentionMs === undefined) return undefined;
  const { entries } = await readCatalogue(store, repository, plan, options);
  const limitMs = archiveLimit(entries, Date.now() - archiveRetentionMs);
  return dropOldSegments(store, plan, limitMs, options);
}

/** Sweeps shared objects. M5: if the manifest of any plan can't be read, this deletes nothing more. */
async function sweepShared(
  store: Store,
  options: SweepObjectsOptions,
): Promise<Pick<OrphanSummary, 'shared' | 'sharedProblem'>> {
  return await recover(
    sweepObjects(store, options).then((shared) => ({ shared })),
    (error) => error.code === 'FORMAT_TOO_NEW' || isDamage(error) || isDistrusted(error),
    ({ message }) => ({ sharedProblem: message }),
  );
}

/** The run is the holder, so its activities share the lease. A later attempt takes over from one that was presumed dead. */
function leaseHolder(): LeaseHolder {
  const { workflowExecution, currentAttemptScheduledTimestampMs } = activityInfo();
  const { workflowId = '', runId = '' } = workflowExecution ?? {};
  return { name: `${workflowId} ${runId}`.trim(), sinceMs: currentAttemptScheduledTimestampMs };
}

function namesOf(marks: readonly Mark[]): readonly string[] {
  return marks.slice(0, MAX_PRUNE_NAMES).map(({ backup }) => backup);
}
