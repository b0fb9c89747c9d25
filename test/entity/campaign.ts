import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client, Connection, WithStartWorkflowOperation } from '@temporalio/client';
import { messageOf } from '../../model/errors.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { startTemporal, type TemporalServer } from '../../parts/temporal.ts';
import { registerSearchAttributes } from '../../worker/search-attributes.ts';
import { newPlanState } from '../../workflows/plan-entity.ts';
import {
  applyPlan,
  type PersonsMessage,
  type PlanStatus,
  personsSignal,
  personsUpdate,
  planStatus,
  planWorkflowId,
} from '../../workflows/plan-messages.ts';
import { Dice } from '../crash/dice.ts';
import { CAPTURE, pipelineOf } from '../workflows/scripted-worker.ts';

export interface EntityCampaign {
  readonly seed: number;
  /** Each is asked for twice, under one request id; every third once by an update. */
  readonly backups: number;
  /** All signals and updates together; what is not a request for a backup is something that must be refused. */
  readonly signals: number;
  /** `kill -9` of the worker, and one of the server for every third of them. */
  readonly kills: number;
  /** Events after which the entity goes on in a new run. */
  readonly historyEvents: number;
  say(line: string): void;
}

export interface EntityReport {
  readonly signals: number;
  readonly backups: number;
  readonly workerKills: number;
  readonly serverKills: number;
  /** Ends of the worker by itself: an error of the SDK that it takes for fatal, say. It is started again. */
  readonly ownEnds: number;
  readonly runs: number;
  /** Of the longest run. */
  readonly events: number;
  /** Empty when everything held. */
  readonly problems: readonly string[];
}

const QUEUE = 'campaign';
const PLAN = 'orders';
/** Below what an entity takes at once. */
const OPEN_AT_MOST = 12;
const PATIENCE_MS = 1_800_000;

/**
 * Sends an entity signals while its worker and its server are killed at moments that the seed tells. Afterwards every request
 * must have acted exactly once, everything wrong must have been refused and counted, and no run's history may be long.
 */
export async function runEntityCampaign(campaign: EntityCampaign): Promise<EntityReport> {
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-entity-'));
  const temporal = await startTemporal({ headless: true, dbFile: path.join(folder, 'temporal.db') });
  const stage = new Stage(temporal, path.join(folder, 'ledger'));
  try {
    await stage.begin(campaign.historyEvents);
    return await send(stage, campaign);
  } finally {
    await stage.end();
    await rm(folder, { recursive: true, force: true });
  }
}

async function send(stage: Stage, campaign: EntityCampaign): Promise<EntityReport> {
  const { backups, signals, kills, seed, say } = campaign;
  const dice = new Dice(seed);
  const strikes = new Set<number>();
  while (strikes.size < Math.min(kills, backups)) strikes.add(Math.floor(dice.between(0, backups)));
  const noise = Math.max(0, signals - 2 * backups);
  let sent = 0;
  let refusable = 0;
  const striking: Promise<void>[] = [];
  for (let index = 0; index < backups; index++) {
    const request = { requestId: `r-${index}` };
    const wrong = Math.floor(((index + 1) * noise) / backups) - Math.floor((index * noise) / backups);
    if (strikes.has(index)) {
      const isServer = stage.workerKills % 3 === 2;
      striking.push(sleep(dice.between(0, 400)).then(() => stage.strike(isServer, say)));
    }
    await Promise.all([
      stage.signal('backup', request),
      // As a command asks: it is checked first, which must leave no trace in what is chosen afterwards.
      index % 3 === 0 ? stage.ask('backup', request) : stage.signal('backup', request),
      ...Array.from({ length: wrong }, () =>
        stage.signal(dice.pick(['approve', 'cancel', 'restore']), { requestId: 7 }),
      ),
    ]);
    sent += 2 + wrong;
    refusable += wrong;
    await Promise.all(striking.splice(0));
    if (index % 5 === 4) await stage.until(({ requests }) => requests.length < OPEN_AT_MOST);
    if (index % 100 === 99) say(`${index + 1} of ${backups} backups asked for, ${sent} signals`);
  }
  await stage.until(({ requests }) => requests.length === 0);
  return stage.judge({ signals: sent, backups, refusable });
}

class Stage {
  readonly #temporal: TemporalServer;
  readonly #ledger: string;
  #connection: Connection | undefined;
  #worker: ChildProcess | undefined;
  workerKills = 0;
  serverKills = 0;
  /** How often a worker ended without being killed. */
  ownEnds = 0;

  constructor(temporal: TemporalServer, ledger: string) {
    this.#temporal = temporal;
    this.#ledger = ledger;
    writeFileSync(ledger, '');
  }

