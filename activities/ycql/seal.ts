import type { ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { whileBeating } from '../heartbeat.ts';
import { readTable } from './catalog.ts';
import { fingerprintOf, type TableSchema } from './schema.ts';
import { readSchemaObject } from './schema-objects.ts';
import { withSession } from './session.ts';
import { resolveTarget } from './target.ts';

/**
 * Nothing is left to read, but everything must still be as it was when the scan began: a table that was altered, dropped or made
 * anew meanwhile was read in two shapes. Throws `READ_POINT_LOST` (permanent) naming it.
 */
export async function seal(
  verb: BackupContext,
  source: YcqlSource,
  _readPoint: ReadPoint,
  exported: EngineExport,
): Promise<EngineExport> {
  if (source.contents === 'schema') return exported;
  const target = await resolveTarget(verb, source);
  await whileBeating(verb, () =>
    withSession(verb, target, source, async (session) => {
      for (const database of exported.databases) {
        const { tables, keyspace } = await readSchemaObject(verb, database);
        for (const table of tables) {
          checkUnchanged(keyspace, table, await readTable(session, keyspace, table.name, verb.signal));
        }
      }
    }),
  );
  return exported;
}

function checkUnchanged(keyspace: string, before: TableSchema, now: TableSchema | undefined): void {
  if (now !== undefined && fingerprintOf(now) === fingerprintOf(before)) return;
  throw permanent(
    READ_POINT_LOST,
    `The definition of ${keyspace}.${before.name} changed while it was read${now === undefined ? ': it was dropped' : ''}`,
    'Everything is read again with the new definition; run the backup while no schema changes run.',
  );
}
