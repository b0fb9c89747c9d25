import type { Client } from '@temporalio/client';
import { messageOf } from '../model/errors.ts';
import type { UniverseSource } from '../model/pipeline.ts';
import type { CatalogueEntry, RecoverySource } from '../model/recovery.ts';
import type { PlanSurvey } from '../model/survey.ts';
import { planRecovery, recoveryWindow } from '../planning/recovery.ts';
import { scheduleIdsOf } from '../planning/schedules.ts';
import { readCatalogue } from '../repository/catalogue.ts';
import { readManifest } from '../repository/manifest.ts';
import type { Activities } from './contract.ts';
import type { VerbContext } from './engine.ts';
import type { Repositories } from './repositories.ts';
import { reconcileSchedules, surveySchedules } from './schedules.ts';
import { inClusterSources } from './universe/in-cluster/recovery.ts';
import { asActivity } from './verb-context.ts';

/** Instants in a survey: what fits into a page and a workflow's state. */
const INSTANTS_TOLD = 200;

/** What a plan's entity asks of storage and of Temporal's schedules. Small answers: they go into its history for years. */
export function planActivities(
  client: Client,
  repositories: Repositories,
): Pick<Activities, 'surveyPlan' | 'decideRestore' | 'reconcileSchedules'> {
  return {
    surveyPlan: ({ repository, plan, history }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        const catalogue = await readCatalogue(store, repository, plan, verb);
        const schedules = await surveySchedules(client, scheduleIdsOf(plan));
        const { entries, repositoryId, total, unusable, readAt } = catalogue;
        const inCluster = history === undefined ? [] : await historyFor(verb, history);
        const window = recoveryWindow([...inCluster, { kind: 'backups', entries }]);
        return {
          ...{ readAt, backups: total, unusable, schedules },
          ...(repositoryId === undefined ? {} : { repositoryId }),
          storedBytes: entries.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
          window: { ...window, instants: window.instants.slice(-INSTANTS_TOLD) },
          ...newestOf(entries),
        };
      }),

    decideRestore: ({ repository, plan, history, request, measurements }) =>
      asActivity(async (verb) => {
        const store = await repositories.look(repository);
        const { entries, total } = await readCatalogue(store, repository, plan, verb);
        const inCluster =
          history === undefined || request.to === undefined ? [] : await historyFor(verb, history);
        const decision = planRecovery([...inCluster, { kind: 'backups', entries, total }], request, {
          now: new Date(),
          measurements,
        });
        if (decision.kind === 'refused') return { decision, databases: [] };
        if ('schedule' in decision) return { decision, databases: databasesOf(history) };
        const manifest = await readManifest(store, { plan, backup: decision.backup }, verb);
        return { decision, databases: manifest.databases.map(({ name }) => name) };
      }),

    reconcileSchedules: (input) => asActivity(() => reconcileSchedules(client, input)),
  };
}

function databasesOf(history: UniverseSource | undefined): readonly string[] {
  return history === undefined ? [] : [...history.databases, ...history.keyspaces];
}

/** A universe that can't be asked leaves the backups. */
async function historyFor(verb: VerbContext, source: UniverseSource): Promise<readonly RecoverySource[]> {
  try {
    return await inClusterSources(verb, source);
  } catch (error) {
    verb.signal.throwIfAborted();
    verb.log("the universe's own history can't be looked at", { reason: messageOf(error) });
    return [];
  }
}

function newestOf(entries: readonly CatalogueEntry[]): Partial<PlanSurvey> {
  const good = entries.find(({ lastGood }) => lastGood !== undefined);
  const verified = latest(entries, ({ verified: found }) => found?.at);
  const drilled = latest(entries, ({ drill }) => drill?.at);
  return {
    ...(good?.lastGood === undefined
      ? {}
      : { lastGood: { backup: good.backup, instant: good.instant, ...good.lastGood } }),
    ...(verified?.verified === undefined
      ? {}
      : { lastVerification: { backup: verified.backup, ...verified.verified } }),
    ...(drilled?.drill === undefined ? {} : { lastDrill: { backup: drilled.backup, ...drilled.drill } }),
  };
}

function latest(
  entries: readonly CatalogueEntry[],
  timeOf: (entry: CatalogueEntry) => string | undefined,
): CatalogueEntry | undefined {
  return entries
    .filter((entry) => timeOf(entry) !== undefined)
    .sort((one, other) => Date.parse(timeOf(other) ?? '') - Date.parse(timeOf(one) ?? ''))[0];
}
