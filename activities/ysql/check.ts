import { type Check, check } from '../../model/check.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { VerbContext } from '../engine.ts';
import { findExecutable, type ProgramKind } from './executables.ts';
import { currentRole, grantRemedy, ignoreDdl } from './read-time.ts';
import { readServer } from './server.ts';
import { resolveTarget, withSession } from './session.ts';
import { openReadPoint } from './snapshot.ts';

/** What a backup of this source needs, each looked at by itself: connection, version, programs, privileges and read point. */
export async function checkSource(verb: VerbContext, source: YsqlSource): Promise<readonly Check[]> {
  const readTargetServer = async () => {
    const target = await resolveTarget(verb, source.connection);
    return withSession(target, target.database, verb.signal, readServer);
  };
  const program = (kind: ProgramKind) => async (): Promise<string> => {
    const { path, major } = await findExecutable(kind, await readTargetServer());
    return `${path} (${major})`;
  };
  return [
    await check('source answers', async () => {
      const { product, version } = await readTargetServer();
      return `${product} ${version}`;
    }),
    await check('program that dumps the schema', program('dump')),
    ...(source.globals === 'none' ? [] : [await check('program that dumps roles', program('dumpall'))]),
    await check('privileges and read point', async () => {
      const { readPoint, held } = await openReadPoint(verb, source, 1);
      await held?.close();
      if (readPoint.kind !== 'yb-read-time') {
        const reason = readPoint.kind === 'pg-snapshot' ? readPoint.reason : undefined;
        const since = reason === undefined ? '' : `, since ${reason}`;
        return `everything selected is readable; the instant is held by a session (exported snapshot)${since}`;
      }
      return `everything selected is readable; the instant can be named by any session (yb_read_time); ${await ddlBeside(verb, source)}`;
    }),
  ];
}

/** What DDL in the database does to a backup that reads an instant. */
async function ddlBeside(verb: VerbContext, source: YsqlSource): Promise<string> {
  const target = await resolveTarget(verb, source.connection);
  return withSession(target, target.database, verb.signal, async (session) => {
    if (await ignoreDdl(session)) return 'DDL beside a backup does not end its sessions';
    const remedy = grantRemedy(await currentRole(session), await readServer(session));
    return `DDL that breaks (REVOKE, ALTER) ends sessions that read, which are tried again: the role may not set yb_disable_catalog_version_check. ${remedy}`;
  });
}
