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
import { defined } from '../model/defined.ts';
import { unreadiness } from '../model/node-readiness.ts';
import type { UniverseSource } from '../model/pipeline.ts';
import { DAY_MS } from '../model/time.ts';
import { activitiesFor, lengthily, PATIENT_RETRY, patiently } from './activity-proxies.ts';
import { runChild } from './children.ts';
import { describeFailure, ignoreCancellation } from './failures.ts';
import { tasksPerReport, universeQuiet } from './messages.ts';
import { nodeActivitiesOf } from './node-activities.ts';
import type { RestoreStage } from './progress.ts';
import { RunFrame, stepsOf } from './run-frame.ts';
import { type NewsWish, restoreFacts } from './run-news.ts';
import { saveWhatIsThere } from './safety-backup.ts';
import { inParallel } from './scopes.ts';
import { tabletFill } from './tablet-fill.ts';
import { shareOf } from './tablets.ts';

const CLEAN_UP_MS = 10 * 60_000;
const STAGES: readonly RestoreStage[] = ['plan', 'turn', 'prepare', 'load', 'restoration', 'finish'];
const OVERWRITING_STAGES: readonly RestoreStage[] = ['plan', 'turn', 'safety', ...STAGES.slice(2)];
const NODES_AT_ONCE = 50;
const BATCHES_AT_ONCE = 4;
/** Most rounds of asking the universe where replicas are and putting files there. */
const ROUNDS = 20;
const AGENT_RETURNS_MS = 60_000;
/** Longest time that the load balancer is kept off. No restore takes so long. */
const QUIET_MS = 30 * DAY_MS;
/** Name of the lock that lets one restore of a universe run at a time. No database can have this name. */
const BALANCER = 'holdfast:load balancer';

/**
 * Restores a backup of a universe in stages. plan: refuses everything that can be refused. turn: takes the lease on the source, since a restore
 * switches off the load balancer of the whole universe. prepare: creates roles and schemas, imports snapshots. load: puts files onto every replica.
 * restoration: checks every replica once more, then `restore_snapshot`. finish: sequences, comparison, exchange of names with what is replaced. A
 * restore that replaces is also alone at its databases, and first backs up what is there. However it ends, it leaves the load balancer as it was.
 */
export async function restoreUniverse(
  request: RestoreRequest,
  source: UniverseSource,
  safetyBackup: RestoreRequest['safetyBackup'],
  news: NewsWish,
): Promise<RestoreSummary> {
  return new UniverseRestore(request, source, safetyBackup, news).run();
}

class UniverseRestore {
  readonly #request: RestoreRequest;
  readonly #source: UniverseSource;
  readonly #safetyBackup: RestoreRequest['safetyBackup'];
  /** Id of the safety backup, once it was made. */
  #saved: string | undefined;
  readonly #frame: RunFrame;
  readonly #quietScope = new CancellationScope();
  #quieting: Promise<void> = Promise.resolve();
  #isQuiet = false;
  #quietFailure: { readonly error: unknown } | undefined;

