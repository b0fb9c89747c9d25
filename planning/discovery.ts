import { hashOf } from '../model/canonical-json.ts';
import type { CompiledPlan } from '../model/pipeline.ts';
import { spreadTimes } from './spread.ts';

/*
 * Plans that another plan finds (`discover`). The name of such a plan and the name of its database follow from each other, so that commands know the plan
 * without asking Temporal: `_`, which names of plans can't have, is `--`.
 */

/** Most databases that one plan turns into plans. Those that are gone don't count, and as many of them are remembered. */
export const DISCOVERED_AT_MOST = 1_000;
/** Most refused databases that are named: what an entity remembers must fit into 2 MB, whatever a server has. */
export const REFUSED_AT_MOST = 100;

/** Most plans that one look applies. The next look goes on behind them, so that the history of a look stays small, and people's requests come between. */
export const APPLIED_AT_ONCE = 100;
/** Most of them that are found, and so begin with a backup each. The next ones come a minute later: a server has a hundred connections by default. */
export const FOUND_AT_ONCE = 20;
const NEXT_FOUND_MS = 60_000;

const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;

/** What a plan with `discover` knows of its databases. */
export interface Discovery {
  /** When the databases were last listed, or could not be. ISO 8601. */
  readonly at: string;
  /** Generation of the plan at that time. */
  readonly generation: number;
  /** Databases that are plans. */
  readonly members: readonly Member[];
  readonly refused: readonly RefusedDatabase[];
  /** How many more are refused than are named. */
  readonly moreRefused?: number;
  /** Why the databases could not be listed. */
  readonly failure?: string;
  /** Where the next look goes on, and after how many milliseconds. Absent where none has to. */
  readonly goesOn?: GoesOn;
}

interface GoesOn {
  /** The last database of those that had their turn, in order of name. */
  readonly after: string;
  readonly inMs: number;
}

/** What a server has, by the patterns of a plan with `discover`. */
export interface Listing {
  /** Databases that are to be plans. */
  readonly found: readonly string[];
  /** Databases that are there and are to be no plans: those that a restore made, templates, and those that take no connections. */
  readonly leftOut: readonly string[];
  /** Databases that no backup could carry. */
  readonly refused: readonly RefusedDatabase[];
}

/** A database that is a plan. */
export interface Member {
  readonly database: string;
  /** Generation of the finding plan with which this one agrees. */
  readonly inLineWith: number;
  /** When a look missed it for the first time, where it isn't taken for gone yet. ISO 8601. */
  readonly missedSince?: string;
  readonly goneSince?: string;
}

/** A database that can't be a plan, or whose plan can't be changed, and why. */
export interface RefusedDatabase {
  readonly database: string;
  readonly reason: string;
}

/** A plan to be applied for a database. */
export interface Adoption {
  readonly database: string;
  readonly plan: CompiledPlan;
  /** Why: it is new (or there again), it is gone, or only its template has changed. */
  readonly because: 'found' | 'vanished' | 'changed';
}

/** The plan of one database. Its schedules start some minutes later than those of the plan that finds it, which follow from its name. */
export function memberPlan(
  { discover: _, ...parent }: CompiledPlan,
  database: string,
  goneSince?: string,
): CompiledPlan {
  const { hash: _hash, ...pipeline } = parent.pipeline;
  const name = memberName(parent.name, database);
  const source = { ...pipeline.source, databases: { include: [database], exclude: [] } };
  const content = { ...pipeline, plan: name, source } as Omit<CompiledPlan['pipeline'], 'hash'>;
  return {
    ...parent,
    ...spreadTimes({ ...parent, name }),
    name,
    pipeline: { ...content, hash: hashOf(content) },
    discovered: { by: parent.name, database, ...(goneSince === undefined ? {} : { goneSince }) },
  };
}

/** The plan of this name that one of these plans would find, if its database exists. Undefined: none would. */
export function memberNamed(plans: readonly CompiledPlan[], name: string): CompiledPlan | undefined {
  for (const plan of plans) {
    if (plan.discover === undefined || !name.startsWith(`${plan.name}-`)) continue;
    const database = databaseIn(name, plan.name);
    if (refusalOf(plan.name, database) === undefined) return memberPlan(plan, database);
  }
  return undefined;
}

/**
 * What is to be done after the databases were listed, in order of name, and the members as they are until it is done. A member that is missed is gone only at
 * a later look, an interval after the first that missed it.
 */
