import type { ReadPoint } from '../../model/backup.ts';
import { permanent, READ_POINT_LOST } from '../../model/errors.ts';
import type { YcqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { readDefinition } from './catalog.ts';
import { fingerprintOf, type KeyspaceSchema, type TableSchema } from './schema.ts';
import { readSchemaObject } from './schema-objects.ts';
import { withSession } from './shared-session.ts';
import { resolveTarget } from './target.ts';

/**
 * Checks that no table changed since the scan began; there is nothing left to read. A table that was altered, dropped or created again meanwhile
 * was read in two shapes, as was one with a column of a type that was altered. Throws `READ_POINT_LOST` (permanent), naming it.
 */
export async function seal(
  verb: BackupContext,
  source: YcqlSource,
  _readPoint: ReadPoint,
  exported: EngineExport,
): Promise<EngineExport> {
  if (source.contents === 'schema') return exported;
  const target = await resolveTarget(verb, source);
  await withSession(verb, target, source, async (session) => {
    for (const database of exported.databases) {
      const schema = await readSchemaObject(verb, database);
      for (const table of schema.tables) {
        checkUnchanged(
          schema,
          table,
          await readDefinition(session, schema.keyspace, table.name, verb.signal),
        );
      }
    }
  });
  return exported;
}

function checkUnchanged(
  { keyspace, types }: KeyspaceSchema,
  before: TableSchema,
  now: Awaited<ReturnType<typeof readDefinition>>,
): void {
  if (now !== undefined && fingerprintOf(now.table, now.types) === fingerprintOf(before, types)) return;
  throw permanent(
    READ_POINT_LOST,
    `The definition of ${keyspace}.${before.name} changed while it was read${now === undefined ? ': it was dropped' : ''}`,
    'Everything is read again with the new definition; run the backup while no schema changes run.',
  );
}