  constructor(
    request: RestoreRequest,
    source: UniverseSource,
    safetyBackup: RestoreRequest['safetyBackup'],
    news: NewsWish,
  ) {
    this.#request = request;
    this.#source = source;
    this.#safetyBackup = safetyBackup;
    const { restore: id, from, replace, scratch } = request;
    this.#frame = new RunFrame({
      title: `Restore ${id} of ${from.backup}`,
      steps: stepsOf(replace ? OVERWRITING_STAGES : STAGES),
      news,
      lease: {
        source: replace
          ? { ...source, databases: [...source.databases, BALANCER] }
          : { ...source, databases: [BALANCER], keyspaces: [] },
        mode: 'alone',
        title: `${replace ? 'overwriting ' : ''}restore ${id} of ${from.plan} from ${from.backup}`,
        waitsFor: `${replace ? 'backups and restores of the same databases, and for ' : ''}another restore of the universe`,
      },
      ...defined({
        report: scratch ? undefined : { plan: from.plan, kind: 'restore' as const, id, overwrites: replace },
      }),
    });
    setHandler(
      universeQuiet,
      () => {
        this.#isQuiet = true;
      },
      { description: 'Sent by the activity that keeps the universe quiet: the load balancer is off' },
    );
  }

  async run(): Promise<RestoreSummary> {
    const { restore: id } = this.#request;
    let left = '';
    const summary = await this.#frame.run({
      work: () => this.#work(),
      end: (result) => {
        const { bytes, rows, verdict } = result;
        const facts = restoreFacts(result);
        return { headline: headlineOf(result), verdict, figures: { bytes, rows, verdict }, facts };
      },
      undo: async () => {
        left = await this.#discard();
      },
      failure: ({ message }, isCancelled) => ({
        headline: isCancelled
          ? `Restore ${id} was cancelled. ${left}`
          : `Restore ${id} FAILED: ${message} ${left}`,
      }),
    });
    return this.#saved === undefined ? summary : { ...summary, safetyBackup: this.#saved };
  }

  async #work(): Promise<RestoreSummary> {
    const frame = this.#frame;
    const { replace, scratch } = this.#request;
    const plan = await frame.stage('plan', () => this.#plan(), describePlan);
    await frame.stage('turn', () => frame.takeLease());
    if (replace)
      this.#saved = await frame.stage('safety', () => saveWhatIsThere(this.#safetyBackup, frame.progress));
    await frame.stage('prepare', () => this.#prepare());
    const round = await frame.stage('load', () => this.#load(plan));
    await frame.stage('restoration', () => this.#restoreSnapshots(round));
    const summary = await frame.stage('finish', () => this.#finish());
    if (summary.verdict === 'FAILED' && !scratch) throw differs(summary);
    return summary;
  }

  async #plan(): Promise<UniverseRestorePlan> {
    const request = this.#request;
    let plan = await patiently('check universe, target and backup').planUniverseRestore({ request });
    const { problems, moved } = await this.#inspectNodes(plan);
    if (moved && patched('agents prove whose they are')) {
      // A replica may have moved since the universe was asked for its map. One that is missing twice isn't there.
      plan = await patiently('check universe, target and backup again').planUniverseRestore({ request });
      requireReady((await this.#inspectNodes(plan)).problems);
    } else requireReady(problems);
    return plan;
  }

  /** Checks that every node has its own agent, which may write and has the space. `moved`: some tablets are not where the map has them. */
  async #inspectNodes({
    nodes,
    bytesPerNode,
    inspections = {},
  }: UniverseRestorePlan): Promise<{ readonly problems: readonly string[]; readonly moved: boolean }> {
    const problems: string[] = [];
    let moved = false;
    await inParallel(nodes.length, NODES_AT_ONCE, async (index) => {
      const node = nodes[index] ?? '';
      try {
        const inspection = inspections[node] ?? {};
        const report = await this.#agent(node, `look at the node of ${node}`).inspectNode(inspection);
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

  async #prepare(): Promise<void> {
    await this.#becomeQuiet();
    await patiently('roles, schemas, import').prepareUniverse({ request: this.#request });
  }

  /** Puts files where they belong, round after round, until the map is the same before and after a round. Returns the number of the last round. */
  async #load(plan: UniverseRestorePlan): Promise<number> {
    const request = this.#request;
    let before: FillPlan | undefined;
    for (let round = 0; round < ROUNDS; round += 1) {
      const fills = await patiently(`where the files belong, look ${round + 1}`).placeFills({
        request,
        round,
      });
      if (before?.fingerprint === fills.fingerprint && (await this.#isFilled(fills, round))) return round;
      before = fills;
      this.#frame.progress.beginTransfer('load', {
        tasks: fills.pairs,
        bytes: fills.bytes,
        unit: 'replicas',
      });
      await this.#eachBatch(fills, round, 'fill', plan.nodes.length);
    }
    throw ApplicationFailure.nonRetryable(
      `after ${ROUNDS} looks replicas still come and go. Find out what moves them (node failures, another tool), and start the restore again.`,
      'RESTORE_NOT_SETTLED',
    );
  }

  /**
   * Restores the snapshots. A tablet server that has to restore a snapshot whose folder it lacks crashes, and crashes again at every start (YugabyteDB
   * issues 4431, 26798). So just before, every pair of tablet and node is checked, between two looks at the map of replicas that must be the same.
   */
  async #restoreSnapshots(lastRound: number): Promise<void> {
    const request = this.#request;
    const again = patiently('look at every replica once more');
    const before = await again.placeFills({ request, round: lastRound + 1 });
    let isFilled: boolean;
    let now: FillPlan;
    if (patched('the map of replicas is read again after the last check')) {
      isFilled = await this.#isFilled(before, lastRound + 1);
      now = await again.placeFills({ request, round: lastRound + 2 });
    } else {
      now = await again.placeFills({ request, round: lastRound + 2 });
      isFilled = before.fingerprint === now.fingerprint && (await this.#isFilled(now, lastRound + 2));
    }
    if (!isFilled || before.fingerprint !== now.fingerprint) {
      throw ApplicationFailure.nonRetryable(
        'replicas moved between the last look and the restoration, which was therefore not begun. Find out what moves them while the load balancer is off, and start the restore again.',
        'RESTORE_NOT_SETTLED',
      );
    }
    // Replicas may have moved since, away from the files that were put beside them.
    if (this.#quietFailure !== undefined && patched('nothing is restored where replicas may move'))
      throw this.#quietFailure.error;
    await lengthily('restore_snapshot').restoreSnapshots({ request });
  }

  async #isFilled(fills: FillPlan, round: number): Promise<boolean> {
    return (await this.#eachBatch(fills, round, 'check', 1)) === 0;
  }

  /** @returns how many pairs of tablet and node are not filled. */
  async #eachBatch(fills: FillPlan, round: number, what: 'fill' | 'check', nodes: number): Promise<number> {
    const request = this.#request;
    const source = this.#source;
    const share = shareOf(source, nodes);
    let unfilled = 0;
    await inParallel(fills.shards, BATCHES_AT_ONCE, async (batch) => {
      unfilled += await runChild(() =>
        startChild(tabletFill, {
          workflowId: `${workflowInfo().workflowId}:${what}:${round}:${batch}`,
          staticSummary: `${what} batch ${batch + 1} of ${fills.shards}, look ${round + 1}`,
          args: [
            {
              what,
              request,
              source,
              round,
              shard: batch,
              reportEvery: tasksPerReport(fills.pairs),
              ...defined({ bytesPerSecond: share }),
            },
          ],
        }),
      );
    });
    return unfilled;
  }

  async #finish(): Promise<RestoreSummary> {
    const request = this.#request;
    const summary = await lengthily('sequences, compare').finishUniverse({ request });
    await this.#endQuiet();
    if (request.scratch) await patiently('drop the scratch databases').discardUniverse({ request });
    await patiently('forget what the restore remembered').forgetRestore({ request });
    return summary;
  }

  /** Returns when the load balancer is off. An activity keeps it off, and puts it back whatever becomes of this workflow. */
  async #becomeQuiet(): Promise<void> {
    const activities = lengthily('keep replicas where they are', QUIET_MS);
    this.#quieting = CancellationScope.nonCancellable(() =>
      this.#quietScope
        .run(() => activities.keepUniverseQuiet({ request: this.#request }))
        .catch((error: unknown) => {
          if (!isCancellation(error)) this.#quietFailure = { error };
        }),
    );
    await condition(() => this.#isQuiet || this.#quietFailure !== undefined);
    if (this.#quietFailure !== undefined) throw this.#quietFailure.error;
  }

  /** Puts the load balancer back, however the restore ended. It does so itself as well, since the activity that should may have died. */
  async #endQuiet(): Promise<void> {
    this.#quietScope.cancel();
    await this.#quieting.catch(ignoreCancellation);
    await this.#cleanUp('put the load balancer back').endUniverseQuiet({ request: this.#request });
  }

  async #discard(): Promise<string> {
    const left: string[] = [];
    try {
      await this.#endQuiet();
    } catch (error) {
      left.push(
        `The load balancer could not be put back (${describeFailure(error).message}): yb-admin set_load_balancer_enabled 1.`,
      );
    }
    try {
      const { left: keyspaces, stands = [] } = await this.#cleanUp(
        'drop what this restore created',
      ).discardUniverse({
        request: this.#request,
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
      // The universe itself may have failed. The run reports its first error, and this one beside it.
      left.push(`What it had created could not be dropped: ${describeFailure(error).message}`);
    }
    return left.filter((sentence) => sentence !== '').join(' ');
  }

  #cleanUp(summary: string) {
    return activitiesFor({
      summary,
      retry: { ...PATIENT_RETRY, maximumAttempts: 20 },
      timeoutMs: CLEAN_UP_MS,
    });
  }

  #agent(node: string, summary: string) {
    return nodeActivitiesOf({
      node,
      summary,
      retry: { ...PATIENT_RETRY, maximumAttempts: 3 },
      timeoutMs: DAY_MS,
      // No other node can do this work, and an agent that was just killed comes back.
      agentMs: Math.max(this.#source.patience.agentMs, AGENT_RETURNS_MS),
    });
  }
}

function describePlan({ databases, tablets, bytes, nodes }: UniverseRestorePlan): string {
  const names = databases.map(({ from, to }) => `${from} → ${to}`).join(', ');
  return `${names}: ${formatCount(tablets)} tablets, ${formatBytes(bytes)}, onto ${nodes.length} nodes`;
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
