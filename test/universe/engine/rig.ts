import { setTimeout as sleep } from 'node:timers/promises';
import type { BackupContext, RestoreOutcome } from '../../../engines/engine.ts';
import { quietVerb } from '../../../engines/quiet-verb.ts';
import { sealBackup } from '../../../engines/sealing.ts';
import { fillTablets, inspectNode, unfilledTablets } from '../../../engines/universe/agent/fill-tablets.ts';
import { NodeAgent } from '../../../engines/universe/agent/node-agent.ts';
import { onNode } from '../../../engines/universe/agent/on-node.ts';
import { saveTablets } from '../../../engines/universe/agent/save-tablets.ts';
import { universeEngine } from '../../../engines/universe/engine.ts';
import { exportUniverse } from '../../../engines/universe/export.ts';
import type { SnapshotPoint } from '../../../engines/universe/export-database.ts';
import { openScheduled } from '../../../engines/universe/off-cluster/open.ts';
import { releaseLeftovers, releaseSnapshots } from '../../../engines/universe/release.ts';
import type { UniverseRestore } from '../../../engines/universe/restore/context.ts';
import { restoredDatabases } from '../../../engines/universe/restore/context.ts';
import { discardUniverse, finishUniverse, forgetRestore } from '../../../engines/universe/restore/finish.ts';
import { beQuiet } from '../../../engines/universe/restore/load-balancer.ts';
import { placeFills, readFillBatch } from '../../../engines/universe/restore/place.ts';
import { planUniverseRestore } from '../../../engines/universe/restore/plan.ts';
import { prepareUniverse } from '../../../engines/universe/restore/prepare.ts';
import { restoreAll } from '../../../engines/universe/restore/restoration.ts';
import { openSnapshots } from '../../../engines/universe/snapshot.ts';
import {
  type BackupRef,
  PLAIN_RESTORE,
  type RestoreRequest,
  type UniverseRestorePlan,
} from '../../../model/backup.ts';
import { HoldfastError, permanent, READ_POINT_LOST } from '../../../model/errors.ts';
import type { Manifest } from '../../../model/manifest.ts';
import { unreadiness } from '../../../model/node-readiness.ts';
import type { PendingExport } from '../../../model/off-cluster.ts';
import type { UniverseSource } from '../../../model/pipeline.ts';
import { unpackBatch } from '../../../model/tablets.ts';
import { readManifest } from '../../../repository/backups/manifest.ts';
import { backupFolder } from '../../../repository/layout.ts';
import { readTabletBatch } from '../../../repository/objects/tablet-work.ts';
import type { Store } from '../../../repository/store.ts';
import type { Universe } from '../launcher.ts';

/**
 * A universe with the verbs that back it up and restore it, in this process and without Temporal: the order of the steps is that of
 * `workflows/restore-universe.ts`. Hundreds of topologies are tried in the time of a few runs of the real thing.
 */
export interface Rig {
  readonly universe: Universe;
  readonly store: Store;
  readonly source: UniverseSource;
  /** Who polls the task queue of each tablet server's address: none, one, or (by mistake) several, who take turns. */
  readonly agents: Map<string, NodeAgent[]>;
}

const PLAN = 'rig';
const LIMITS = { tasksPerNode: 4, filesPerDisk: 4 };
/** What the workflow would try again for a day. */
const ATTEMPTS = 40;
const PAUSE_MS = 100;

export function sourceOf(universe: Universe, names: Partial<UniverseSource> = {}): UniverseSource {
  process.env.HOLDFAST_YB_BIN = universe.binDirectory;
  process.env.RIG_YSQL_URL = universe.ysqlUrl;
  return {
    engine: 'universe',
    masters: universe.masters,
    masterWebPort: 7000,
    ysql: { connection: { env: 'RIG_YSQL_URL' } },
    databases: ['shop'],
    keyspaces: [],
    globals: 'none',
    snapshotRetentionMs: 3 * 24 * 3_600_000,
    countRows: false,
    limits: LIMITS,
    patience: { agentMs: 1_000, snapshotMs: 10_000, restorationMs: 8_000 },
    ...names,
  };
}

/** The right agent for every tablet server. */
export function rightAgents(universe: Universe, stateDirectory: string): Map<string, NodeAgent[]> {
  return new Map(
    universe.tservers.map(({ address, dataDirectories }) => [
      address,
      [new NodeAgent({ address, dataDirectories, stateDirectory })],
    ]),
  );
}

export function contextOf({ store }: Pick<Rig, 'store'>, ref: BackupRef): BackupContext {
  return {
    ...quietVerb(async (secret) => {
      if ('env' in secret) return process.env[secret.env] ?? '';
      throw new Error('the rig knows secrets of the environment alone');
    }),
    ref,
    store,
    folder: backupFolder(ref),
  };
}

