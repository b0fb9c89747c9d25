import { setTimeout as sleep } from 'node:timers/promises';
import { WorkflowFailedError } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { startBackup, startRestore } from '../../library/runs.ts';
import type { BackupSummary, RestoreSummary } from '../../model/backup.ts';
import { messageOf } from '../../model/errors.ts';
import type { Manifest } from '../../model/manifest.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import type { BackupOutcome } from '../../workflows/messages.ts';
import { differences, type Progress, type Writers } from './bank.ts';
import type { Dice } from './dice.ts';
import type { Fault, Scene } from './faults.ts';
import { dataSent, inspectComplete, leftOfFailed, leftRunning, schemaDifferences } from './leftovers.ts';
import { DATABASE, PARALLELISM, type Stage } from './stage.ts';

/** What a fault did, and what came of it. */
export interface TrialReport {
  readonly fault: string;
  /** What was struck, with its moment in seconds from the start of the operation. */
  readonly strikes: readonly string[];
  /** Empty when the fault was survived. */
  readonly problems: readonly string[];
  readonly outcome: string;
  /** How long they took, where both completed. */
  readonly completed?: Expectation;
}

/** How long the operations take when nothing happens. */
export interface Expectation {
  readonly backupMs: number;
  readonly restoreMs: number;
  /** What the database sends of a backup beside the rows: catalogues, schema, what cutting the tables costs. */
  readonly besideRowsBytes: number;
}

export interface TrialSetting {
  readonly stage: Stage;
  readonly writers: Writers;
  readonly dice: Dice;
  readonly expected: Expectation;
  say(line: string): void;
}

type Ending<T> =
  | { readonly kind: 'completed'; readonly result: T; readonly tookMs: number }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string; readonly tookMs: number }
  | { readonly kind: 'stuck'; readonly tookMs: number };

/** No run of a small bank may take longer, whatever happens to it. */
const STUCK_AFTER_MS = 6 * 60_000;

/** Backs up under a fault, restores under it what was backed up, and looks at everything that is left. */
export class Trial {
  readonly #setting: TrialSetting;
  readonly #fault: Fault;
  readonly #strikes: string[] = [];
  readonly #problems: string[] = [];
  /** Ids of the workflows that are being followed. */
  readonly #running = new Set<string>();
  #completed: Expectation | undefined;

  constructor(setting: TrialSetting, fault: Fault) {
    this.#setting = setting;
    this.#fault = fault;
  }

