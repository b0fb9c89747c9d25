import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FillPlan } from '../../../model/backup.ts';
import { permanent, transient } from '../../../model/errors.ts';
import { type FillBatch, TABLETS_PER_FILL } from '../../../model/tablets.ts';
import { packJson, unpackJson } from '../../../repository/objects/packed-json.ts';
import { readTabletList } from '../../../repository/objects/tablet-lists.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import { readTablets } from '../entities.ts';
import { wholeReplicas } from '../placement.ts';
import { serversByAddress } from '../servers.ts';
import { openUniverse } from '../universe.ts';
import {
  listTabletServers,
  type Tablet,
  type TabletReplica,
  type TabletServer,
} from '../yb-admin/topology.ts';
import { folderOf, type RestoredDatabase, restoredDatabases, type UniverseRestore } from './context.ts';
import { requireImported } from './prepare.ts';

interface Fill {
  readonly id: string;
  readonly from: string;
  readonly list: number;
  readonly bytes: number;
  readonly table: string;
  readonly snapshot: string;
  readonly nodes: readonly Place[];
}

interface Saved {
  /** Index of the manifest's list that names the tablet. */
  readonly list: number;
  readonly table: string;
  readonly bytes: number;
}

/** Where a replica is. */
interface Place {
  readonly address: string;
  /** UUID of the tablet server. */
  readonly server: string;
}

const count = z.int().nonnegative();
const batchSchema: z.ZodType<FillBatch> = z.object({
  nodes: z.array(z.string()),
  servers: z.array(z.string()).exactOptional(),
  tables: z.array(z.object({ table: z.string(), snapshot: z.string() })),
  tablets: z.array(
    z.object({ id: z.string(), from: z.string(), list: count, table: count, nodes: z.array(count) }),
  ),
});

/**
 * Finds where every replica of every imported tablet is now, and writes down, in batches, which files belong on which node.
 *
 * @throws HoldfastError `RESTORE_IMPORT_INCOMPLETE` (permanent) if the universe imported less than the backup holds; `TABLETS_MOVING` (transient)
 * while a replica is being copied, or a tablet has none, and `RESTORE_NOT_SETTLED` (permanent) after the last such attempt; `RESTORE_TABLET_SPLIT`
 * (permanent) if other tablets took the place of an imported one; `RESTORE_TABLET_MISSING` (permanent) if the backup has no files of a tablet
 */
export async function placeFills(restore: UniverseRestore, round: number): Promise<FillPlan> {
  const universe = await openUniverse(restore, restore.request.source);
  const saved = await savedTablets(restore);
  const servers = await listTabletServers(universe.admin);
  const fills: Fill[] = [];
  for (const database of restoredDatabases(restore)) {
    if (database.snapshot.metadata === undefined) continue;
    const imported = await requireImported(restore, universe, database);
    requireWholeImport(database, saved, new Set(imported.tablets.map(({ from }) => from)));
    const tables = new Set(imported.tablets.map(({ table }) => table));
    const now = await readTablets(universe.admin, universe.masterWebAddresses, tables, restore.signal);
    const byId = new Map(now.map((tablet) => [tablet.id, tablet]));
    requireUnsplit(database.to, imported.tablets, now);
    for (const { from, to, table } of imported.tablets) {
      const known = saved.get(from);
      if (known === undefined) {
        throw permanent(
          'RESTORE_TABLET_MISSING',
          `The universe asks for the tablet ${from} of ${database.from}, of which the backup has no files`,
          'Restore from another backup, and report this.',
        );
      }
      const nodes = placesOf(byId.get(to), to, servers, restore.attempt);
      fills.push({
        id: to,
        from,
        list: known.list,
        bytes: known.bytes,
        table,
        snapshot: imported.snapshot,
        nodes,
      });
    }
  }
  const batches: Fill[][] = [];
  for (let start = 0; start < fills.length; start += TABLETS_PER_FILL) {
    batches.push(fills.slice(start, start + TABLETS_PER_FILL));
  }
  for (const [index, batch] of batches.entries()) {
    const body = await packJson(packFills(batch));
    const key = batchKey(restore, round, index);
    await restore.store.put(key, body, { sha256: sha256Hex(body), ifAbsent: false, signal: restore.signal });
  }
  const pairs = fills.flatMap(({ id, nodes }) =>
    nodes.map(({ address, server }) => `${id} ${address} ${server}`),
  );
  return {
    shards: batches.length,
    pairs: pairs.length,
    bytes: fills.reduce((sum, { bytes, nodes }) => sum + bytes * nodes.length, 0),
    fingerprint: createHash('sha256').update(pairs.sort().join('\n')).digest('hex').slice(0, 16),
  };
}

/** Reads a batch that `placeFills` wrote. */
export async function readFillBatch(
  restore: UniverseRestore,
  round: number,
  batch: number,
): Promise<FillBatch> {
  const key = batchKey(restore, round, batch);
  const { store, signal } = restore;
  return unpackJson(await store.get(key, { signal }), batchSchema, key, store.description);
}

function batchKey(restore: UniverseRestore, round: number, batch: number): string {
  return `${folderOf(restore)}fill-${round}-${batch.toString().padStart(5, '0')}.json.zst`;
}

