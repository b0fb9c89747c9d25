import { ActivityFailure, isCancellation, sleep, TimeoutFailure } from '@temporalio/workflow';
import type { BackupRef } from '../model/backup.ts';
import { defined } from '../model/defined.ts';
import type { RetryPolicy, UniverseSource } from '../model/pipeline.ts';
import { type SaveSummary, type TabletTarget, unpackBatch } from '../model/tablets.ts';
import type { TransferWindow } from '../model/transfer-window.ts';
import { activitiesFor } from './activity-proxies.ts';
import { reportToParent } from './children.ts';
import { describeFailure } from './failures.ts';
import { nodeActivitiesOf } from './node-activities.ts';
import { inParallel } from './scopes.ts';
import { WindowGate } from './window-gate.ts';

interface TabletTransferInput {
  readonly ref: BackupRef;
  readonly source: UniverseSource;
  readonly epoch: number;
  readonly shard: number;
  /** Reports to the parent after this many tablets. */
  readonly reportEvery: number;
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  /** Bytes per second that one node may send. */
  readonly bytesPerSecond?: number;
  /** When tablets may be begun. Absent: always. */
  readonly window?: TransferWindow;
}

interface TabletTransferOutcome {
  /** Tablets that the universe no longer has. It split or replaced them, and so their snapshot is gone. */
  readonly gone: readonly string[];
  readonly lostCount: number;
  /** The first of the lost tablets, each with the reason. */
  readonly lost: readonly string[];
}

const TABLETS_PER_TASK = 16;
/** Most bytes of a task, unless a single tablet has more. */
const BYTES_PER_TASK = 512 * 1024 * 1024;
const TASKS_AT_ONCE = 200;
/** How many task numbers each batch has. Names of results contain the number. */
const TASKS_PER_BATCH = 10_000;
/** How often the universe is asked where a tablet is now, when no listed replica has it. */
const RELOCATIONS = 5;
const RELOCATION_PAUSE_MS = 10_000;
const LOST_NAMED = 20;

/**
 * Saves one batch of a universe's work list: at most 1,000 tablets, each from the best replica whose agent works. If a node doesn't
 * have a tablet, the next replica is asked; when none is left, the universe is asked where the tablet is now. A child of `backup`, so
 * that the parent's history stays small whatever the size of the universe.
 */
export async function tabletTransfer(input: TabletTransferInput): Promise<TabletTransferOutcome> {
  return new TabletTransfer(input).run();
}

interface Candidate {
  readonly target: TabletTarget;
  /** Nodes that were not asked yet, the best first. */
  readonly nodes: readonly string[];
  readonly reason?: string;
}

interface Task {
  readonly node: string;
  readonly candidates: readonly Candidate[];
}

class TabletTransfer {
  readonly #input: TabletTransferInput;
  readonly #sum = { shard: 0, tasksDone: 0, rows: 0, bytes: 0, storedBytes: 0 };
  /** Nodes whose agents took no work. They are asked last. */
  readonly #silent = new Set<string>();
  /** UUID of the tablet server at each address, where the list has it. */
  readonly #servers = new Map<string, string>();
  readonly #gone: string[] = [];
  readonly #gate: WindowGate | undefined;
  #tasks = 0;
  #reported = 0;

  constructor(input: TabletTransferInput) {
    this.#input = input;
    this.#sum.shard = input.shard;
    this.#gate = input.window && new WindowGate(input.window, () => this.#report());
  }

