import type { RestoreContext, RestoreOutcome } from '../../engine.ts';
import { whileBeating } from '../../heartbeat.ts';
import { withSession } from '../session.ts';
import { checkKeyspace } from './check.ts';
import { restoreJob, selectedObjects } from './job.ts';
import { Journal } from './journal.ts';

/**
 * Puts counters right, compares with the manifest, and removes the journals when all is as it should be. With a difference
 * everything stays, journal and all. Where a journal is gone, an earlier attempt of this step had found no difference.
 */
export async function finish(context: RestoreContext): Promise<RestoreOutcome> {
  const job = await restoreJob(context);
  const problems = await whileBeating(context, () =>
    withSession(context, job.target, job.source, async (session) => {
      const found: string[] = [];
      const journals = job.keyspaces.map(({ to }) => new Journal(session, to, context.signal));
      for (const [index, keyspace] of job.keyspaces.entries()) {
        const noted = await journals[index]?.find();
        if (noted !== undefined) found.push(...(await checkKeyspace(job, keyspace, session, noted)));
      }
      // A rehearsal's keyspaces are dropped as a whole, by what their journal says.
      if (found.length === 0 && !context.request.scratch) {
        for (const journal of journals) await journal.drop();
      }
      return found;
    }),
  );
  const objects = await selectedObjects(job);
  return {
    databases: job.keyspaces.map(({ schema, to }) => ({ from: schema.keyspace, to })),
    rows: objects.reduce((sum, { rows }) => sum + rows, 0),
    tables: job.keyspaces.reduce((sum, { tables }) => sum + tables.length, 0),
    problems,
  };
}
