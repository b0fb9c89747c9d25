import type { LogicalReadPoint } from '../../model/backup.ts';
import type { ManifestDatabase } from '../../model/manifest.ts';
import type { YsqlSource } from '../../model/pipeline.ts';
import type { BackupContext, EngineExport } from '../engine.ts';
import { readRelations, select } from './server/catalog.ts';
import { withReader } from './server/reader.ts';
import { putScript } from './server/scripts.ts';
import { sequencesScript } from './server/sequence-values.ts';
import { resolveTarget } from './server/session.ts';

/**
 * Reads the value of every sequence at the end of a backup. Sequences ignore snapshots, and a value read after the last row can't
 * be behind any row in the backup.
 */
export async function seal(
  verb: BackupContext,
  source: YsqlSource,
  readPoint: LogicalReadPoint,
  exported: EngineExport,
): Promise<EngineExport> {
  if (source.contents === 'schema') return exported;
  const target = await resolveTarget(verb, source.connection);
  const databases: ManifestDatabase[] = [];
  for (const [index, database] of exported.databases.entries()) {
    const sequences = await withReader(target, database.name, readPoint, verb.signal, async (reader) => {
      const selection = await select(reader, await readRelations(reader), source);
      return selection.sequences;
    });
    const { script, gone } = await sequencesScript(verb, target, database.name, sequences);
    const object = await putScript(verb, readPoint, `${index}/sequences`, script);
    databases.push({
      ...database,
      schemaObjects: [...database.schemaObjects, object],
      ...(gone.length === 0 ? {} : { losses: [...(database.losses ?? []), ...gone.map(lossOf)] }),
    });
  }
  return { ...exported, databases };
}

function lossOf(sequence: string): string {
  return `the value of sequence ${sequence}, which was dropped while the backup ran: a restore begins it at its start`;
}
