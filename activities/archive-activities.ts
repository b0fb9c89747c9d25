import { randomUUID } from 'node:crypto';
import { activityInfo } from '@temporalio/activity';
import { type Client, WorkflowNotFoundError } from '@temporalio/client';
import type { VerbContext } from '../engines/engine.ts';
import { captureChanges } from '../engines/ysql/archive/capture.ts';
import type { ArchiveContext } from '../engines/ysql/archive/context.ts';
import { closeArchive, openTimeline } from '../engines/ysql/archive/open.ts';
import { nextProof } from '../engines/ysql/archive/proof-plan.ts';
import { protectSource } from '../engines/ysql/archive/protect.ts';
import { verifyArchive } from '../engines/ysql/archive/verify.ts';
import { selectedDatabases } from '../engines/ysql/databases.ts';
import { resolveTarget, withServerSession } from '../engines/ysql/server/session.ts';
import type { ArchiveRequest } from '../model/archive.ts';
import { defined } from '../model/defined.ts';
import { HoldfastError, messageOf } from '../model/errors.ts';
import { damageIn } from '../model/recovery.ts';
import { archivedDatabases, readTimelines } from '../repository/archive/archive.ts';
import { ArchiveLease } from '../repository/archive/lease.ts';
import { putProof } from '../repository/archive/proofs.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { type Activities, ARCHIVE_ENDED, ARCHIVE_WANTED, archiveWorkflowId } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';

/** After this many attempts at a store that is down, about two minutes, a verification gives the verdict INCONCLUSIVE. */
const PATIENT_ATTEMPTS = 8;

/** The activities of a plan's archive of changes. */
export function archiveActivities(
  client: Client,
  repositories: Repositories,
): Pick<
  Activities,
  | 'archiveDatabases'
  | 'openArchive'
  | 'streamArchive'
  | 'closeArchive'
  | 'reconcileArchive'
  | 'verifyArchive'
  | 'planProof'
  | 'recordProof'
> {
  return {
    archiveDatabases: ({ plan, source, repository, policy, known = [] }) =>
      asActivity(async (verb) => {
        const { signal } = verb;
        const names = new Set(known);
        const requests = () => [...names].map((database) => ({ plan, source, repository, policy, database }));
        return await protecting(verb, requests, async () => {
          const target = await resolveTarget(verb, source.connection);
          const wanted = await withServerSession(target, signal, (session) =>
            selectedDatabases(session, target, source),
          );
          for (const database of wanted) names.add(database);
          const store = await repositories.open(repository);
          const others: string[] = [];
          for (const database of await archivedDatabases(store, plan, { signal })) {
            const newest = (await readTimelines(store, { plan, database }, { signal })).at(-1);
            if (!wanted.includes(database) && newest !== undefined && newest.end === undefined)
              others.push(database);
          }
          return { wanted, others };
        });
      }),

    openArchive: (request) =>
      asActivity((verb) =>
        withLease(repositories, verb, request, async (context) => {
          const { timeline } = (await openTimeline(context)).stored;
          const { id, createdAt, previous } = timeline;
          return { timeline: id, since: createdAt, ...defined({ reason: previous?.reason }) };
        }),
      ),

    // Each attempt opens the timeline again: storage says where to go on, not an earlier attempt.
    streamArchive: (request) =>
      asActivity(async (verb) => {
        await protectSource(verb, request);
        return await withLease(repositories, verb, request, async (context) => {
          const opened = await openTimeline(context);
          // The old timeline has ended. The workflow learns of it here, and asks for a base for the next one.
          return opened.ended ?? (await captureChanges(context, opened));
        });
      }),

    closeArchive: (request) => asActivity((verb) => withLease(repositories, verb, request, closeArchive)),

    verifyArchive: ({ repository, plan, level }) =>
      asActivity(async ({ signal, heartbeat: progress, attempt }) => {
        const store = await repositories.look(repository);
        const throwsTransient = attempt < PATIENT_ATTEMPTS;
        return await verifyArchive(store, plan, level, { signal, progress, throwsTransient });
      }),

    planProof: ({ repository, plan }) =>
      asActivity(async ({ signal }) => {
        const store = await repositories.look(repository);
        const { entries } = await readCatalogue(store, repository, plan, { signal });
        const sound = entries.filter((entry) => damageIn(entry) === undefined);
        return await nextProof(store, plan, sound, { signal });
      }),

    recordProof: ({ repository, plan, wish, ...found }) =>
      asActivity(async ({ signal }) => {
        const store = await repositories.open(repository);
        const { base, against, fromMicros, toMicros } = wish;
        const provedAt = new Date().toISOString();
        for (const [database, timeline] of Object.entries(wish.timelines)) {
          const stretch = { plan, database, timeline, base, against, fromMicros, toMicros };
          await putProof(store, { formatVersion: 1, ...stretch, ...found, provedAt }, { signal });
        }
      }),

    reconcileArchive: ({ plan, wanted, taskQueue }) =>
      asActivity(async () => {
        const workflowId = archiveWorkflowId(plan);
        const handle = client.workflow.getHandle(workflowId);
        const isRunning = await runs(handle);
        if (wanted === undefined) {
          if (!isRunning) return [];
          await handle.signal(ARCHIVE_ENDED);
          return [{ schedule: 'archive of changes', done: 'deleted' as const }];
        }
        await client.workflow.signalWithStart('archive', {
          workflowId,
          taskQueue,
          args: [wanted],
          signal: ARCHIVE_WANTED,
          signalArgs: [wanted],
        });
        return isRunning ? [] : [{ schedule: 'archive of changes', done: 'created' as const }];
      }),
  };
}

async function runs(handle: ReturnType<Client['workflow']['getHandle']>): Promise<boolean> {
  try {
    return (await handle.describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}

/** Where `work` fails, nobody streams meanwhile: looks whether the slots keep too much, since the repository may be away for long. */
async function protecting<T>(
  verb: VerbContext,
  requests: () => readonly ArchiveRequest[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    for (const request of verb.signal.aborted ? [] : requests()) {
      try {
        await protectSource(verb, request);
      } catch (unprotected) {
        // The next attempt looks again. What `work` threw matters more.
        verb.log('the replication slot could not be looked at', {
          database: request.database,
          reason: messageOf(unprotected),
        });
        // All of them are on one server. To wait for it once for each would keep the next attempt from beginning.
        if (unprotected instanceof HoldfastError && unprotected.code === 'YSQL_UNAVAILABLE') break;
      }
    }
    throw error;
  }
}

/**
 * Runs `work` with the archive's lease, since only its holder may store anything (C9). The next attempt of the same run takes the
 * lease over from one that died.
 */
async function withLease<T>(
  repositories: Repositories,
  verb: VerbContext,
  request: ArchiveRequest,
  work: (context: ArchiveContext) => Promise<T>,
): Promise<T> {
  return await protecting(
    verb,
    () => [request],
    async () => {
      const store = await repositories.open(request.repository);
      const { workflowExecution, currentAttemptScheduledTimestampMs } = activityInfo();
      const holder = {
        owner: workflowExecution?.runId ?? '',
        token: randomUUID(),
        sinceMs: currentAttemptScheduledTimestampMs,
      };
      const lease = await ArchiveLease.take(store, request, holder, { signal: verb.signal });
      try {
        return await work({ ...verb, request, store, lease });
      } finally {
        // Also after a cancellation. Otherwise the next run would wait until the lease runs out.
        try {
          await lease.release();
        } catch (error) {
          // The lease runs out by itself. What `work` returned or threw matters more.
          verb.log('the lease of the archive could not be given back', { reason: messageOf(error) });
        }
      }
    },
  );
}
