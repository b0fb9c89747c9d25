import { ApplicationFailure, isCancellation } from '@temporalio/workflow';
import { defined } from '../model/defined.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import {
  type Adoption,
  adoptionsFor,
  batchOf,
  type Discovery,
  type Listing,
  type Member,
  REFUSED_AT_MOST,
  type RefusedDatabase,
  remembered,
} from '../planning/discovery.ts';
import { audienceOf } from '../planning/notification.ts';
import { activitiesFor, PATIENT_RETRY } from './activity-proxies.ts';
import { describeFailure } from './failures.ts';
import { type News, sendNotification } from './notify.ts';
import { newPlanState, type PlanEntity } from './plan-entity.ts';
import { planWorkflowId, type Revision } from './plan-messages.ts';

/** Longest time for a list of databases, and for one plan. What took longer is tried again at the next look. */
const PATIENCE_MS = 2 * 60_000;
const ADOPTED_AT_ONCE = 8;
const NAMES_TOLD = 10;

/**
 * A look for databases: makes plans of new ones, lets plans of vanished ones stand still, and tells both. Where there are many, it does the first of them and
 * says where the next look goes on.
 */
export async function discover(entity: PlanEntity, now: () => Date): Promise<void> {
  const { revision, discovery: before, generation } = entity.state;
  const { plan } = revision;
  const at = now().toISOString();
  const known: Omit<Discovery, 'at' | 'generation'> = before ?? { members: [], refused: [] };
  let listing: Listing;
  try {
    listing = await list(plan, known.members);
  } catch (error) {
    if (isCancellation(error)) throw error;
    const reason = describeFailure(error);
    const { goesOn: _, ...rest } = known;
    entity.discovered({ ...rest, at, generation, failure: reason.message });
    if (before?.failure === reason.message) return;
    const headline = `Whether ${plan.name} has new databases is not known: ${reason.message}`;
    return tell(plan, at, { type: 'discover.failed', ok: false, headline, error: reason });
  }
  const { adoptions, refused: unfit, members } = adoptionsFor(plan, before, { ...listing, at, generation });
  const { now: mine, goesOn } = batchOf(
    adoptions,
    before?.generation === generation ? before.goesOn?.after : undefined,
  );
  const isRemoved = () => entity.state.isRemoved === true;
  // The plan of a database may be removed meanwhile (`apply --prune --gone`). Where the database is there, the next look finds it.
  const knew = new Set(known.members.map(({ database }) => database));
  const isForgotten = ({ database }: Pick<Member, 'database'>) =>
    knew.has(database) && !entity.state.discovery?.members.some((each) => each.database === database);
  const refusals = await adoptAll(revision, mine, at, { isRemoved, isForgotten });
  if (isRemoved()) return;
  const failed = refusals.filter((each) => !isForgotten(each));
  const done = mine.filter(
    (each) => !isForgotten(each) && !refusals.some(({ database }) => database === each.database),
  );
  // What failed at an earlier look and has its turn at a later one stays refused until then. Those that a person can mend come first.
  const others = new Set(adoptions.filter((each) => !mine.includes(each)).map(({ database }) => database));
  const allRefused = [...failed, ...known.refused.filter(({ database }) => others.has(database)), ...unfit];
  const refused = allRefused.slice(0, REFUSED_AT_MOST);
  const moreRefused = allRefused.length > refused.length ? allRefused.length - refused.length : undefined;
  const changed = new Map(done.map((each) => [each.database, each.plan.discovered?.goneSince]));
  const unchanged = members.filter((each) => !changed.has(each.database) && !isForgotten(each));
  const adopted = [...changed].map(([database, goneSince]) => ({
    ...{ database, inLineWith: generation },
    ...defined({ goneSince }),
  }));
  entity.discovered({
    ...{ at, generation, members: remembered([...unchanged, ...adopted]), refused },
    ...defined({ moreRefused, goesOn }),
  });
  await tellAll(
    plan,
    at,
    done,
    refused.filter((each) => !known.refused.some((one) => isSame(one, each))),
  );
}

