import { hostname } from 'node:os';
import type { BackupSummary, ObjectEntry } from '../../model/backup.ts';
import { permanent } from '../../model/errors.ts';
import { lossesIn } from '../../model/manifest.ts';
import { rowsOf } from '../../model/rows.ts';
import type { TabletList } from '../../model/tablets.ts';
import packageJson from '../../package.json' with { type: 'json' };
import { mapBounded } from '../../repository/bounded.ts';
import { findManifest, type StoredManifest } from '../../repository/manifest.ts';
import { listTabletResults, readTabletResult } from '../../repository/objects/tablet-lists.ts';
import {
  readTabletShard,
  readTabletWorkList,
  type TabletWorkList,
} from '../../repository/objects/tablet-work.ts';
import { sha256Hex } from '../../repository/sha256.ts';
import { sweepBackup } from '../../repository/sweep.ts';
import { writeTabletManifest } from '../../repository/write-manifest.ts';
import type { SealInput } from '../contract.ts';
import type { BackupContext } from '../engine.ts';
import { leftToPrune } from '../left-to-prune.ts';
import { universeKit } from './restore-kit.ts';

const RESULTS_AT_ONCE = 16;
/** In a workflow's history; the manifest has all of them. */
const LOSSES_TOLD = 20;

/**
 * Collects what the agents saved, makes sure that it is every tablet of the list, writes the manifest, and clears the folder.
 * Throws `TABLETS_MISSING` (permanent) naming those that nobody saved.
 */
export async function sealUniverse(context: BackupContext, input: SealInput): Promise<BackupSummary> {
  const { store, ref, signal } = context;
  const finished = await findManifest(store, ref, { signal });
  if (finished !== undefined) return await sealed(context, finished);
  const { readPoint, source, pipelineHash, startedAt } = input;
  const workList = await readTabletWorkList(store, ref, readPoint.epoch, { signal });
  const wanted = await tabletsOf(context, workList);
  const draft = {
    plan: ref.plan,
    backup: ref.backup,
    engine: source.engine,
    pipelineHash,
    writtenBy: { holdfast: packageJson.version, host: hostname() },
    startedAt,
    completedAt: new Date().toISOString(),
    server: workList.server,
    readPoint,
    contents: 'all' as const,
    databases: workList.databases,
    commonObjects: [...workList.commonObjects, ...(await writeKit(context, workList))],
    universe: workList.universe,
  };
  const written = await writeTabletManifest(store, draft, savedLists(context, readPoint.epoch, wanted), {
    signal,
    heartbeat: context.heartbeat,
  });
  return await sealed(context, written);
}

/** Replaces what an earlier attempt left: only a manifest makes it count. */
async function writeKit(
  { store, ref, folder, signal }: BackupContext,
  { server, databases, universe }: TabletWorkList,
): Promise<readonly ObjectEntry[]> {
  const entries: ObjectEntry[] = [];
  for (const { key, text } of universeKit(ref, server.version, databases, universe)) {
    const body = Buffer.from(text);
    const sha256 = sha256Hex(body);
    await store.put(folder + key, body, { sha256, ifAbsent: false, signal });
    entries.push({ key, sizeBytes: body.length, sha256 });
  }
  return entries;
}

async function sealed(context: BackupContext, { manifest, sha256 }: StoredManifest): Promise<BackupSummary> {
  const { store, ref, signal, heartbeat } = context;
  await leftToPrune(context, () => sweepBackup(store, ref, { signal, heartbeat }));
  const losses = lossesIn(manifest).slice(0, LOSSES_TOLD);
  const told = losses.length === 0 ? {} : { losses };
  return {
    plan: ref.plan,
    backup: ref.backup,
    ...manifest.totals,
    ...rowsOf(manifest),
    manifestSha256: sha256,
    ...told,
  };
}

async function tabletsOf(context: BackupContext, { shards }: TabletWorkList): Promise<Set<string>> {
  const tablets = new Set<string>();
  for (const shard of shards) {
    const { tablets: some } = await readTabletShard(context.store, context.ref, shard, {
      signal: context.signal,
    });
    for (const { id } of some) tablets.add(id);
    context.heartbeat();
  }
  return tablets;
}

/** The results in their order, each tablet once: the first result that has it counts. */
async function* savedLists(
  context: BackupContext,
  epoch: number,
  wanted: Set<string>,
): AsyncGenerator<TabletList> {
  const { store, ref, signal } = context;
  const keys = await listTabletResults(store, ref, epoch, { signal });
  const read = (key: string) => readTabletResult(store, key, { signal });
  for await (const list of mapBounded(keys, RESULTS_AT_ONCE, read)) {
    const tablets = list.tablets.filter(({ tablet }) => wanted.delete(tablet));
    context.heartbeat();
    yield { ...list, tablets };
  }
  const [first] = wanted;
  if (first === undefined) return;
  throw permanent(
    'TABLETS_MISSING',
    `${wanted.size} tablets of the snapshot were saved by nobody, the first being ${first}`,
    'Run the backup again, and report this: it is a mistake in Holdfast.',
  );
}
