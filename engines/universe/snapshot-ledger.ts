import { z } from 'zod';
import { defined } from '../../model/defined.ts';
import { snapshotLedgerFolder } from '../../repository/layout.ts';
import { liveNotes } from '../../repository/notes.ts';
import { getTrustedIfThere, putSigned, replaceSigned } from '../../repository/signing/signed-object.ts';
import type { BackupContext } from '../engine.ts';
import type { DatabaseName } from './universe.ts';

/**
 * What was begun in a universe for a backup. It is written into the repository before and after each `create_…_snapshot`. A worker that is killed
 * in between leaves the intent, from which the next one finds the snapshot. Entries are deleted with their snapshots.
 */
export interface SnapshotIntent {
  readonly epoch: number;
  readonly database: string;
  readonly api: DatabaseName['api'];
  /** Numbers the snapshots of one epoch; the earlier ones failed. */
  readonly attempt: number;
  /** Ids of all snapshots that existed before. */
  readonly before: readonly string[];
  readonly catalogVersion?: string;
  readonly at: string;
}

const intentSchema: z.ZodType<SnapshotIntent> = z.object({
  epoch: z.int(),
  database: z.string(),
  api: z.enum(['ysql', 'ycql']),
  attempt: z.int(),
  before: z.array(z.string()),
  catalogVersion: z.string().exactOptional(),
  at: z.string(),
});

const createdSchema = z.object({ snapshot: z.string() });

/** An intent, and the snapshot that came of it. */
export interface LedgerEntry {
  readonly intent: SnapshotIntent;
  /** Id of the snapshot. Absent while nobody knows whether the universe has it. */
  readonly snapshot?: string;
  /** The common prefix of its keys. */
  readonly name: string;
  readonly keys: readonly string[];
}

const INTENT = '.intent.json';
const CREATED = '.created.json';

/**
 * The live entries of a backup, in the order of epochs and attempts. In a signed repository, what no trusted key signed is passed over: a forger could have
 * anybody's snapshot taken for the backup's, or deleted.
 */
export async function readLedger({ store, ref, signal }: BackupContext): Promise<readonly LedgerEntry[]> {
  const folder = snapshotLedgerFolder(ref);
  const all = await Array.fromAsync(store.list(folder, { signal }), ({ key }) => key);
  const keys = liveNotes(all).toSorted();
  const entries: LedgerEntry[] = [];
  for (const key of keys.filter((name) => name.endsWith(INTENT))) {
    const intent = await getTrustedIfThere(store, key, intentSchema, { signal });
    if (intent === undefined) continue;
    const createdKey = key.replace(INTENT, CREATED);
    const created = keys.includes(createdKey)
      ? await getTrustedIfThere(store, createdKey, createdSchema, { signal })
      : undefined;
    entries.push({
      intent,
      ...defined({ snapshot: created?.snapshot }),
      name: key.slice(0, -INTENT.length),
      keys: created === undefined ? [key] : [key, createdKey],
    });
  }
  return entries;
}

/** Writes the intent, before the snapshot is asked for. `index` is that of the database among the plan's. */
export async function writeIntent(
  context: BackupContext,
  index: number,
  intent: SnapshotIntent,
): Promise<void> {
  await write(context, entryKey(context, index, intent) + INTENT, intent, intentSchema);
}

/** Writes the id of the snapshot that came of the intent. */
export async function writeCreated(
  context: BackupContext,
  index: number,
  intent: SnapshotIntent,
  snapshot: string,
): Promise<void> {
  await write(context, entryKey(context, index, intent) + CREATED, { snapshot }, createdSchema);
}

/** Writes a part of an entry unless it is there. What no trusted key signed is replaced. */
async function write(
  { store, signal }: BackupContext,
  key: string,
  value: object,
  schema: z.ZodType,
): Promise<void> {
  if ((await putSigned(store, key, value, { signal })) === 'created') return;
  if ((await getTrustedIfThere(store, key, schema, { signal })) !== undefined) return;
  await replaceSigned(store, key, value, { signal });
}

function entryKey({ ref }: BackupContext, index: number, { epoch, attempt }: SnapshotIntent): string {
  const padded = (value: number) => value.toString().padStart(4, '0');
  return `${snapshotLedgerFolder(ref)}e${padded(epoch)}-${padded(index)}-${padded(attempt)}`;
}
