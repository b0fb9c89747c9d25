import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FillPlan } from '../../../model/backup.ts';
import { permanent, transient } from '../../../model/errors.ts';
import { type FillShard, TABLETS_PER_FILL } from '../../../model/tablets.ts';
import { packJson, unpackJson } from '../../../repository/objects/packed-json.ts';
import { readTabletList } from '../../../repository/objects/tablet-lists.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { readTablets } from '../entities.ts';
import { wholeReplicas } from '../placement.ts';
import { openUniverse } from '../universe.ts';
import type { Tablet } from '../yb-admin/topology.ts';
import { folderOf, restoredDatabases, type UniverseRestore } from './context.ts';
import { requireImported } from './prepare.ts';

interface Fill {
  readonly id: string;
  readonly from: string;
  readonly list: number;
  readonly bytes: number;
  readonly table: string;
  readonly snapshot: string;
  readonly nodes: readonly string[];
}

const count = z.int().nonnegative();
const shardSchema: z.ZodType<FillShard> = z.object({
  nodes: z.array(z.string()),
  tables: z.array(z.object({ table: z.string(), snapshot: z.string() })),
  tablets: z.array(
    z.object({ id: z.string(), from: z.string(), list: count, table: count, nodes: z.array(count) }),
  ),
});

/**
 * Looks where every replica of every imported tablet is now, and writes down, in shards, what belongs on which node. Throws
 * `TABLETS_MOVING` (transient) while a replica is being copied, or a tablet has none.
 */
export async function placeFills(restore: UniverseRestore, round: number): Promise<FillPlan> {
  const universe = await openUniverse(restore, restore.request.source);
  const saved = await savedTablets(restore);
  const fills: Fill[] = [];
  for (const database of restoredDatabases(restore)) {
    if (database.snapshot.metadata === undefined) continue;
    const imported = await requireImported(restore, universe, database);
    const tables = new Set(imported.tablets.map(({ table }) => table));
    const now = await readTablets(universe.admin, universe.masterWebAddresses, tables, restore.signal);
    const byId = new Map(now.map((tablet) => [tablet.id, tablet]));
    for (const { from, to, table } of imported.tablets) {
      const known = saved.get(from);
      if (known === undefined) {
        throw permanent(
          'RESTORE_TABLET_MISSING',
          `The universe asks for the tablet ${from} of ${database.from}, of which the backup has no files`,
          'Restore from another backup, and report this.',
        );
      }
      const nodes = replicasOf(byId.get(to), to);
      fills.push({ id: to, from, ...known, table, snapshot: imported.snapshot, nodes });
    }
  }
  const shards: Fill[][] = [];
  for (let start = 0; start < fills.length; start += TABLETS_PER_FILL) {
    shards.push(fills.slice(start, start + TABLETS_PER_FILL));
  }
  for (const [index, shard] of shards.entries()) {
    const body = await packJson(packFills(shard));
    const key = shardKey(restore, round, index);
    await restore.store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false, signal: restore.signal });
  }
  const pairs = fills.flatMap(({ id, nodes }) => nodes.map((node) => `${id} ${node}`));
  return {
    shards: shards.length,
    pairs: pairs.length,
    bytes: fills.reduce((sum, { bytes, nodes }) => sum + bytes * nodes.length, 0),
    fingerprint: createHash('sha256').update(pairs.sort().join('\n')).digest('hex').slice(0, 16),
  };
}

export async function readFillShard(
  restore: UniverseRestore,
  round: number,
  shard: number,
): Promise<FillShard> {
  const key = shardKey(restore, round, shard);
  const { store, signal } = restore;
  return unpackJson(await store.get(key, { signal }), shardSchema, key, store.description);
}

function shardKey(restore: UniverseRestore, round: number, shard: number): string {
  return `${folderOf(restore)}fill-${round}-${shard.toString().padStart(5, '0')}.json.zst`;
}

/** Which list of the manifest tells of each tablet. */
async function savedTablets(restore: UniverseRestore) {
  const { manifest, store, ref, signal } = restore;
  const saved = new Map<string, { readonly list: number; readonly bytes: number }>();
  for (const [list, entry] of (manifest.tablets?.lists ?? []).entries()) {
    const { tablets } = await readTabletList(store, ref, entry, { signal });
    for (const { tablet, files } of tablets) {
      saved.set(tablet, { list, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) });
    }
    restore.heartbeat({ tablets: saved.size });
  }
  return saved;
}

function replicasOf(tablet: Tablet | undefined, id: string): readonly string[] {
  const whole = tablet === undefined ? [] : wholeReplicas(tablet);
  if (tablet !== undefined && whole.length > 0 && whole.length === tablet.replicas.length) {
    return whole.map(({ address }) => address);
  }
  throw transient(
    'TABLETS_MOVING',
    tablet === undefined || tablet.replicas.length === 0
      ? `The tablet ${id} has no replica (yet, or it was replaced)`
      : `A replica of the tablet ${id} is being copied`,
    'The universe is asked again.',
  );
}

function packFills(fills: readonly Fill[]): FillShard {
  const nodes = [...new Set(fills.flatMap((fill) => fill.nodes))];
  const tables = [...new Map(fills.map(({ table, snapshot }) => [table, { table, snapshot }])).values()];
  const placeOfTable = new Map(tables.map(({ table }, place) => [table, place]));
  return {
    nodes,
    tables,
    tablets: fills.map((fill) => ({
      id: fill.id,
      from: fill.from,
      list: fill.list,
      table: placeOfTable.get(fill.table) ?? 0,
      nodes: fill.nodes.map((node) => nodes.indexOf(node)),
    })),
  };
}