let backups = 0;

export function newRef(): BackupRef {
  backups += 1;
  return {
    repository: { name: 'main', location: { kind: 'directory', path: '/nowhere' } },
    plan: PLAN,
    backup: `20261129T${String(backups).padStart(6, '0')}Z-rigged`,
  };
}

/** What a workflow does with an error that passes: it asks again, up to a point. */
export async function patiently<T>(work: (attempt: number) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work(attempt);
    } catch (error) {
      if (!(error instanceof HoldfastError && error.transient) || attempt === ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
    }
  }
}

/** Backs up; another snapshot is taken where one is lost, ten times at most. Returns the backup with its manifest. */
export async function backUp(
  rig: Rig,
  { epochs = 10, pending }: { readonly epochs?: number; readonly pending?: PendingExport } = {},
): Promise<{ readonly ref: BackupRef; readonly manifest: Manifest }> {
  const ref = pending === undefined ? newRef() : { ...newRef(), backup: pending.backup };
  const context = contextOf(rig, ref);
  try {
    await releaseLeftovers(context, rig.source);
    for (let epoch = 1; ; epoch += 1) {
      try {
        return { ref, manifest: await backUpOnce(rig, context, epoch, pending) };
      } catch (error) {
        if (
          !(error instanceof HoldfastError && error.code === READ_POINT_LOST) ||
          epoch === epochs ||
          pending !== undefined
        )
          throw error;
      }
    }
  } finally {
    await releaseSnapshots(context, rig.source);
  }
}

async function backUpOnce(
  rig: Rig,
  context: BackupContext,
  epoch: number,
  pending: PendingExport | undefined,
): Promise<Manifest> {
  const { store, source } = rig;
  const { readPoint, held } = await patiently(() =>
    pending === undefined
      ? openSnapshots(context, source, epoch)
      : openScheduled(context, source, epoch, pending.scheduled),
  );
  try {
    const point = readPoint as SnapshotPoint;
    const { shards } = await patiently((attempt) => exportUniverse({ ...context, attempt }, source, point));
    let task = 0;
    for (const entry of shards) {
      const batch = await readTabletBatch(store, context.ref, entry);
      const servers = new Map(batch.nodes.map((node, place) => [node, batch.servers?.[place]]));
      for (const { tablet, table, snapshot, nodes } of unpackBatch(batch)) {
        let isSaved = false;
        const reasons: string[] = [];
        for (const node of nodes) {
          task += 1;
          const server = servers.get(node);
          const request = { epoch, task, piece: 0, tablets: [{ tablet, table, snapshot }], limits: LIMITS };
          const summary = await onAgent(rig, node, (agent) =>
            saveTablets(agent, context, { ...request, ...(server === undefined ? {} : { server }) }),
          ).catch((error: unknown) => error);
          if (summary instanceof Error) reasons.push(summary.message);
          else {
            const { saved, left } = summary as Awaited<ReturnType<typeof saveTablets>>;
            reasons.push(...left.map(({ reason }) => reason));
            isSaved = saved === 1;
          }
          if (isSaved) break;
        }
        if (!isSaved) throw permanent('TABLETS_LOST', `${tablet}: ${reasons.join('; ')}`, '');
      }
    }
    await sealBackup(universeEngine, context, {
      ref: context.ref,
      source,
      readPoint,
      pipelineHash: 'rig',
      startedAt: new Date().toISOString(),
    });
    return await readManifest(store, context.ref);
  } finally {
    await held?.close();
  }
}

let turns = 0;

/** One of those who poll the queue. */
async function onAgent<T>({ agents }: Rig, node: string, work: (agent: NodeAgent) => Promise<T>): Promise<T> {
  const pollers = agents.get(node) ?? [];
  turns += 1;
  const agent = pollers[turns % Math.max(1, pollers.length)];
  if (agent === undefined) throw permanent('TIMED_OUT', `${node} has no agent that answers`, '');
  return patiently(() => onNode(node, () => work(agent)));
}

/** What became of a restore, and whether `restore_snapshot` was begun. */
export type RigOutcome =
  | { readonly outcome: RestoreOutcome; readonly error?: undefined }
  | { readonly error: HoldfastError; readonly outcome?: undefined };

