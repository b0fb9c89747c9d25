import { createRepository, restoreContext, runRestore, takeBackup, ycqlSource } from './harness.ts';

/** What a worker does, in a process of its own: saves one table of `large` and restores it, and tells how much memory that took. */
const [port, table] = process.argv.slice(2);
const repository = await createRepository();
try {
  const cluster = { contactPoints: ['127.0.0.1'], port: Number(port), localDataCenter: 'datacenter1' };
  const source = ycqlSource(cluster, {
    keyspaces: { include: ['large'], exclude: [] },
    tables: { include: [`large.${table}`], exclude: [] },
    chunkBytes: 64 * 1024 * 1024,
    load: { inFlightPerNode: 4, pageRows: 5_000 },
  });
  const backup = await takeBackup(repository, source);
  const { problems } = await runRestore(
    restoreContext(backup, { into: { large: `large_${table}` }, check: 'content' }),
  );
  // maxRSS is in kibibytes.
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  process.stdout.write(`${JSON.stringify({ peakBytes, problems, rows: backup.manifest.totals.rows })}\n`);
} finally {
  await repository.remove();
}
process.exit(0);