/** Which list of the manifest names each tablet. */
async function savedTablets(restore: UniverseRestore) {
  const { manifest, store, ref, signal } = restore;
  const saved = new Map<string, Saved>();
  for (const [list, entry] of (manifest.tablets?.lists ?? []).entries()) {
    const { tablets } = await readTabletList(store, ref, entry, { signal });
    for (const { tablet, table, files } of tablets) {
      saved.set(tablet, { list, table, bytes: files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) });
    }
    restore.heartbeat({ tablets: saved.size });
  }
  return saved;
}

/**
 * Makes sure that every saved tablet of the database was imported. Releases since 2025.1 silently skip tables that they don't find, which after a
 * dump without YugabyteDB's metadata are all of them. The restore would then succeed, with empty tables.
 */
function requireWholeImport(
  { snapshot, to, api }: RestoredDatabase,
  saved: ReadonlyMap<string, Saved>,
  imported: ReadonlySet<string>,
): void {
  const names = new Map(
    snapshot.tables
      // Backups of earlier versions don't mark tables that the catalogue didn't know (`skipped`).
      .filter(
        ({ id, schema, skipped }) => !skipped && !(api === 'ysql' && schema === '' && !id.includes('.')),
      )
      .map(({ id, schema, name }) => [id, schema === '' ? name : `${schema}.${name}`]),
  );
  const missing = new Set<string>();
  for (const [tablet, { table }] of saved) {
    const name = names.get(table);
    if (name !== undefined && !imported.has(tablet)) missing.add(name);
  }
  const [first] = missing;
  if (first === undefined) return;
  throw permanent(
    'RESTORE_IMPORT_INCOMPLETE',
    `The universe imported into "${to}" tablets of ${names.size - missing.size} of ${names.size} tables of the backup, and not all of ${[...missing].slice(0, 5).join(', ')}`,
    'Nothing was restored. See that the backup’s schema was dumped by the universe’s own ysql_dump (holdfast doctor; RESTORE.md tells which script it is), and the log of the leading master.',
  );
}

/** How often a tablet that moves is looked at, which with the pauses in between takes about five minutes. A move takes seconds to minutes. */
const LOOKS_AT_MOVING = 15;

function placesOf(
  tablet: Tablet | undefined,
  id: string,
  servers: readonly TabletServer[],
  attempt: number,
): readonly Place[] {
  const whole = tablet === undefined ? [] : wholeReplicas(tablet);
  const places = whole.flatMap((replica) => placeOf(replica, servers) ?? []);
  if (tablet !== undefined && places.length > 0 && places.length === tablet.replicas.length) return places;
  const message =
    tablet === undefined || tablet.replicas.length === 0
      ? `The tablet ${id} has no replica (yet, or it was replaced)`
      : whole.length === tablet.replicas.length
        ? `A replica of the tablet ${id} is on a tablet server that the masters do not list`
        : `A replica of the tablet ${id} is being copied`;
  if (attempt < LOOKS_AT_MOVING) throw transient('TABLETS_MOVING', message, 'The universe is asked again.');
  throw permanent(
    'RESTORE_NOT_SETTLED',
    `${message}, and that is so for minutes`,
    'See the masters’ page of tablets that are not whole (http://MASTER:7000/tablet-replication), and start the restore again.',
  );
}

/** Where a replica is; undefined if the masters don't list its server. Old builds don't name a replica's server, so its address is looked up. */
function placeOf({ server, address }: TabletReplica, servers: readonly TabletServer[]): Place | undefined {
  const named = server === '' ? serversByAddress(servers).get(address) : server;
  return named !== undefined && servers.some(({ uuid }) => uuid === named)
    ? { address, server: named }
    : undefined;
}

/**
 * Makes sure that no imported tablet was split or replaced. A restore knows the tablets by the ids that the import printed. If the table has others
 * instead, no later look would find those ids again.
 */
function requireUnsplit(
  to: string,
  imported: readonly { readonly to: string; readonly table: string }[],
  now: readonly Tablet[],
): void {
  const known = new Set(imported.map((tablet) => tablet.to));
  const present = new Set(now.map(({ id }) => id));
  const strangers = new Set(now.filter(({ id }) => !known.has(id)).map(({ tableId }) => tableId));
  const gone = imported.find(({ to: id, table }) => !present.has(id) && strangers.has(table));
  if (gone === undefined) return;
  throw permanent(
    'RESTORE_TABLET_SPLIT',
    `The tablet ${gone.to} that was imported for ${to} was split or replaced, although splitting was held`,
    'Start the restore again; switch enable_automatic_tablet_splitting off on the masters meanwhile if it happens again.',
  );
}

function packFills(fills: readonly Fill[]): FillBatch {
  const places = new Map(
    fills.flatMap((fill) => fill.nodes).map((place) => [`${place.address} ${place.server}`, place]),
  );
  const indexOf = new Map([...places.keys()].map((key, index) => [key, index]));
  const tables = [...new Map(fills.map(({ table, snapshot }) => [table, { table, snapshot }])).values()];
  const placeOfTable = new Map(tables.map(({ table }, place) => [table, place]));
  return {
    nodes: [...places.values()].map(({ address }) => address),
    servers: [...places.values()].map(({ server }) => server),
    tables,
    tablets: fills.map((fill) => ({
      id: fill.id,
      from: fill.from,
      list: fill.list,
      table: placeOfTable.get(fill.table) ?? 0,
      nodes: fill.nodes.map(({ address, server }) => indexOf.get(`${address} ${server}`) ?? 0),
    })),
  };
}