export function adoptionsFor(
  plan: CompiledPlan,
  before: Pick<Discovery, 'members'> | undefined,
  { found, leftOut, refused: unfit, at, generation }: Listing & Pick<Discovery, 'at' | 'generation'>,
): {
  readonly adoptions: readonly Adoption[];
  readonly refused: readonly RefusedDatabase[];
  readonly members: readonly Member[];
} {
  const known = new Map(before?.members.map((member) => [member.database, member]));
  const refused = [...unfit];
  const adoptions: Adoption[] = [];
  const adopt = (database: string, because: Adoption['because'], goneSince?: string) =>
    adoptions.push({ database, because, plan: memberPlan(plan, database, goneSince) });
  let room = DISCOVERED_AT_MOST - found.filter((database) => known.has(database)).length;
  for (const database of found) {
    const member = known.get(database);
    if (member?.goneSince !== undefined) adopt(database, 'found');
    if (member !== undefined) continue;
    const reason = refusalOf(plan.name, database) ?? (room <= 0 ? TOO_MANY : undefined);
    if (reason !== undefined) refused.push({ database, reason });
    else {
      room -= 1;
      adopt(database, 'found');
    }
  }
  const there = new Set([...found, ...leftOut, ...unfit.map(({ database }) => database)]);
  const isOver = (since: string) => Date.parse(at) - Date.parse(since) >= (plan.discover?.everyMs ?? 0);
  const members = [...known.values()].map((member): Member => {
    const { missedSince, ...rest } = member;
    const { database, goneSince, inLineWith } = rest;
    const isChanged = inLineWith !== generation;
    if (goneSince !== undefined) {
      if (isChanged && !there.has(database)) adopt(database, 'changed', goneSince);
      return member;
    }
    if (there.has(database)) {
      if (isChanged) adopt(database, 'changed');
      return rest;
    }
    if (missedSince !== undefined && isOver(missedSince)) adopt(database, 'vanished', missedSince);
    return { ...member, missedSince: missedSince ?? at };
  });
  adoptions.sort((one, other) => (one.database < other.database ? -1 : 1));
  return { adoptions, refused, members };
}

/** The adoptions that have their turn now, of all in order of name, and where the next look goes on. @param after the last one of before */
export function batchOf(
  adoptions: readonly Adoption[],
  after: string | undefined,
): { readonly now: readonly Adoption[]; readonly goesOn?: GoesOn } {
  const now: Adoption[] = [];
  let found = 0;
  for (const each of adoptions) {
    if (after !== undefined && each.database <= after) continue;
    const last = now.at(-1);
    if (last !== undefined && (now.length === APPLIED_AT_ONCE || found === FOUND_AT_ONCE))
      return { now, goesOn: { after: last.database, inMs: found === 0 ? 0 : NEXT_FOUND_MS } };
    if (each.because === 'found') found += 1;
    now.push(each);
  }
  return { now };
}

/**
 * What a plan remembers of its databases: each that is there, and the last ones that are gone. One that is forgotten keeps its plan, and is found again if it
 * comes back.
 */
export function remembered(members: readonly Member[]): readonly Member[] {
  const gone = members.flatMap(({ goneSince }) => goneSince ?? []);
  if (gone.length <= DISCOVERED_AT_MOST) return members;
  const since = gone.sort().at(-DISCOVERED_AT_MOST) ?? '';
  return members.filter(({ goneSince }) => goneSince === undefined || goneSince >= since);
}

const TOO_MANY = `more than ${DISCOVERED_AT_MOST} databases are plans of this one already`;

/** The name of the plan of a database. */
export function memberName(parent: string, database: string): string {
  return `${parent}-${database.replaceAll('_', '--')}`;
}

function databaseIn(name: string, parent: string): string {
  return name.slice(parent.length + 1).replaceAll('--', '_');
}

/** Why no plan can be named after a database. */
function refusalOf(parent: string, database: string): string | undefined {
  const name = memberName(parent, database);
  if (!/^[a-z0-9_-]+$/.test(database))
    return 'its name has other characters than lower-case letters, digits, - and _';
  const read = databaseIn(name, parent);
  if (read !== database) return `the plan's name, ${name}, would be that of the database ${read}`;
  if (NAME.test(name)) return undefined;
  return name.length > 63
    ? `the plan's name, ${name}, would be longer than 63 characters`
    : `the plan's name, ${name}, would end with a hyphen`;
}
