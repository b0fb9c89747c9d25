import { hashOf } from '../model/canonical-json.ts';
import type { CompiledPlan } from '../model/pipeline.ts';

/*
 * Plans that another plan finds (`discover`). The name of such a plan and the name of its database follow from each other, so that commands know the plan
 * without asking Temporal: `_`, which names of plans can't have, is `--`.
 */

/** Most databases that one plan turns into plans. Those that are gone don't count, and as many of them are remembered. */
export const DISCOVERED_AT_MOST = 1_000;
/** Most refused databases that are named: what an entity remembers must fit into 2 MB, whatever a server has. */
export const REFUSED_AT_MOST = 100;

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
}

/** A database that is a plan. */
interface Member {
  readonly database: string;
  /** Generation of the finding plan with which this one agrees. */
  readonly inLineWith: number;
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

/** The plan of one database. */
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

/** What is to be done after the databases were listed. */
export function adoptionsFor(
  plan: CompiledPlan,
  before: Discovery | undefined,
  { found, at, generation }: Pick<Discovery, 'at' | 'generation'> & { readonly found: readonly string[] },
): { readonly adoptions: readonly Adoption[]; readonly refused: readonly RefusedDatabase[] } {
  const members = new Map(before?.members.map((member) => [member.database, member]));
  const refused: RefusedDatabase[] = [];
  const adoptions: Adoption[] = [];
  const adopt = (database: string, because: Adoption['because'], goneSince?: string) =>
    adoptions.push({ database, because, plan: memberPlan(plan, database, goneSince) });
  let room = DISCOVERED_AT_MOST - found.filter((database) => members.has(database)).length;
  for (const database of found) {
    const member = members.get(database);
    if (member !== undefined) {
      if (member.goneSince !== undefined) adopt(database, 'found');
      else if (member.inLineWith !== generation) adopt(database, 'changed');
      continue;
    }
    const reason = refusalOf(plan.name, database) ?? (room <= 0 ? TOO_MANY : undefined);
    if (reason !== undefined) refused.push({ database, reason });
    else {
      room -= 1;
      adopt(database, 'found');
    }
  }
  const there = new Set(found);
  for (const { database, goneSince, inLineWith } of members.values()) {
    if (there.has(database)) continue;
    if (goneSince === undefined) adopt(database, 'vanished', at);
    else if (inLineWith !== generation) adopt(database, 'changed', goneSince);
  }
  return { adoptions, refused };
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
