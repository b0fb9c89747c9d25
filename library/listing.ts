import type { VerifyReport } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import { recover } from '../model/errors.ts';
import { instantOf, type Manifest } from '../model/manifest.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { type KnownRows, rowsOf } from '../model/rows.ts';
import { memberNamed } from '../planning/discovery.ts';
import { listBackups, listPlans, type UnusableBackup } from '../repository/backups/list-backups.ts';
import { newestReport } from '../repository/ledger.ts';
import { findRepository } from '../repository/repository.ts';
import { deletionText, readDeletions } from '../repository/retention/deletions.ts';
import { holdText, isInForce, readHolds } from '../repository/retention/holds.ts';
import { readMarks } from '../repository/retention/marks.ts';
import type { Store } from '../repository/store.ts';
import { isDamage } from '../repository/store-errors.ts';
import type { Access } from './access.ts';
import { withStore } from './backups.ts';

/** A backup in a list. Field names are those of `list --json`, times ISO 8601 in UTC. */
export type ListedBackup = Omit<Manifest['totals'], 'rows'> &
  KnownRows & {
    readonly backup: string;
    /** The instant whose data it holds. */
    readonly instant: string;
    readonly completedAt: string;
    /** Stored bytes of rows that the repository lacked before; absent where it shares none, so that all is new. */
    readonly newBytes?: number;
    /** What the newest verification found. */
    readonly verified?: (Pick<VerifyReport, 'level' | 'verdict'> & { readonly at: string }) | undefined;
    /** Present where retention is about to delete the backup. */
    readonly marked?: { readonly at: string; readonly deleteAfter: string } | undefined;
    /** Who holds it and why, one clause. */
    readonly held?: string;
    /** Who asked for its deletion and how many have approved, one clause. */
    readonly deletion?: string;
  };

/** The backups of a plan, and the folders that hold no usable backup. */
export interface PlanListing {
  readonly plan: string;
  /** Name of the plan that found it, where no file has it. */
  readonly discoveredBy?: string;
  /** Newest first. */
  readonly backups: readonly ListedBackup[];
  readonly unusable: readonly UnusableBackup[];
}

/** A plan's backups, each with its newest verdict, and what else lies where a backup would. */
export function listPlan(access: Access, plan: CompiledPlan): Promise<PlanListing> {
  return withStore(access, plan.pipeline.repository, async (store) => {
    await tellOfDocument(access, store);
    const { backups, unusable } = await listBackups(store, plan.name);
    const marks = await readMarks(store, plan.name);
    const holds = (await readHolds(store, { plan: plan.name })).filter(isInForce);
    const { deletion: spec } = plan.pipeline.repository;
    const asked = spec === undefined ? [] : await readDeletions(store, spec, plan.name);
    const deletions = new Map(asked.map((deletion) => [deletion.backup, deletionText(deletion)]));
    const verified = await Promise.all(
      backups.map((manifest) => newestVerification(access, store, manifest)),
    );
    return {
      plan: plan.name,
      ...(plan.discovered === undefined ? {} : { discoveredBy: plan.discovered.by }),
      backups: backups.map((manifest, index) => {
        const report = verified[index];
        const mark = marks.get(manifest.backup);
        const held = holds.filter(({ backup }) => backup === manifest.backup).map(holdText);
        const deletion = deletions.get(manifest.backup);
        return {
          backup: manifest.backup,
          instant: instantOf(manifest),
          completedAt: manifest.completedAt,
          ...manifest.totals,
          ...rowsOf(manifest),
          ...defined({ newBytes: manifest.newBytes }),
          verified: report && { level: report.level, verdict: report.verdict, at: report.finishedAt },
          marked: mark && { at: mark.markedAt, deleteAfter: mark.deleteAfter },
          ...(held.length === 0 ? {} : { held: held.join('; ') }),
          ...(deletion === undefined ? {} : { deletion }),
        };
      }),
      unusable,
    };
  });
}

/** The plans that a plan with `discover` has found and that have backups in its repository, and itself where it has some, of the time before. */
export function discoveredPlans(access: Access, plan: CompiledPlan): Promise<readonly CompiledPlan[]> {
  return withStore(access, plan.pipeline.repository, async (store) => {
    const names = await Array.fromAsync(listPlans(store));
    return names.flatMap((name) => (name === plan.name ? plan : (memberNamed([plan], name) ?? [])));
  });
}

/** The newest verification of a backup. Where its record is damaged, tells so and returns undefined: a record about a backup must not hide the backup. */
async function newestVerification(
  access: Access,
  store: Store,
  manifest: Manifest,
): Promise<VerifyReport | undefined> {
  return await recover(newestReport(store, manifest), isDamage, ({ message }) => {
    access.tell?.(`warning: the verifications of ${manifest.backup} can’t be read: ${message}`);
    return undefined;
  });
}

/** Tells of a damaged `repository.json`. A clear repository can be read without it, but no backup can be made. */
async function tellOfDocument(access: Access, store: Store): Promise<void> {
  await recover(findRepository(store), isDamage, ({ message }) => {
    access.tell?.(`warning: ${message} Mend it: holdfast repository repair PLAN.`);
  });
}