  async run(): Promise<TabletTransferOutcome> {
    const { ref, epoch, shard } = this.#input;
    const described = await this.#call('read the list of tablets').describeTablets({ ref, epoch, shard });
    for (const [place, node] of described.nodes.entries()) {
      const server = described.servers?.[place];
      if (server !== undefined && server !== '') this.#servers.set(node, server);
    }
    let open: readonly Candidate[] = unpackBatch(described).map((target) => ({
      target,
      nodes: target.nodes,
    }));
    for (let relocation = 0; ; relocation += 1) {
      open = await this.#fromReplicas(open);
      if (open.length === 0 || relocation === RELOCATIONS) break;
      // Wait, since leaders are elected and replicas copied meanwhile.
      if (relocation > 0)
        await sleep(RELOCATION_PAUSE_MS, { summary: 'tablets without a replica that has them' });
      open = await this.#relocated(open);
      // These tablets' snapshot is lost, and the other tablets are useless without it.
      if (this.#gone.length > 0) break;
    }
    await this.#report();
    return {
      gone: this.#gone,
      lostCount: open.length,
      lost: open
        .slice(0, LOST_NAMED)
        .map(({ target, reason }) => `${target.tablet} (${reason ?? 'it has no replica'})`),
    };
  }

  /** Asks one replica after another. Returns the tablets that no replica had. */
  async #fromReplicas(candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const none: Candidate[] = candidates.filter(({ nodes }) => nodes.length === 0);
    let open = candidates.filter(({ nodes }) => nodes.length > 0);
    while (open.length > 0) {
      const tasks = this.#tasksOf(open);
      const next: Candidate[] = [];
      await inParallel(tasks.length, TASKS_AT_ONCE, async (index) => {
        const task = tasks[index];
        if (this.#gate !== undefined) await this.#gate.pass();
        if (task !== undefined) next.push(...(await this.#save(task)));
      });
      none.push(...next.filter(({ nodes }) => nodes.length === 0));
      open = next.filter(({ nodes }) => nodes.length > 0);
    }
    return none;
  }

  #tasksOf(candidates: readonly Candidate[]): readonly Task[] {
    const byNode = new Map<string, Candidate[]>();
    for (const candidate of candidates) {
      const awake = candidate.nodes.filter((node) => !this.#silent.has(node));
      const [node] = awake.length > 0 ? awake : candidate.nodes;
      if (node === undefined) continue;
      const nodes = candidate.nodes.filter((other) => other !== node);
      const ofNode = byNode.get(node) ?? [];
      ofNode.push({ ...candidate, nodes });
      byNode.set(node, ofNode);
    }
    const tasks: Task[] = [];
    for (const [node, ofNode] of byNode) {
      let group: Candidate[] = [];
      let bytes = 0;
      for (const candidate of ofNode) {
        const { estimatedBytes } = candidate.target;
        const full = group.length === TABLETS_PER_TASK || bytes + estimatedBytes > BYTES_PER_TASK;
        if (full && group.length > 0) {
          tasks.push({ node, candidates: group });
          group = [];
          bytes = 0;
        }
        group.push(candidate);
        bytes += estimatedBytes;
      }
      if (group.length > 0) tasks.push({ node, candidates: group });
    }
    return tasks;
  }

  /** Has a node save its tablets. Returns those that it did not have or could not save. */
  async #save({ node, candidates }: Task): Promise<readonly Candidate[]> {
    const { ref, epoch, shard, source, retry, timeoutMs, bytesPerSecond } = this.#input;
    const task = shard * TASKS_PER_BATCH + this.#tasks;
    this.#tasks += 1;
    const agent = nodeActivitiesOf({
      node,
      summary: `save ${candidates.length} tablets from ${node}`,
      retry,
      timeoutMs,
      agentMs: source.patience.agentMs,
    });
    const server = this.#servers.get(node);
    let summary: SaveSummary;
    try {
      summary = await agent.saveTablets({
        ref,
        epoch,
        task,
        tablets: candidates.map(({ target: { tablet, table, snapshot } }) => ({ tablet, table, snapshot })),
        limits: source.limits,
        ...defined({ bytesPerSecond, server }),
      });
    } catch (error) {
      const reason = this.#reasonToPassOn(node, error);
      return candidates.map((candidate) => ({ ...candidate, reason }));
    }
    this.#sum.tasksDone += summary.saved;
    this.#sum.bytes += summary.bytes;
    this.#sum.storedBytes += summary.sentBytes;
    if (this.#sum.tasksDone - this.#reported >= this.#input.reportEvery) await this.#report();
    const reasons = new Map(summary.left.map(({ tablet, reason }) => [tablet, `${node}: ${reason}`]));
    return candidates.flatMap((candidate) => {
      const reason = reasons.get(candidate.target.tablet);
      return reason === undefined ? [] : [{ ...candidate, reason }];
    });
  }

  /** Returns why the next node is asked. A fault of one node lets the backup go on; a fault of the repository is thrown. */
  #reasonToPassOn(node: string, error: unknown): string {
    if (isCancellation(error)) throw error;
    const { code, message } = describeFailure(error);
    if (code.startsWith('STORE_') || code.startsWith('BACKUP_') || code === 'SECRET_MISSING') throw error;
    if (error instanceof ActivityFailure && error.cause instanceof TimeoutFailure) {
      this.#silent.add(node);
      return `${node}: no agent answers`;
    }
    return `${node}: ${message}`;
  }

  /**
   * The same tablets with their present replicas. Nodes that were asked before are asked again, since files may have arrived there.
   */
  async #relocated(candidates: readonly Candidate[]): Promise<readonly Candidate[]> {
    const { ref, source } = this.#input;
    const found = await this.#call('look where the tablets are now').locateTablets({
      ref,
      source,
      tables: [...new Set(candidates.map(({ target }) => target.table))],
      tablets: candidates.map(({ target }) => target.tablet),
      snapshots: [...new Set(candidates.map(({ target }) => target.snapshot))],
    });
    return candidates.map((candidate) => {
      const nodes = found[candidate.target.tablet];
      if (nodes === undefined) this.#gone.push(candidate.target.tablet);
      return { ...candidate, nodes: nodes ?? [] };
    });
  }

  #call(summary: string) {
    const { retry, timeoutMs } = this.#input;
    return activitiesFor({ summary, retry, timeoutMs });
  }

  async #report(): Promise<void> {
    this.#reported = this.#sum.tasksDone;
    await reportToParent({ ...this.#sum, ...defined({ pausedUntil: this.#gate?.pausedUntil }) });
  }
}
