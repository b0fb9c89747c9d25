import { permanent } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { type ConnectionTarget, parseConnectionUrl } from '../ysql/connection-url.ts';
import { readServer, type Server } from '../ysql/server.ts';
import { withSession } from '../ysql/session.ts';
import { masterWebAddresses } from './entities.ts';
import { openYbAdmin, type YbAdmin } from './yb-admin/program.ts';
import { listTabletServers } from './yb-admin/topology.ts';

/** A universe as one activity drives it. */
export interface Universe {
  readonly source: UniverseSource;
  readonly admin: YbAdmin;
  readonly masterWebAddresses: readonly string[];
}

export interface DatabaseName {
  readonly api: 'ysql' | 'ycql';
  readonly name: string;
}

/** Finds `yb-admin` and resolves what the plan refers to; asks the universe nothing yet. */
export async function openUniverse(verb: VerbContext, source: UniverseSource): Promise<Universe> {
  const certsDir = source.tls === undefined ? undefined : await verb.secret(source.tls.certsDir);
  const settings = { masters: source.masters, ...(certsDir === undefined ? {} : { certsDir }) };
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
 * Where the universe's YSQL is: the plan's connection, else the first tablet server that is alive, as the user yugabyte without
 * a password. Throws `UNIVERSE_NO_TSERVER` (permanent).
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

export function serverOf(target: ConnectionTarget, signal: AbortSignal): Promise<Server> {
  return withSession(target, target.database, signal, readServer);
}