  async run(): Promise<TrialReport> {
    const { stage } = this.#setting;
    const databases = await databasesOf(stage);
    const options = await this.#fault.plan?.(stage);
    let outcome = 'broke';
    try {
      const plan = stage.plan(options);
      outcome = await this.#backUpAndRestore(plan);
      await stage.heal();
    } catch (error) {
      this.#problems.push(`the trial broke: ${messageOf(error)}`);
      await stage.heal();
    } finally {
      await this.#fault.cleanUp?.(stage);
    }
    this.#problems.push(...(await leftRunning(stage, databases)));
    this.#problems.push(...stage.workers.takeOwnExits());
    return {
      fault: this.#fault.name,
      strikes: this.#strikes,
      problems: this.#problems,
      outcome,
      ...(this.#completed === undefined ? {} : { completed: this.#completed }),
    };
  }

  async #backUpAndRestore(plan: CompiledPlan): Promise<string> {
    const { stage, writers, expected } = this.#setting;
    stage.gate.resetCount();
    stage.relay.reset();
    const before = writers.committed();
    const starts = this.#fault.twice ? 2 : 1;
    const runs = await this.#under('backup', this.#fault.backup, expected.backupMs, () =>
      Promise.all(
        Array.from({ length: starts }, () =>
          this.#follow<BackupOutcome>(() => startBackup(this.#session(), plan)),
        ),
      ),
    );
    const after = writers.committed();
    const readBytes = stage.relay.received();
    let outcome = 'nothing';
    for (const { id, ending } of runs) {
      if (ending.kind !== 'completed') {
        outcome = await this.#judgeFailure(plan, id, ending);
        continue;
      }
      if (this.#fault.fails !== undefined && this.#fault.fromStart) {
        this.#problems.push('the backup completed all the same');
      }
      outcome = `complete in ${seconds(ending.tookMs)}, epoch ${ending.result.epochs}`;
      await stage.heal();
      const { problems, manifest } = await inspectComplete(stage, plan, id);
      this.#problems.push(...problems);
      if (manifest === undefined) continue;
      outcome += this.#judgeResent(manifest);
      const besideRowsBytes = Math.max(0, readBytes - rowBytes(manifest));
      if (starts === 1) outcome += this.#judgeReread(manifest, besideRowsBytes);
      const restored = await this.#restore(plan, ending.result.summary, { before, after });
      if (restored.tookMs !== undefined) {
        this.#completed = { backupMs: ending.tookMs, restoreMs: restored.tookMs, besideRowsBytes };
      }
      outcome += `, ${restored.outcome}`;
    }
    return outcome;
  }

  async #judgeFailure(
    plan: CompiledPlan,
    backup: string,
    ending: Exclude<Ending<unknown>, { kind: 'completed' }>,
  ): Promise<string> {
    const { stage } = this.#setting;
    if (ending.kind === 'stuck') {
      this.#problems.push(`the backup was not over after ${seconds(ending.tookMs)}`);
      return 'stuck';
    }
    const said = `${ending.code}: ${ending.message}`;
    if (this.#fault.fails === undefined) this.#problems.push(`the backup failed: ${said}`);
    else if (!this.#fault.fails.test(ending.code))
      this.#problems.push(`it failed with another error: ${said}`);
    if (!this.#fault.repositoryGone) this.#problems.push(...(await leftOfFailed(stage, plan, backup)));
    return `failed in ${seconds(ending.tookMs)} with ${said}`;
  }

  /**
   * At most a chunk for each slot and kill is sent again; on PostgreSQL an epoch is sent again as a whole when its holder died, and not counted here.
   * Returns what to tell of it.
   */
  #judgeResent({ backup, readPoint, totals }: Manifest): string {
    const { stage } = this.#setting;
    const { sent, largestObject } = dataSent(stage.gate.received(), backup, readPoint.epoch);
    if (sent === 0) return '';
    const resent = sent - totals.storedBytes;
    const allowed = this.#strikes.length * PARALLELISM * largestObject;
    if (resent > allowed && !this.#fault.breaksTransfers) {
      this.#problems.push(`${resent} bytes were sent again; ${allowed} would be a chunk a slot and strike`);
    }
    return `, ${(Math.max(0, resent) / 1e6).toFixed(1)} of ${(sent / 1e6).toFixed(1)} MB sent again`;
  }

  /**
   * At most a chunk for each slot and strike is read again, where an instant can be named again; a repeated export looks at the catalogues again. A chunk
   * may be larger than asked for, since rows differ.
   */
  #judgeReread({ readPoint }: Manifest, besideRowsBytes: number): string {
    const { stage, expected } = this.#setting;
    if (readPoint.kind !== 'yb-read-time' || readPoint.epoch > 1 || this.#fault.breaksTransfers) return '';
    if (!Number.isFinite(expected.besideRowsBytes)) return '';
    const reread = besideRowsBytes - expected.besideRowsBytes;
    const perStrike = PARALLELISM * 1.25 * stage.chunkBytes + expected.besideRowsBytes;
    const allowed = this.#strikes.length * perStrike + SLACK_BYTES;
    if (reread > allowed) {
      this.#problems.push(`${reread} bytes were read again; ${allowed} would be a chunk a slot and strike`);
    }
    return `, ${(Math.max(0, reread) / 1e6).toFixed(1)} MB read again`;
  }

  async #restore(
    plan: CompiledPlan,
    summary: BackupSummary,
    between: { readonly before: Progress; readonly after: Progress },
  ): Promise<{ readonly outcome: string; readonly tookMs?: number }> {
    const { stage, expected } = this.#setting;
    const { id, ending } = await this.#under('restore', this.#fault.restore, expected.restoreMs, () =>
      this.#follow<RestoreSummary>(() =>
        startRestore(this.#session(), plan, { backup: summary.backup, parallelism: PARALLELISM }),
      ),
    );
    await stage.heal();
    if (ending.kind !== 'completed') {
      const said = ending.kind === 'stuck' ? 'is not over' : `failed with ${ending.code}: ${ending.message}`;
      const expectedEnd = ending.kind === 'failed' && this.#fault.restoreFails?.test(ending.code);
      if (!expectedEnd) this.#problems.push(`restore ${id} ${said} (${seconds(ending.tookMs)})`);
      return { outcome: `the restore ${said}` };
    }
    const [{ to } = { to: '' }] = ending.result.databases;
    this.#problems.push(...ending.result.problems);
    this.#problems.push(...(await differences(stage.sourceUrl, stage.postgres.url(to), between)));
    this.#problems.push(...(await schemaDifferences(stage, DATABASE, to)));
    // PostgreSQL 11 has no DROP DATABASE … WITH (FORCE).
    await stage.admin(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${to}'`);
    await stage.admin(`DROP DATABASE "${to}"`);
    return { outcome: `restored in ${seconds(ending.tookMs)}`, tookMs: ending.tookMs };
  }

  #session() {
    const { client, target } = this.#setting.stage.client;
    return { client, taskQueue: target.taskQueue, end: async () => undefined };
  }

  /** Runs an operation while `inject` strikes. */
  async #under<T>(
    operation: string,
    inject: ((scene: Scene) => Promise<void>) | undefined,
    expectedMs: number,
    work: () => Promise<T>,
  ): Promise<T> {
    const { stage, dice, say } = this.#setting;
    const ended = new AbortController();
    const startedAt = Date.now();
    const strikes = this.#strikes;
    const running = this.#running;
    const workflows = stage.client.client.workflow;
    let struckBefore = false;
    const scene: Scene = {
      stage,
      dice,
      async cancel() {
        await Promise.all([...running].map((workflowId) => workflows.getHandle(workflowId).cancel()));
      },
      async moment() {
        // A dead worker's activities go on after their heartbeat timeout, so a second strike may wait for that.
        const rest = struckBefore && dice.chance(0.6) ? HEARTBEAT_TIMEOUT_MS : 0;
        await sleep(rest + dice.between(0, 0.9 * expectedMs), undefined, { signal: ended.signal }).catch(
          () => undefined,
        );
        return !ended.signal.aborted;
      },
      struck(what) {
        struckBefore = true;
        const line = `${operation} +${seconds(Date.now() - startedAt)}: ${what}`;
        strikes.push(line);
        say(`    ${line}`);
      },
    };
    if (this.#fault.fromStart) await inject?.(scene);
    const striking = this.#fault.fromStart ? Promise.resolve() : inject?.(scene);
    try {
      return await work();
    } finally {
      ended.abort();
      await striking;
    }
  }

  async #follow<T>(
    start: () => Promise<{ readonly id: string; readonly workflowId: string }>,
  ): Promise<{ readonly id: string; readonly ending: Ending<T> }> {
    const startedAt = Date.now();
    const { id, workflowId } = await start();
    this.#running.add(workflowId);
    try {
      return { id, ending: await this.#end<T>(workflowId, startedAt) };
    } finally {
      this.#running.delete(workflowId);
    }
  }

  async #end<T>(workflowId: string, startedAt: number): Promise<Ending<T>> {
    const stuckAfterMs = STUCK_AFTER_MS * this.#setting.stage.patience;
    const handle = this.#setting.stage.client.client.workflow.getHandle(workflowId);
    for (;;) {
      const tookMs = Date.now() - startedAt;
      if (tookMs > stuckAfterMs) {
        await handle.terminate('the trial takes too long');
        return { kind: 'stuck', tookMs };
      }
      try {
        const result = (await within(stuckAfterMs - tookMs, handle.result())) as T;
        return { kind: 'completed', result, tookMs: Date.now() - startedAt };
      } catch (error) {
        if (error instanceof WorkflowFailedError) {
          const cause = error.cause;
          const code = cause instanceof ApplicationFailure ? (cause.type ?? '') : 'CANCELLED';
          return { kind: 'failed', code, message: messageOf(cause), tookMs: Date.now() - startedAt };
        }
        // Temporal is down for a moment, or the time is up.
        await sleep(200);
      }
    }
  }
}

/** Catalogues are read with what writers do at the time. */
const SLACK_BYTES = 200_000;
const COPY_DATA_HEADER_BYTES = 5;

/** What the rows of a backup are on the wire. */
function rowBytes({ totals }: Manifest): number {
  return totals.bytes + totals.rows * COPY_DATA_HEADER_BYTES;
}

/** As in workflows/activity-proxies.ts. */
const HEARTBEAT_TIMEOUT_MS = 15_000;

async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
  const done = new AbortController();
  const limit = sleep(limitMs, undefined, { signal: done.signal }).then(() => {
    throw new Error('the time is up');
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    limit.catch(() => undefined);
    done.abort();
  }
}

async function databasesOf(stage: Stage): Promise<readonly string[]> {
  const rows = await stage.admin<{ datname: string }>('SELECT datname FROM pg_database ORDER BY 1');
  return rows.map(({ datname }) => datname);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
