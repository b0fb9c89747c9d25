import { ycqlEngine } from '../../engines/ycql/engine.ts';
import type { DataObject } from '../../model/backup.ts';
import { forEachBounded } from '../../repository/bounded.ts';
import { manifestOf } from '../support/engine-runs.ts';
import { backupContext, createRepository, restoreContext, ycqlSource } from './harness.ts';

/**
 * What a worker does, in a process of its own: saves one table of `large` and restores it, with two slots at work, and tells how much
 * memory that took.
 */
const [port, table] = process.argv.slice(2);
const PARALLELISM = 2;
const repository = await createRepository();
try {
  const cluster = { contactPoints: ['127.0.0.1'], port: Number(port), localDataCenter: 'datacenter1' };
  const source = ycqlSource(cluster, {
    keyspaces: { include: ['large'], exclude: [] },
    tables: { include: [`large.${table}`], exclude: [] },
    chunkBytes: 64 * 1024 * 1024,
    load: { inFlightPerNode: 4, pageRows: 5_000 },
  });
  const context = backupContext(repository);
  const { readPoint } = await ycqlEngine.openReadPoint(context, source, 1);
  const exported = await ycqlEngine.export(context, source, readPoint);
  const objects: DataObject[] = [];
  await forEachBounded(exported.chunks, PARALLELISM, async (chunk) => {
    objects.push(...(await ycqlEngine.upload(context, source, readPoint, [chunk], { zstdLevel: 1 })));
  });
  const manifest = manifestOf(context, source, readPoint, exported, objects);
  const backup = { source, context, manifest, objects, readPoint };
  const savedBytes = process.resourceUsage().maxRSS * 1024;

  const restore = restoreContext(backup, { into: { large: `large_${table}` }, check: 'content' });
  const { tasks } = await ycqlEngine.restore.plan(restore);
  await ycqlEngine.restore.prepare(restore);
  await forEachBounded(Array(tasks).keys(), PARALLELISM, async (task) => {
    await ycqlEngine.restore.load(restore, task);
  });
  const loadedBytes = process.resourceUsage().maxRSS * 1024;
  const { problems } = await ycqlEngine.restore.finish(restore);
  // maxRSS is in kibibytes.
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  const told = {
    savedBytes,
    loadedBytes,
    peakBytes,
    chunks: exported.chunks.length,
    tasks,
    problems,
    rows: manifest.totals.rows,
  };
  process.stdout.write(`${JSON.stringify(told)}\n`);
} finally {
  await repository.remove();
}
process.exit(0);
