import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Manifest } from '../../model/manifest.ts';
import type { CompiledPlan } from '../../model/pipeline.ts';
import { findManifest, readNamedObjects } from '../../repository/backups/manifest.ts';
import { type BackupId, backupFolder, MANIFEST_NAME } from '../../repository/layout.ts';
import { openStore } from '../../repository/open.ts';
import type { Store } from '../../repository/store.ts';
import type { Stage } from './stage.ts';

/** Sessions that are about to end have so long to do it. */
const SETTLED_WITHIN_MS = 30_000;

/** Databases, sessions, prepared transactions, slots and workflows that are there now and were not before. */
export async function leftRunning(stage: Stage, databases: readonly string[]): Promise<readonly string[]> {
  const deadline = Date.now() + SETTLED_WITHIN_MS;
  for (;;) {
    const found = await lookAround(stage, databases);
    if (found.length === 0 || Date.now() > deadline) return found;
    await sleep(500);
  }
}

async function lookAround(stage: Stage, databases: readonly string[]): Promise<readonly string[]> {
  const known = databases.map((name) => `'${name.replaceAll("'", "''")}'`).join(', ');
  const rows = await stage.admin<{ left: string }>(
    `SELECT 'database ' || datname AS left FROM pg_database WHERE datname NOT IN (${known})
     UNION ALL SELECT 'session ' || application_name || ' (' || coalesce(state, '') || '): ' || left(query, 80) FROM pg_stat_activity
       WHERE application_name ~ 'holdfast|pg_dump|pg_restore'
     UNION ALL SELECT 'prepared transaction ' || gid FROM pg_prepared_xacts
     UNION ALL SELECT 'replication slot ' || slot_name FROM pg_replication_slots`,
  );
  const found = rows.map(({ left }) => `left behind: ${left}`);
  const query = 'ExecutionStatus="Running"';
  for await (const { workflowId } of stage.client.client.workflow.list({ query })) {
    found.push(`still running: ${workflowId}`);
  }
  return found;
}

/** What a look into the repository tells of a backup. */
export interface Found {
  readonly problems: readonly string[];
  /** Of a backup that is there. */
  readonly manifest?: Manifest;
}

/** Looks for a complete backup's manifest and everything that it names, and nothing else. */
export async function inspectComplete(stage: Stage, plan: CompiledPlan, backup: string): Promise<Found> {
  return await inStore(stage, plan, async (store) => {
    const ref = { plan: plan.name, backup };
    const stored = await findManifest(store, ref);
    if (stored === undefined) return { problems: [`there is no manifest of backup ${backup}`] };
    const { manifest } = stored;
    const keys = await keysOf(store, ref);
    const missing: string[] = [];
    for await (const { entry } of readNamedObjects(store, manifest)) {
      if (!keys.delete(entry.key)) missing.push(`${entry.key} is named by the manifest, and not there`);
    }
    return { problems: [...missing, ...unwanted(keys)], manifest };
  });
}

/** Looks for anything at all of a backup that failed. */
export async function leftOfFailed(
  stage: Stage,
  plan: CompiledPlan,
  backup: string,
): Promise<readonly string[]> {
  return await inStore(stage, plan, async (store) =>
    unwanted(await keysOf(store, { plan: plan.name, backup })),
  );
}

async function inStore<T>(stage: Stage, plan: CompiledPlan, look: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore(plan.pipeline.repository, async (reference) => {
    const name = 'env' in reference ? reference.env : '';
    return name === 'CRASH_S3_KEY' ? stage.gateway.accessKeyId : stage.gateway.secretAccessKey;
  });
  try {
    return await look(store);
  } finally {
    await store.close();
  }
}

/** Keys in a backup's folder but for the manifest: in its place a tombstone keeps late writers from finishing a backup that was given up. */
async function keysOf(store: Store, ref: BackupId): Promise<Set<string>> {
  const folder = backupFolder(ref);
  const keys = new Set<string>();
  for await (const { key } of store.list(folder)) keys.add(key.slice(folder.length));
  keys.delete(MANIFEST_NAME);
  return keys;
}

function unwanted(keys: ReadonlySet<string>): readonly string[] {
  if (keys.size === 0) return [];
  return [`left in the repository: ${keys.size} objects, e.g. ${[...keys].slice(0, 3).join(', ')}`];
}

/** Bytes of table data of one epoch that were sent, and the most that were sent of one object. `received` is by key. */
export function dataSent(
  received: ReadonlyMap<string, number>,
  backup: string,
  epoch: number,
): { readonly sent: number; readonly largestObject: number } {
  const bytes = [...received]
    .filter(([key]) => key.includes(`/${backup}/data/e${epoch}/`))
    .map(([, sent]) => sent);
  return { sent: bytes.reduce((sum, one) => sum + one, 0), largestObject: Math.max(0, ...bytes) };
}

/** Lines by which the schemas of two databases differ, as pg_dump writes them. */
export async function schemaDifferences(
  stage: Stage,
  source: string,
  restored: string,
): Promise<readonly string[]> {
  const [wanted, found] = await Promise.all([schemaOf(stage, source), schemaOf(stage, restored)]);
  const missing = [...wanted].filter((line) => !found.has(line));
  const added = [...found].filter((line) => !wanted.has(line));
  if (missing.length + added.length === 0) return [];
  return [
    `the schema differs: missing ${missing.slice(0, 5).join(' | ')}; added ${added.slice(0, 5).join(' | ')}`,
  ];
}

async function schemaOf(stage: Stage, database: string): Promise<ReadonlySet<string>> {
  const { stdout } = await promisify(execFile)(
    join(stage.postgres.binDirectory, 'pg_dump'),
    ['--schema-only', `--dbname=${stage.postgres.url(database)}`],
    { maxBuffer: 64 * 1024 * 1024 },
  );
  // Random from one run to the next.
  return new Set(stdout.split('\n').filter((line) => !/^\\(un)?restrict /.test(line)));
}
