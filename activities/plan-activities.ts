import type { Client } from '@temporalio/client';
import type { VerbContext } from '../engines/engine.ts';
import { inClusterSources } from '../engines/universe/in-cluster/recovery.ts';
import { archiveSources } from '../engines/ysql/archive/sources.ts';
import { archiveStandings } from '../engines/ysql/archive/window.ts';
import { messageOf } from '../model/errors.ts';
import type { UniverseSource } from '../model/pipeline.ts';
import type { RecoverySource } from '../model/recovery.ts';
import { planRecovery } from '../planning/recovery/plan.ts';
import { scheduleIdsOf } from '../planning/schedules.ts';
import { surveyOf } from '../planning/survey.ts';
import { recordAct } from '../repository/audit.ts';
import { readManifest } from '../repository/backups/manifest.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { findRepository } from '../repository/repository.ts';
import type { Activities } from './contract.ts';
import type { Repositories } from './repositories.ts';
import { asActivity } from './run-activity.ts';
import { reconcileSchedules, surveySchedules } from './schedules.ts';

/** Most instants in a survey, so that it fits into a page and into a workflow's state. */
const MAX_INSTANTS = 200;

/**
 * What a plan's entity asks of storage and of Temporal's schedules. Answers are small, since the entity's history collects them for
 * years.
 */
export function planActivities(
  client: Client,
  repositories: Repositories,
): Pick<Activities, 'surveyPlan' | 'decideRestore' | 'reconcileSchedules' | 'recordAct'> {
  return {
    surveyPlan: ({ repository, plan, history }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        const catalogue = await readCatalogue(store, repository, plan, verb);
        const schedules = await surveySchedules(client, scheduleIdsOf(plan));
        const inCluster = history === undefined ? [] : await historyFor(verb, history);
        const archives = await archiveSources(store, plan, catalogue.entries, verb);
        const survey = surveyOf(catalogue, [...inCluster, ...archives], schedules);
        const { window } = survey;
        const archive = await archiveStandings(store, plan, verb);
        return {
          ...survey,
          ...(archive.length === 0 ? {} : { archive }),
          window: { ...window, instants: window.instants.slice(-MAX_INSTANTS) },
        };
      }),

    decideRestore: ({ repository, plan, history, request, measurements }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        const { entries, total } = await readCatalogue(store, repository, plan, verb);
        const inCluster =
          history === undefined || request.to === undefined ? [] : await historyFor(verb, history);
        const archives = await archiveSources(store, plan, entries, verb);
        const sources = [...inCluster, { kind: 'backups' as const, entries, total }, ...archives];
        const decision = planRecovery(sources, request, { now: new Date(), measurements });
        if (decision.kind === 'refused') return { decision, databases: [] };
        if ('schedule' in decision) return { decision, databases: databasesOf(history) };
        const manifest = await readManifest(store, { plan, backup: decision.backup }, verb);
        return { decision, databases: manifest.databases.map(({ name }) => name) };
      }),

    recordAct: ({ repository, plan, act }) =>
      asActivity(async ({ signal }) => {
        const store = await repositories.look(repository);
        if ((await findRepository(store)) !== undefined) await recordAct(store, plan, act, { signal });
      }),

    reconcileSchedules: (input) => asActivity(() => reconcileSchedules(client, input)),
  };
}

function databasesOf(history: UniverseSource | undefined): readonly string[] {
  return history === undefined ? [] : [...history.databases, ...history.keyspaces];
}

/** What the universe's own history can bring back. If the universe can't be asked, only backups remain. */
async function historyFor(verb: VerbContext, source: UniverseSource): Promise<readonly RecoverySource[]> {
  try {
    return await inClusterSources(verb, source);
  } catch (error) {
    verb.signal.throwIfAborted();
    verb.log("the universe's own history can't be looked at", { reason: messageOf(error) });
    return [];
  }
}
