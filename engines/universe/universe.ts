import { defined } from '../../model/defined.ts';
import { permanent } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { type ConnectionTarget, parseConnectionUrl } from '../ysql/server/connection-url.ts';
import { readServer, type Server } from '../ysql/server/server.ts';
import { withSession } from '../ysql/server/session.ts';
import { readYbServers } from '../ysql/server/yb-servers.ts';
import { masterWebAddresses } from './entities.ts';
import { requireReach } from './reach.ts';
import { openYbAdmin, type YbAdmin } from './yb-admin/program.ts';
import { listTabletServers } from './yb-admin/topology.ts';

/** A universe as one activity drives it. */
export interface Universe {
  readonly source: UniverseSource;
  readonly admin: YbAdmin;
  readonly masterWebAddresses: readonly string[];
}

/** The name of a YSQL database or a YCQL keyspace. */
export interface DatabaseName {
  readonly api: 'ysql' | 'ycql';
  readonly name: string;
}

/**
 * Finds `yb-admin`, resolves what the plan refers to, and makes sure that this worker reaches the universe.
 *
 * @throws HoldfastError as `requireReach` and `openYbAdmin`
 */
export async function openUniverse(verb: VerbContext, source: UniverseSource): Promise<Universe> {
  await requireReach(source.masters, verb.signal);
  return await bindUniverse(verb, source);
}

/** As `openUniverse`, but asks the universe nothing yet. */
export async function bindUniverse(verb: VerbContext, source: UniverseSource): Promise<Universe> {
  const certsDir = source.tls === undefined ? undefined : await verb.secret(source.tls.certsDir);
  const settings = { masters: source.masters, ...defined({ certsDir }) };
  return {
    source,
    admin: await openYbAdmin(settings, verb.signal),
    masterWebAddresses: masterWebAddresses(source.masters, source.masterWebPort),
  };
}

/** Databases, then keyspaces, in the plan's order. */
export function namesIn({ databases, keyspaces }: UniverseSource): readonly DatabaseName[] {
  return [
    ...databases.map((name) => ({ api: 'ysql' as const, name })),
    ...keyspaces.map((name) => ({ api: 'ycql' as const, name })),
  ];
}

const YSQL_PORT = 5433;

/**
 * How to connect to the universe's YSQL: by the plan's connection, or else to the first tablet server that is alive, as the user yugabyte without a
 * password. Throws `UNIVERSE_NO_TSERVER` (permanent).
 */
export async function ysqlTarget(verb: VerbContext, { source, admin }: Universe): Promise<ConnectionTarget> {
  if (source.ysql !== undefined) return parseConnectionUrl(await verb.secret(source.ysql.connection));
  const alive = (await listTabletServers(admin)).find(({ status }) => status === 'ALIVE');
  if (alive === undefined) {
    throw permanent(
      'UNIVERSE_NO_TSERVER',
      'No tablet server of the universe is alive',
      'Start one, or name a YSQL address in source.universe.ysql.connection.',
    );
  }
  const host = alive.address.slice(0, alive.address.lastIndexOf(':'));
  return parseConnectionUrl(`postgresql://yugabyte@${host}:${YSQL_PORT}/yugabyte`);
}

/**
 * As `ysqlTarget`, but first makes sure that YSQL there belongs to this universe. If a plan names the masters of one universe and the YSQL address
 * of another, a backup would save schemas, roles and sequences of the wrong one, and a restore would create databases there.
 *
 * @throws HoldfastError `YSQL_OF_ANOTHER_UNIVERSE` (permanent); as `ysqlTarget`
 */
export async function ownYsqlTarget(verb: VerbContext, universe: Universe): Promise<ConnectionTarget> {
  const target = await ysqlTarget(verb, universe);
  const there = await withSession(target, target.database, verb.signal, readYbServers);
  const listed = await listTabletServers(universe.admin);
  const own = new Set(listed.map(({ uuid }) => plain(uuid)));
  const hosts = new Set(listed.map(({ address }) => address.slice(0, address.lastIndexOf(':'))));
  const strange = there.filter(({ uuid, host }) =>
    uuid === undefined ? !hosts.has(host) : !own.has(plain(uuid)),
  );
  const [first] = strange;
  if (first === undefined) return target;
  // Builds that report no UUIDs name hosts as they were configured, so one known host is enough.
  if (first.uuid === undefined && strange.length < there.length) return target;
  const words = ({ host, uuid }: { readonly host: string; readonly uuid?: string }) =>
    uuid === undefined ? host : `${host} (${uuid})`;
  throw permanent(
    'YSQL_OF_ANOTHER_UNIVERSE',
    `YSQL at ${target.hosts.map(({ host, port }) => `${host}:${port}`).join(', ')} is of another universe than the masters ${universe.source.masters.join(', ')}: its tablet server ${words(first)} is none of theirs`,
    'Correct source.universe.ysql.connection or source.universe.masters in the plan: both must be of one universe.',
  );
}

const plain = (uuid: string): string => uuid.toLowerCase().replaceAll('-', '');

/** The kind and version of the YSQL server at `target`. */
export function serverOf(target: ConnectionTarget, signal: AbortSignal): Promise<Server> {
  return withSession(target, target.database, signal, readServer);
}