export async function restore(
  rig: Rig,
  backup: { readonly ref: BackupRef; readonly manifest: Manifest },
  into: Readonly<Record<string, string>>,
  /** Called when everything is placed, right before `restore_snapshot`. */
  placed: (restore: UniverseRestore) => Promise<void> = async () => undefined,
  /** Called when the universe has restored, right before the comparison. */
  restored: (working: string | undefined) => Promise<unknown> = async () => undefined,
  /** `finishes`: attempts to end it, as where workers die before they have told how it ended. The rest is what the request says besides. */
  {
    replace = false,
    finishes = 1,
    ...wishes
  }: Partial<Omit<RestoreRequest, 'source'>> & { readonly finishes?: number } = {},
): Promise<RigOutcome> {
  const request: RestoreRequest & { readonly source: UniverseSource } = {
    restore: `r${Math.random().toString(36).slice(2, 10)}`,
    from: backup.ref,
    source: rig.source,
    ...PLAIN_RESTORE,
    into,
    replace,
    scratch: false,
    parallelism: 1,
    ...wishes,
  };
  const context: UniverseRestore = {
    ...contextOf(rig, backup.ref),
    manifest: backup.manifest,
    request,
  };
  let quiet: Awaited<ReturnType<typeof beQuiet>> | undefined;
  try {
    await inspect(rig, await patiently(() => planUniverseRestore(context)), () =>
      patiently(() => planUniverseRestore(context)),
    );
    quiet = await patiently(() => beQuiet(context));
    await patiently(() => prepareUniverse(context));
    let before = '';
    for (let round = 0; ; round += 1) {
      if (round === 5) throw permanent('RESTORE_NOT_SETTLED', 'replicas still come and go', '');
      const fills = await patiently((attempt) => placeFills({ ...context, attempt }, round));
      if (fills.fingerprint === before && (await eachBatch(rig, context, round, fills.shards, 'check')) === 0)
        break;
      before = fills.fingerprint;
      await eachBatch(rig, context, round, fills.shards, 'fill');
    }
    await placed(context);
    await patiently(() => restoreAll(context));
    await restored(restoredDatabases(context)[0]?.to);
    let outcome = await patiently(() => finishUniverse(context));
    for (let again = 1; again < finishes; again += 1)
      outcome = await patiently(() => finishUniverse(context));
    await quiet.release();
    await forgetRestore(context);
    return { outcome };
  } catch (error) {
    await quiet?.release();
    await discardUniverse(context);
    if (!(error instanceof HoldfastError)) throw error;
    return { error };
  }
}

async function inspect(
  rig: Rig,
  { nodes, inspections = {}, bytesPerNode }: UniverseRestorePlan,
  planAgain?: () => Promise<UniverseRestorePlan>,
): Promise<void> {
  const problems: string[] = [];
  for (const node of nodes) {
    try {
      const inspection = inspections[node] ?? {};
      const report = await onAgent(rig, node, (agent) =>
        inspectNode(agent, inspection, new AbortController().signal),
      );
      if (report.missing !== undefined && planAgain !== undefined) return inspect(rig, await planAgain());
      problems.push(...unreadiness(node, report, inspection, bytesPerNode));
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      problems.push(`${node}: ${error.message}`);
    }
  }
  if (problems.length > 0) throw permanent('RESTORE_NODES_NOT_READY', problems.join('; '), '');
}

async function eachBatch(
  rig: Rig,
  restore: UniverseRestore,
  round: number,
  shards: number,
  what: 'fill' | 'check',
): Promise<number> {
  let unfilled = 0;
  for (let batch = 0; batch < shards; batch += 1) {
    unfilled += await eachPair(rig, restore, round, batch, what);
  }
  return unfilled;
}

async function eachPair(
  rig: Rig,
  restore: UniverseRestore,
  round: number,
  batch: number,
  what: 'fill' | 'check',
): Promise<number> {
  let unfilled = 0;
  const { nodes, tables, tablets, servers } = await readFillBatch(restore, round, batch);
  for (const [place, node] of nodes.entries()) {
    const fills = tablets
      .filter(({ nodes: places }) => places.includes(place))
      .map(({ id, from, list, table }) => ({
        tablet: id,
        from,
        list,
        ...(tables[table] ?? { table: '', snapshot: '' }),
      }));
    if (fills.length === 0) continue;
    const server = servers?.[place];
    const asked = { tablets: fills, limits: LIMITS, ...(server === undefined ? {} : { server }) };
    unfilled += await onAgent(rig, node, async (agent) =>
      what === 'fill'
        ? (await fillTablets(agent, restore, restore.manifest, asked)).left.length
        : (await unfilledTablets(agent, restore, restore.manifest, asked)).length,
    );
  }
  return unfilled;
}

export async function deadServers(universe: Universe): Promise<readonly string[]> {
  return (await universe.view()).tservers.flatMap(({ diedOf }) => (diedOf === undefined ? [] : [diedOf]));
}