  async begin(historyEvents: number): Promise<void> {
    this.#connection = await Connection.connect({ address: this.#temporal.address });
    await registerSearchAttributes(this.#connection, 'default');
    await this.#startWorker();
    const plan: CompiledPlan = { name: PLAN, file: 'orders.yaml', pipeline: pipelineOf(CAPTURE) };
    const revision = { plan, set: 'default', taskQueue: QUEUE };
    await this.#client.workflow.executeUpdateWithStart(applyPlan, {
      startWorkflowOperation: new WithStartWorkflowOperation('plan', {
        ...{ workflowId: planWorkflowId(PLAN), taskQueue: QUEUE, workflowIdConflictPolicy: 'USE_EXISTING' },
        args: [{ ...newPlanState(revision, new Date().toISOString()), historyEvents }],
      }),
      args: [{ revision, after: 0, keepPauses: true }],
    });
  }

  /** Sent again until the server has taken it, as a person would. */
  async signal(name: PersonsMessage, argument: object): Promise<void> {
    await this.#persist(() => this.#entity.signal(personsSignal(name), argument));
  }

  async ask(name: PersonsMessage, argument: object): Promise<void> {
    await this.#persist(() => this.#entity.executeUpdate(personsUpdate(name), { args: [argument] }));
  }

  async until(holds: (status: PlanStatus) => boolean): Promise<PlanStatus> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const status = await this.#persist(() => this.#entity.query(planStatus));
      if (holds(status)) return status;
      if (Date.now() > deadline) throw new Error(`never came: ${JSON.stringify(status.requests)}`);
      await sleep(100);
    }
  }

  async strike(isServer: boolean, say: (line: string) => void): Promise<void> {
    const pid = this.#worker?.pid;
    this.#killWorker();
    this.workerKills += 1;
    if (isServer) {
      await this.#temporal.kill9();
      await this.#temporal.restart();
      this.serverKills += 1;
    }
    say(`kill -9 ${pid} (the worker)${isServer ? ', and the Temporal server' : ''}`);
    await this.#startWorker();
  }

  async judge(meant: { signals: number; backups: number; refusable: number }): Promise<EntityReport> {
    const problems: string[] = [];
    const sealed = new Set(readFileSync(this.#ledger, 'utf8').trim().split('\n'));
    if (sealed.size !== meant.backups) {
      problems.push(`${sealed.size} backups were made of ${meant.backups} that were asked for`);
    }
    const { refused } = await this.until(() => true);
    // A client that hears no answer sends again, so there may be more than were meant.
    if (refused.count < meant.refusable) {
      problems.push(`${refused.count} refused of ${meant.refusable} that should have been`);
    }
    let runs = 0;
    let events = 0;
    let runId = (await this.#entity.describe()).raw.workflowExecutionInfo?.firstRunId;
    while (runId != null) {
      const history = await this.#client.workflow.getHandle(planWorkflowId(PLAN), runId).fetchHistory();
      runs += 1;
      events = Math.max(events, history.events?.length ?? 0);
      runId = history.events?.at(-1)?.workflowExecutionContinuedAsNewEventAttributes?.newExecutionRunId;
    }
    const { signals, backups } = meant;
    return {
      signals,
      backups,
      workerKills: this.workerKills,
      serverKills: this.serverKills,
      ownEnds: this.ownEnds,
      runs,
      events,
      problems,
    };
  }

  async end(): Promise<void> {
    this.#killWorker();
    await this.#connection?.close();
    await this.#temporal.stop();
  }

  get #client(): Client {
    if (this.#connection === undefined) throw new Error('the campaign has not begun');
    return new Client({ connection: this.#connection });
  }

  get #entity() {
    return this.#client.workflow.getHandle(planWorkflowId(PLAN));
  }

  async #startWorker(): Promise<void> {
    const program = fileURLToPath(new URL('worker.ts', WORKER_FOLDER));
    const worker = spawn(process.execPath, [program, this.#temporal.address, QUEUE, this.#ledger], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#worker = worker;
    await new Promise<void>((resolve, reject) => {
      worker.stdout.once('data', () => resolve());
      worker.once('exit', (code) => reject(new Error(`the worker ended with ${code}`)));
    });
    worker.removeAllListeners('exit');
    // As whoever looks after a worker would.
    worker.once('exit', () => {
      this.ownEnds += 1;
      void this.#startWorker();
    });
  }

  #killWorker(): void {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#worker = undefined;
    worker.removeAllListeners('exit');
    worker.kill('SIGKILL');
  }

  async #persist<T>(act: () => Promise<T>): Promise<T> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      try {
        return await this.#client.withDeadline(Date.now() + 20_000, act);
      } catch (error) {
        if (Date.now() > deadline) throw new Error(`the server took nothing any more: ${messageOf(error)}`);
        await sleep(200);
      }
    }
  }
}

/** Resolved from the folder of the checkout, also where tests are compiled to CommonJS. */
const WORKER_FOLDER = new URL(`file://${path.resolve('test', 'entity')}/`);