/** What the server has. Throws where it has nothing while it had something: that is rather another server, or a role that sees less. */
async function list(
  { name, pipeline: { source } }: CompiledPlan,
  known: readonly Member[],
): Promise<Listing> {
  if (source.engine !== 'ysql') throw new TypeError('only a ysql source is asked for databases');
  const listing = await call('list the databases').listDatabases({ source });
  const there = known.filter(({ goneSince }) => goneSince === undefined).length;
  const isEmpty = [listing.found, listing.leftOut, listing.refused].every((names) => names.length === 0);
  if (!isEmpty || there === 0) return listing;
  throw ApplicationFailure.nonRetryable(
    `the server has no database that matches, where ${there} were plans of ${name}: none is taken for gone. ` +
      'Correct the connection or the patterns; where all are gone for good, remove the plan with them (apply --prune).',
    'YSQL_NO_DATABASE',
  );
}

function isSame(one: RefusedDatabase, other: RefusedDatabase): boolean {
  return one.database === other.database && one.reason === other.reason;
}

/**
 * Applies plans, some at once. Returns those that could not be, each with the reason: one that fails stops no other. Where the plan itself is removed meanwhile,
 * its plans are too (`apply --prune`), and none may be made anew; nor may that of a database that is forgotten.
 */
async function adoptAll(
  revision: Revision,
  adoptions: readonly Adoption[],
  at: string,
  meanwhile: {
    readonly isRemoved: () => boolean;
    readonly isForgotten: (adoption: Adoption) => boolean;
  },
): Promise<readonly RefusedDatabase[]> {
  const failed: RefusedDatabase[] = [];
  const waiting = [...adoptions];
  const adoptRest = async () => {
    for (let next = waiting.shift(); next !== undefined && !meanwhile.isRemoved(); next = waiting.shift()) {
      if (meanwhile.isForgotten(next)) continue;
      const { plan, database, because } = next;
      const application = { revision: { ...revision, plan }, after: 0, keepPauses: true };
      const state = newPlanState(application.revision, at);
      try {
        await call(`apply plan ${plan.name}`).adoptPlan({
          ...{ workflowId: planWorkflowId(plan.name), state, application },
          // A plan does nothing twice for one id, so a second try asks for no second backup.
          ...(because === 'found' ? { backup: `discovered-${at}` } : {}),
        });
      } catch (error) {
        if (isCancellation(error)) throw error;
        failed.push({ database, reason: describeFailure(error).message });
      }
    }
  };
  await Promise.all(Array.from({ length: ADOPTED_AT_ONCE }, adoptRest));
  return failed;
}

async function tellAll(
  plan: CompiledPlan,
  at: string,
  done: readonly Adoption[],
  refused: readonly RefusedDatabase[],
): Promise<void> {
  const namesOf = (because: Adoption['because']) =>
    done.filter((each) => each.because === because).map(({ database }) => database);
  const [found, vanished] = [namesOf('found'), namesOf('vanished')];
  if (found.length > 0) {
    const headline = `Of ${plan.name}, ${listed(found)} ${found.length === 1 ? 'is a plan' : 'are plans'} now, and backed up`;
    await tell(plan, at, { type: 'discover.found', ok: true, headline });
  }
  if (vanished.length > 0) {
    const headline = `Of ${plan.name}, ${listed(vanished)} ${vanished.length === 1 ? 'is' : 'are'} not there any more; backups and plans stay, and nothing is deleted`;
    await tell(plan, at, { type: 'discover.vanished', ok: false, headline });
  }
  if (refused.length > 0) {
    const headline = `Of ${plan.name}, not all databases are plans as they should be: ${listed(refused.map(({ database, reason }) => `${database} (${reason})`))}`;
    await tell(plan, at, { type: 'discover.refused', ok: false, headline });
  }
}

/** The first names, and how many more there are. */
function listed(names: readonly string[]): string {
  const more = names.length - NAMES_TOLD;
  return `${names.slice(0, NAMES_TOLD).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function tell(
  plan: CompiledPlan,
  at: string,
  news: Pick<News, 'type' | 'ok' | 'headline' | 'error'>,
): Promise<void> {
  return sendNotification(`${news.type}-${at}`, { ...news, plan: plan.name, ...audienceOf(plan), facts: {} });
}

function call(summary: string) {
  return activitiesFor({ summary, retry: PATIENT_RETRY, timeoutMs: PATIENCE_MS });
}
