import {
  ApplicationFailure,
  CancellationScope,
  condition,
  isCancellation,
  patched,
  setHandler,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { formatAmount, formatBytes, formatCount } from '../model/amounts.ts';
import type { FillPlan, RestoreRequest, RestoreSummary, UniverseRestorePlan } from '../model/backup.ts';
import { unreadiness } from '../model/node-readiness.ts';
import type { UniverseSource } from '../model/pipeline.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { Board } from './board.ts';
import { runChild } from './children.ts';
import { describeFailure, ignoreCancellation } from './failures.ts';
import { tasksPerReport, universeQuiet } from './messages.ts';
import { nodeActivitiesOf } from './node-activities.ts';
import type { RestoreStage } from './progress.ts';
import { Reporter } from './reporter.ts';
import { saveWhatIsThere } from './safety-backup.ts';
import { inLanes } from './scopes.ts';
import { tabletFill } from './tablet-fill.ts';
import { shareOf } from './tablets.ts';
import { Turn } from './turn.ts';

const DAY_MS = 24 * 3_600_000;
const CLEAN_UP_MS = 10 * 60_000;
const STAGES: readonly RestoreStage[] = ['plan', 'turn', 'prepare', 'load', 'restoration', 'finish'];
const OVERWRITING_STAGES: readonly RestoreStage[] = ['plan', 'turn', 'safety', ...STAGES.slice(2)];
const NODES_AT_ONCE = 50;
const SHARDS_AT_ONCE = 4;
/** Most rounds of asking the universe where replicas are and putting files there. */
const ROUNDS = 20;
const AGENT_RETURNS_MS = 60_000;
/** Stands for what only one restore of a universe may touch at a time. No database can have this name. */
const BALANCER = 'holdfast:load balancer';

/**
 * Restores a backup of a universe: plan (everything that can be refused is refused here), turn (one restore of a universe at a
 * time, since it switches the load balancer off), prepare (roles, schemas, snapshots imported), load (files onto every
 * replica), restoration (every replica is checked once more, then `restore_snapshot`), finish (sequences, comparison, exchange of
 * names with what is replaced). A restore that replaces is also alone at its databases, and backs up first what is there. However
 * it ends, the load balancer is put back as it was.
 */
export async function restoreUniverse(
  request: RestoreRequest,
  source: UniverseSource,
  safetyBackup: RestoreRequest['safetyBackup'],
): Promise<RestoreSummary> {
  return new UniverseRestore(request, source, safetyBackup).run();
}

class UniverseRestore {
  private readonly request: RestoreRequest;
  private readonly source: UniverseSource;
  private readonly safetyBackup: RestoreRequest['safetyBackup'];
  private readonly board: Board;
  private readonly turn: Turn;
  private readonly quietScope = new CancellationScope();
  private quieting: Promise<void> = Promise.resolve();
  private isQuiet = false;
  private quietFailure: { readonly error: unknown } | undefined;
  private readonly report: Reporter | undefined;

  constructor(request: RestoreRequest, source: UniverseSource, safetyBackup: RestoreRequest['safetyBackup']) {
    this.request = request;
    this.source = source;
    this.safetyBackup = safetyBackup;
    const title = `Restore ${request.restore} of ${request.from.backup}`;
    this.board = new Board(
      title,
      (request.replace ? OVERWRITING_STAGES : STAGES).map((stage) => ({ id: stage, verb: stage })),
    );
    const run = { kind: 'restore', id: request.restore, overwrites: request.replace } as const;
    this.report = request.scratch ? undefined : new Reporter(request.from.plan, run);
    this.board.onMilestone = (headline) => this.report?.running(headline);
    this.turn = new Turn({
      source: request.replace
        ? { ...source, databases: [...source.databases, BALANCER] }
        : { ...source, databases: [BALANCER], keyspaces: [] },
      mode: 'alone',
      title: `${request.replace ? 'overwriting ' : ''}restore ${request.restore} of ${request.from.plan} from ${request.from.backup}`,
      onWait: (gate) =>
        this.board.note('turn', {
          note: `waits for ${request.replace ? 'backups and restores of the same databases, and for ' : ''}another restore of the universe (${gate})`,
        }),
    });
    setHandler(
      universeQuiet,
      () => {
        this.isQuiet = true;
      },
      { description: 'Sent by the activity that keeps the universe quiet: the load balancer is off' },
    );
  }

  async run(): Promise<RestoreSummary> {
    const { request } = this;
    try {
      const plan = await this.stage('plan', () => this.plan());
      await this.stage('turn', () => this.turn.take());
      if (request.replace) {
        await this.stage('safety', () => saveWhatIsThere(this.safetyBackup, this.board));
      }
      await this.stage('prepare', () => this.prepare());
      const round = await this.stage('load', () => this.load(plan));
      await this.stage('restoration', () => this.restoreSnapshots(round));
      const summary = await this.stage('finish', () => this.finish());
      if (summary.verdict === 'FAILED' && !request.scratch) throw differs(summary);
      const headline = headlineOf(summary);
      this.board.conclude(summary.verdict === 'OK' ? 'done' : 'failed', headline);
      const { bytes, rows, verdict } = summary;
      await this.report?.ended({ state: 'done', headline, result: { bytes, rows, verdict } });
      return request.replace && this.safetyBackup !== undefined
        ? { ...summary, safetyBackup: this.safetyBackup.backup }
        : summary;
    } catch (error) {
      const failure = describeFailure(error);
      const left = await CancellationScope.nonCancellable(() => this.discard());
      if (isCancellation(error)) {
        const headline = `Restore ${request.restore} was cancelled. ${left}`;
        this.board.conclude('cancelled', headline);
        await this.report?.ended({ state: 'cancelled', headline });
        throw error;
      }
      const headline = `Restore ${request.restore} FAILED: ${failure.message} ${left}`;
      this.board.conclude('failed', headline);
      await this.report?.ended({ state: 'failed', headline });
      throw ApplicationFailure.create({
        type: failure.code,
        message: failure.message,
        nonRetryable: true,
        ...(error instanceof Error ? { cause: error } : {}),
      });
    } finally {
      await CancellationScope.nonCancellable(() => this.turn.end());
    }
  }

  private async plan(): Promise<UniverseRestorePlan> {
    const { request } = this;
    let plan = await this.call('check universe, target and backup').planUniverseRestore({ request });
    const { problems, moved } = await this.inspectNodes(plan);
    if (moved && patched('agents prove whose they are')) {
      // A replica may have moved between the map and the check. One that is missing twice isn't there.
      plan = await this.call('check universe, target and backup again').planUniverseRestore({ request });
      requireReady((await this.inspectNodes(plan)).problems);
    } else requireReady(problems);
    const names = plan.databases.map(({ from, to }) => `${from} → ${to}`).join(', ');
    this.board.note('plan', {
      note: `${names}: ${formatCount(plan.tablets)} tablets, ${formatBytes(plan.bytes)}, onto ${plan.nodes.length} nodes`,
    });
    return plan;
  }

  /** Every node must have its own agent, with the right to write and enough space. `moved`: tablets are not where the map has them. */
  private async inspectNodes({
    nodes,
    bytesPerNode,
    inspections = {},
  }: UniverseRestorePlan): Promise<{ readonly problems: readonly string[]; readonly moved: boolean }> {
    const problems: string[] = [];
    let moved = false;
    await inLanes(nodes.length, NODES_AT_ONCE, async (index) => {
      const node = nodes[index] ?? '';
      try {
        const inspection = inspections[node] ?? {};
        const report = await this.agent(node, `look at the node of ${node}`).inspectNode(inspection);
        problems.push(...unreadiness(node, report, inspection, bytesPerNode));
        moved ||= report.missing !== undefined;
      } catch (error) {
        if (isCancellation(error)) throw error;
        const { code, message } = describeFailure(error);
        problems.push(code === 'TIMED_OUT' ? `${node} has no agent that answers` : `${node}: ${message}`);
      }
    });
    return { problems, moved };
  }

  private async prepare(): Promise<void> {
    await this.becomeQuiet();
    await this.call('roles, schemas, import').prepareUniverse({ request: this.request });
  }

  /** Puts files where they belong, until the universe's map of replicas is the same before and after. Returns the last round. */
  private async load(plan: UniverseRestorePlan): Promise<number> {
    const { request } = this;
    let before: FillPlan | undefined;
    for (let round = 0; round < ROUNDS; round += 1) {
      const fills = await this.call(`where the files belong, look ${round + 1}`).placeFills({
        request,
        round,
      });
      if (before?.fingerprint === fills.fingerprint && (await this.isFilled(fills, round))) return round;
      before = fills;
      this.board.beginTransfer('load', { tasks: fills.pairs, bytes: fills.bytes, unit: 'replicas' });
      await this.eachShard(fills, round, 'fill', plan.nodes.length);
    }
    throw ApplicationFailure.nonRetryable(
      `after ${ROUNDS} looks replicas still come and go. Find out what moves them (node failures, another tool), and start the restore again.`,
      'RESTORE_NOT_SETTLED',
    );
  }

  /**
   * A tablet server that is told to restore a snapshot whose folder it lacks dies, and dies again at every start (YugabyteDB issues
   * 4431, 26798). So right before, every pair of tablet and replica is checked, and then the map of replicas once more.
   */
  private async restoreSnapshots(lastRound: number): Promise<void> {
    const { request } = this;
    const again = this.call('look at every replica once more');
    const [checked, now] = [
      await again.placeFills({ request, round: lastRound + 1 }),
      await again.placeFills({ request, round: lastRound + 2 }),
    ];
    if (checked.fingerprint !== now.fingerprint || !(await this.isFilled(now, lastRound + 2))) {
      throw ApplicationFailure.nonRetryable(
        'replicas moved between the last look and the restoration, which was therefore not begun. Find out what moves them while the load balancer is off, and start the restore again.',
        'RESTORE_NOT_SETTLED',
      );
    }
    await this.call('restore_snapshot').restoreSnapshots({ request });
  }

  private async isFilled(fills: FillPlan, round: number): Promise<boolean> {
    return (await this.eachShard(fills, round, 'check', 1)) === 0;
  }

  /** @returns how many pairs of tablet and node are not filled. */
  private async eachShard(
    fills: FillPlan,
    round: number,
    what: 'fill' | 'check',
    nodes: number,
  ): Promise<number> {
    const { request, source } = this;
    const share = shareOf(source, nodes);
    let unfilled = 0;
    await inLanes(fills.shards, SHARDS_AT_ONCE, async (shard) => {
      unfilled += await runChild(() =>
        startChild(tabletFill, {
          workflowId: `${workflowInfo().workflowId}:${what}:${round}:${shard}`,
          staticSummary: `${what} shard ${shard + 1} of ${fills.shards}, look ${round + 1}`,
          args: [
            {
              what,
              request,
              source,
              round,
              shard,
              reportEvery: tasksPerReport(fills.pairs),
              ...(share === undefined ? {} : { bytesPerSecond: share }),
            },
          ],
        }),
      );
    });
    return unfilled;
  }

  private async finish(): Promise<RestoreSummary> {
    const { request } = this;
    const summary = await this.call('sequences, compare').finishUniverse({ request });
    await this.endQuiet();
    if (request.scratch) await this.call('drop what was rehearsed').discardUniverse({ request });
    await this.call('forget what the restore remembered').forgetRestore({ request });
    return summary;
  }

  /** Returns when the load balancer is off. An activity keeps it off, and puts it back whatever happens to this workflow. */
  private async becomeQuiet(): Promise<void> {
    const activities = this.call('keep replicas where they are');
    this.quieting = CancellationScope.nonCancellable(() =>
      this.quietScope
        .run(() => activities.keepUniverseQuiet({ request: this.request }))
        .catch((error: unknown) => {
          if (!isCancellation(error)) this.quietFailure = { error };
        }),
    );
    await condition(() => this.isQuiet || this.quietFailure !== undefined);
    if (this.quietFailure !== undefined) throw this.quietFailure.error;
  }

  /** Puts the load balancer back. Always runs at the end, also where the activity that keeps it off has died. */
  private async endQuiet(): Promise<void> {
    this.quietScope.cancel();
    await this.quieting.catch(ignoreCancellation);
    await this.cleanUp('put the load balancer back').endUniverseQuiet({ request: this.request });
  }

  private async discard(): Promise<string> {
    const left: string[] = [];
    try {
      await this.endQuiet();
    } catch (error) {
      left.push(
        `The load balancer could not be put back (${describeFailure(error).message}): yb-admin set_load_balancer_enabled 1.`,
      );
    }
    try {
      const { left: keyspaces, stands = [] } = await this.cleanUp(
        'drop what this restore created',
      ).discardUniverse({
        request: this.request,
      });
      left.push(...stands);
      left.push(
        stands.length > 0
          ? ''
          : keyspaces.length === 0
            ? 'What it had created was dropped.'
            : `What it had created was dropped but the keyspaces ${keyspaces.join(', ')}: drop them with ycqlsh.`,
      );
    } catch (error) {
      // The universe itself may have failed. The run's first error stands, and this one is reported beside it.
      left.push(`What it had created could not be dropped: ${describeFailure(error).message}`);
    }
    return left.filter((sentence) => sentence !== '').join(' ');
  }

  private async stage<T>(id: RestoreStage, work: () => Promise<T>): Promise<T> {
    this.board.start(id);
    try {
      const result = await work();
      this.board.end(id, 'done');
      return result;
    } catch (error) {
      this.board.end(id, isCancellation(error) ? 'cancelled' : 'failed', describeFailure(error).message);
      throw error;
    }
  }

  private call(summary: string) {
    return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: DAY_MS });
  }

  private cleanUp(summary: string) {
    return activitiesFor({
      summary,
      retry: { ...PATIENT_RETRY, maximumAttempts: 20 },
      timeoutMs: CLEAN_UP_MS,
    });
  }

  private agent(node: string, summary: string) {
    return nodeActivitiesOf({
      node,
      summary,
      retry: { ...PATIENT_RETRY, maximumAttempts: 3 },
      timeoutMs: DAY_MS,
      // No other node can do it, and an agent that was just killed may come back.
      agentMs: Math.max(this.source.patience.agentMs, AGENT_RETURNS_MS),
    });
  }
}

function requireReady(problems: readonly string[]): void {
  if (problems.length === 0) return;
  throw ApplicationFailure.nonRetryable(
    `${problems.slice(0, 10).join('; ')}. Every tablet server needs an agent of its own (holdfast worker --tserver HOST:PORT) that may write its data directories, and space.`,
    'RESTORE_NODES_NOT_READY',
  );
}

function differs(summary: RestoreSummary): ApplicationFailure {
  return ApplicationFailure.nonRetryable(
    `the restored data differs from the backup: ${summary.problems.slice(0, 5).join('; ')}`,
    'RESTORE_DIFFERS',
  );
}

function headlineOf(summary: RestoreSummary): string {
  const names = summary.databases.map(({ to }) => to).join(', ');
  return `Backup ${summary.backup} is restored into ${names}: ${formatBytes(summary.bytes)} in ${formatAmount(summary.tables, 'table')}; comparison with the backup: ${summary.verdict}`;
}
